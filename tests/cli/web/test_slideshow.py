"""The slideshow, in a real browser with a clock that the test advances."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.cli.web.viewer_photos import expect_open, id_of, index_dated, open_photo

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

SET_HIDDEN = """(isHidden) => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def address(page: Page, serve: Serve, run: Run, photos: Path, indexed: Path) -> str:
    for name in ("dark red.png", "pink.png", "blue.png", "blue again.png"):
        (photos / name).unlink()
    index_dated(run, photos, 3)
    page.clock.install()
    return serve()


def expect_stopped(page: Page) -> None:
    expect(page.get_by_role("button", name="Slideshow", exact=True)).to_be_visible()


def test_each_photo_is_shown_for_five_seconds_and_the_last_one_is_the_end(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    page.get_by_role("button", name="Slideshow").click()
    page.clock.fast_forward(4000)
    expect(page.get_by_role("heading", name="3.jpg")).to_be_visible()
    page.clock.fast_forward(1000)
    expect_open(page, "2.jpg")
    page.clock.fast_forward(5000)
    expect_open(page, "1.jpg")
    page.clock.fast_forward(5000)

    expect_stopped(page)
    expect(page.get_by_role("heading", name="1.jpg")).to_be_visible()


def test_the_time_of_a_photo_begins_when_its_picture_is_shown(page: Page, address: str) -> None:
    held: list[Route] = []
    page.route(f"**/photos/{id_of(page, address, '2.jpg')}/thumbnail?size=large", lambda route: held.append(route))
    open_photo(page, address, "3.jpg")
    page.keyboard.press("s")
    page.clock.fast_forward(5000)
    expect(page.get_by_role("heading", name="2.jpg")).to_be_visible()
    page.clock.fast_forward(30_000)
    expect(page.get_by_role("heading", name="2.jpg")).to_be_visible()
    while held:
        held.pop().continue_()
    expect_open(page, "2.jpg")
    page.clock.fast_forward(4000)
    expect(page.get_by_role("heading", name="2.jpg")).to_be_visible()
    page.clock.fast_forward(1000)

    expect_open(page, "1.jpg")


def test_it_waits_while_nobody_is_looking(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    page.keyboard.press("s")
    page.clock.fast_forward(4000)
    page.evaluate(SET_HIDDEN, True)
    page.clock.fast_forward(60_000)
    expect(page.get_by_role("heading", name="3.jpg")).to_be_visible()
    page.evaluate(SET_HIDDEN, False)
    page.clock.fast_forward(4000)
    expect(page.get_by_role("heading", name="3.jpg")).to_be_visible()
    page.clock.fast_forward(1000)

    expect_open(page, "2.jpg")


@pytest.mark.parametrize("key", ["s", "ArrowRight", "ArrowLeft", "+"])
def test_a_step_and_a_zoom_by_hand_stop_it(page: Page, address: str, key: str) -> None:
    open_photo(page, address, "3.jpg")
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="Stop the slideshow")).to_be_visible()
    page.keyboard.press(key)
    expect_stopped(page)
    name = "2.jpg" if key == "ArrowRight" else "3.jpg"
    expect_open(page, name)
    page.clock.fast_forward(20_000)

    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_photo_that_cannot_be_shown_does_not_stop_it(page: Page, address: str, photos: Path) -> None:
    (photos / "2.jpg").unlink()
    open_photo(page, address, "3.jpg")
    page.keyboard.press("s")
    page.clock.fast_forward(5000)
    expect(page.get_by_role("alert")).to_contain_text("the file no longer exists")
    page.clock.fast_forward(5000)

    expect_open(page, "1.jpg")
