"""From an open photo to its position in the timeline and back, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.cli.web.viewer_photos import expect_open, id_of
from tests.photos import make_photo

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

OLD = "IMG_20120710_090000.png"


@pytest.fixture
def address(serve: Serve, run: Run, photos: Path, indexed: Path) -> str:
    """The address of a page whose timeline is many windows high."""
    for number in range(144):
        year, month = 2010 + number // 12, 1 + number % 12
        for minute in range(4):
            name = f"IMG_{year}{month:02}10_09{minute:02}00.png"
            make_photo(photos / name, (1 + number, 20 * minute, 90), (30, 20))
    assert run("index", photos).exit_code == 0
    return serve()


def open_hit(page: Page, address: str, name: str) -> str:
    """Open a photo found by a search, and return the address."""
    page.goto(f"{address}/?q=red&name={name}")
    page.locator(f"#results button[title$='/{name}']").click()
    expect_open(page, name)
    return page.url


def expect_revealed(page: Page, name: str) -> None:
    tile = page.locator(f"#results button.revealed[title$='/{name}']")
    expect(tile).to_be_focused()
    expect(tile).to_be_in_viewport(ratio=1)
    assert tile.evaluate("tile => getComputedStyle(tile).outlineStyle") == "solid"
    box = tile.bounding_box()
    header = page.locator("header").bounding_box()
    assert box is not None
    assert header is not None
    assert box["y"] >= header["y"] + header["height"]


@pytest.mark.parametrize("name", [OLD, "pink.png"], ids=["dated", "undated"])
def test_a_hit_is_shown_in_the_timeline_and_back_leads_to_it(page: Page, address: str, name: str) -> None:
    hit = open_hit(page, address, name)
    page.get_by_role("button", name="Show in the timeline").click()

    expect_revealed(page, name)
    expect(page).to_have_url(f"{address}/#timeline-{id_of(page, address, name)}")
    page.go_back()
    expect_open(page, name)
    assert page.url == hit
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{address}/?q=red&name={name}")


def test_the_address_of_a_photo_in_the_timeline_can_be_shared(page: Page, address: str) -> None:
    page.goto(f"{address}/#timeline-{id_of(page, address, OLD)}")
    expect_revealed(page, OLD)
    page.wait_for_timeout(600)  # longer than it takes to update the address with the position
    page.reload()

    expect_revealed(page, OLD)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page).to_have_url(re.compile(r"#2010-\d\d-10$"))


def test_a_photo_that_was_opened_in_the_timeline_is_shown_there(page: Page, address: str) -> None:
    page.goto(f"{address}/#2012-07-10")
    page.locator(f"#results button[title$='/{OLD}']").click()
    expect_open(page, OLD)
    page.get_by_role("button", name="Show in the timeline").click()

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect_revealed(page, OLD)
    page.go_back()
    expect_open(page, OLD)


def test_a_photo_that_is_not_in_the_library_is_nowhere_in_the_timeline(page: Page, address: str) -> None:
    page.goto(f"{address}/#timeline-99999")

    expect(page.get_by_role("status").first).to_have_text("The library has no picture 99999.")


def test_a_photo_that_is_closed_has_the_focus_and_not_the_one_that_the_address_names(page: Page, address: str) -> None:
    page.goto(f"{address}/#timeline-{id_of(page, address, OLD)}")
    expect_revealed(page, OLD)
    page.keyboard.press("Enter")
    expect_open(page, OLD)
    page.keyboard.press("ArrowLeft")
    expect_open(page, OLD.replace("090000", "090100"))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("#timeline-"))
    page.wait_for_timeout(300)

    expect(page.get_by_role("button", name=OLD.replace("090000", "090100"))).to_be_focused()
