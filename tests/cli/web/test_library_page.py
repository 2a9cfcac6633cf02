"""`/library`, tested with requests and in headless Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.cli.web.looks import check
from tests.photos import noise_bytes


@pytest.mark.parametrize("address", ["/library", "/folders", "/duplicates"])
def test_an_empty_library_says_on_every_page_how_to_fill_it_in_the_same_words(
    client: TestClient, photos: Path, run: Run, address: str
) -> None:
    said = "Add a folder: run <code>pixsearch index ~/Pictures</code> in a terminal, then reload this page."
    assert said not in client.get(address).text
    assert run("forget", photos).exit_code == 0

    assert said in client.get(address).text


def test_problems_are_counted_in_words(client: TestClient, photos: Path, run: Run) -> None:
    assert "No problems." in client.get("/library").text
    (photos / "broken.jpg").write_bytes(b"no picture")
    assert run("index", photos).exit_code == 1

    assert "1 file could not be read." in client.get("/library").text


def test_a_photo_that_is_cut_short_is_named(client: TestClient, photos: Path, run: Run) -> None:
    whole = noise_bytes("JPEG", (640, 480))
    (photos / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    run("index", photos)

    page = client.get("/library").text.replace("<wbr>", "")

    assert "1 photo could be read only in part." in page
    assert "1 file: the file is truncated; part of the picture is missing" in page
    assert f"<td>{photos / 'cut.jpg'}</td>" in page
    assert "No problems." not in page


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.parametrize("is_empty", [False, True])
def test_the_library_page_is_accessible_and_fits_every_screen(
    browser: Browser, serve: Serve, photos: Path, run: Run, is_empty: bool
) -> None:
    (photos / ("a name that is long " * 10 + ".jpg")).write_bytes(b"no picture")
    run("forget" if is_empty else "index", photos)

    assert check(browser, f"{serve()}/library") == []
