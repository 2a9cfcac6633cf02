"""The API and the page with a re-rank model: first the quick answer, then the reordered one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pixsearch.decoding import DecodeLimits
from pixsearch.search.runtime import Floats
from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, MakeClient, Serve
from tests.colour_runtime import ColourRuntime
from tests.opposite_reader import OppositeReader
from tests.photos import noise_bytes

BY_SIMILARITY = ["dark red.png", "pink.png", "blue again.png"]
BY_READER = ["blue again.png", "dark red.png", "pink.png"]
"""The logits 10 x (1 - red): 10, 8 and 0."""


class SlowReader(OppositeReader):
    """A reader that waits for permission before it reads, for at most 30 s."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_go_on = Event(), Event()

    def logits(self, texts: Sequence[str], picture: Image.Image) -> Floats:
        self.is_asked.set()
        self.may_go_on.wait(30)
        return super().logits(texts, picture)


def names(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [Path(hit["path"]).name for hit in answer.json()["hits"]]


def test_hits_are_in_the_order_of_the_model(make_client: MakeClient) -> None:
    client = make_client(pair_reader=OppositeReader())

    found, quick = client.get("/api/search?q=red"), client.get("/api/search?q=red&rerank=false")

    assert names(found) == BY_READER
    assert [hit["match"] for hit in found.json()["hits"]] == pytest.approx([10, 8, 0], abs=1e-4)
    assert [hit["match_error"] for hit in found.json()["hits"]] == [None] * 3
    assert names(quick) == BY_SIMILARITY


def test_what_it_does_not_order_the_library_s_own_model_does(make_client: MakeClient, model: ColourRuntime) -> None:
    model.calibrated, reader = True, OppositeReader()
    client = make_client(pair_reader=reader)

    for parameters in ("q=red&threshold=0.5", "q=red&sort=newest", "like=1", "q=red&says=true"):
        assert client.get(f"/api/search?{parameters}").status_code == 200

    assert names(client.get("/api/search?q=red&threshold=0.5")) == ["pink.png"]
    assert reader.read == []


def test_a_quick_answer_does_not_wait_for_the_model(serve: Serve) -> None:
    reader = SlowReader()
    address = serve(pair_reader=reader)

    with ThreadPoolExecutor(4) as threads:
        slow = [
            threads.submit(httpx2.get, f"{address}/api/search?q={text}", timeout=60) for text in ("red", "blue") * 2
        ]
        assert reader.is_asked.wait(30)
        quick = names(httpx2.get(f"{address}/api/search?q=red&rerank=false", timeout=20))
        are_slow = not any(future.done() for future in slow)
        reader.may_go_on.set()

    assert quick == BY_SIMILARITY
    assert are_slow
    assert names(slow[0].result()) == BY_READER


@pytest.mark.slow
def test_a_photo_that_takes_too_long_to_decode_is_given_up(make_client: MakeClient, run: Run, photos: Path) -> None:
    (photos / "slow.jp2").write_bytes(noise_bytes("JPEG2000", (2000, 1500)))  # over a second
    assert run("index", photos).exit_code == 0
    impatient = make_client(limits=DecodeLimits(seconds=0.1), pair_reader=OppositeReader())

    hits = impatient.get("/api/search?q=red").json()["hits"]

    errors = {Path(hit["path"]).name: hit["match_error"] for hit in hits}
    assert errors == dict.fromkeys(BY_SIMILARITY) | {"slow.jp2": "not decoded within 0 s"}


@NEEDS_CHROMIUM
def test_the_page_shows_the_quick_answer_and_then_the_better_order(page: Page, serve: Serve, photos: Path) -> None:
    reader = SlowReader()
    (photos / "pink.png").unlink()
    page.goto(f"{serve(pair_reader=reader)}/?q=red")
    tiles = page.locator("#results button")
    expect(tiles).to_have_count(3)
    quick = [Path(title).name for title in tiles.evaluate_all("tiles => tiles.map(tile => tile.title)")]
    reader.may_go_on.set()
    page.get_by_role("button", name="Better order ready").click()

    # Pink, which no longer exists, stays second.
    better = [Path(title).name for title in tiles.evaluate_all("tiles => tiles.map(tile => tile.title)")]
    assert quick == BY_SIMILARITY
    assert better == ["blue again.png", "pink.png", "dark red.png"]
    expect(page.locator("#message")).to_have_text("Best matches first. 1 photo could not be read for re-ranking.")
