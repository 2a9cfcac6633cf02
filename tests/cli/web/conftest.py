from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pebble import ProcessPool
from starlette.testclient import TestClient

from pixsearch_cli.web.access import Access, access_at
from pixsearch_cli.web.app import make_app
from pixsearch_cli.web.looking import Looking
from pixsearch_cli.web.warm_engine import WarmEngine
from pixsearch_indexer.decoders import DecodeLimits, decoding_processes
from tests.colour_runtime import ColourRuntime

OURS = "http://localhost:7860"

MakeClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPool]:
    with decoding_processes(DecodeLimits()) as processes:
        yield processes


@pytest.fixture
def make_client(indexed: Path, model: ColourRuntime, pool: ProcessPool, tmp_path: Path) -> Iterator[MakeClient]:
    """A client of a server that knows the indexed library."""
    engines: list[WarmEngine] = []

    def make(access: Access | None = None, limits: DecodeLimits | None = None) -> TestClient:
        engines.append(engine := WarmEngine(indexed, lambda indexed_with: model))
        looking = Looking(pool, limits or DecodeLimits(), tmp_path / "looking")
        app = make_app(engine, looking, access or access_at("127.0.0.1", None))
        return TestClient(app, base_url=OURS, raise_server_exceptions=False)

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    return make_client()
