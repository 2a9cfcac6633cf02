from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from pebble import ProcessPool
from playwright.sync_api import Browser, Page, sync_playwright
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from pixsearch.decoding import DecodeLimits, decoding_processes
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch.search.runtime import PairReader
from pixsearch_cli.web.access import Access, access_at
from pixsearch_cli.web.allowed_folders import allowed_folders
from pixsearch_cli.web.app import make_app
from pixsearch_cli.web.library_runs import LibraryRuns
from pixsearch_cli.web.photo_decoder import PhotoDecoder
from pixsearch_cli.web.proxies import Proxies, proxies_at
from pixsearch_cli.web.server import listen, server_of
from pixsearch_cli.web.warm_engine import WarmEngine
from pixsearch_indexer.thumbnail_cache import ThumbnailCache
from tests.colour_runtime import ColourRuntime

OURS = "http://localhost:7860"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

MakeSite = Callable[..., ASGIApp]
MakeClient = Callable[..., TestClient]
Serve = Callable[..., str]


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPool]:
    with decoding_processes(DecodeLimits()) as processes:
        yield processes


@pytest.fixture
def make_site(indexed: Path, model: ColourRuntime, pool: ProcessPool, tmp_path: Path) -> Iterator[MakeSite]:
    """A function that makes the app for the indexed library."""
    engines: list[WarmEngine] = []

    def make(
        access: Access | None = None,
        limits: DecodeLimits | None = None,
        allow_index: Sequence[Path] = (),
        pair_reader: PairReader | None = None,
    ) -> ASGIApp:
        engines.append(engine := WarmEngine(indexed, lambda library: model))
        thumbnails = ThumbnailCache(tmp_path / "looking", str(indexed), lambda: engine.library().count_contents())
        decoder = PhotoDecoder(pool, limits or DecodeLimits(), tmp_path / "looking", thumbnails)
        allowed = allowed_folders(map(str, allow_index))
        runs = LibraryRuns(allowed, indexed, None, lambda: engine.library().failures()) if allow_index else None
        reader = None if pair_reader is None else CandidateReader(pair_reader, decoder.open_stored)
        return make_app(engine, decoder, access or access_at("127.0.0.1", None), runs, reader)

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def make_client(make_site: MakeSite) -> MakeClient:
    """A function that makes a client for the app. The client does not use the network."""

    def make(
        access: Access | None = None,
        limits: DecodeLimits | None = None,
        allow_index: Sequence[Path] = (),
        pair_reader: PairReader | None = None,
    ) -> TestClient:
        site = make_site(access, limits, allow_index, pair_reader)
        return TestClient(site, base_url=OURS, raise_server_exceptions=False)

    return make


@pytest.fixture
def servers() -> Iterator[list[tuple[uvicorn.Server, Thread]]]:
    running: list[tuple[uvicorn.Server, Thread]] = []
    yield running
    stop(running)


def stop(running: list[tuple[uvicorn.Server, Thread]]) -> None:
    while running:
        server, thread = running.pop()
        server.should_exit = True
        thread.join()


@pytest.fixture
def stop_servers(servers: list[tuple[uvicorn.Server, Thread]]) -> Callable[[], None]:
    return lambda: stop(servers)


@pytest.fixture
def serve(make_site: MakeSite, servers: list[tuple[uvicorn.Server, Thread]]) -> Serve:
    """A function that serves the app on a free port, in a thread, and returns its address."""

    def start(
        access: Access | None = None,
        proxies: Proxies | None = None,
        allow_index: Sequence[Path] = (),
        pair_reader: PairReader | None = None,
    ) -> str:
        listening = listen("127.0.0.1", 0)
        site = make_site(access, None, allow_index, pair_reader)
        server = server_of(site, proxies_at() if proxies is None else proxies)
        thread = Thread(target=server.run, args=([listening],))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    return start


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    return make_client()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new browser page. The test fails on any error that the page itself does not show."""
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    context.set_default_timeout(10_000)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []
