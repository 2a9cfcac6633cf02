"""Every screen of the photos page, from 320 px to 4K, with the checks in `looks`: axe, target sizes, headings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cli.conftest import Run
from tests.cli.web import looks
from tests.cli.web.conftest import CHROMIUM, Serve
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


def open_first(page: Page) -> None:
    page.locator("#results button").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def show_word(page: Page) -> None:
    open_first(page)
    page.get_by_role("button", name="red", exact=True).click()


def enlarge(page: Page) -> None:
    open_first(page)
    page.keyboard.press("+")


def hide_facts(page: Page) -> None:
    open_first(page)
    page.keyboard.press("i")


def play(page: Page) -> None:
    open_first(page)
    page.keyboard.press("s")


def fill_the_screen(page: Page) -> None:
    open_first(page)
    page.keyboard.press("Shift+F")


def reveal(page: Page) -> None:
    open_first(page)
    page.get_by_role("button", name="Show in the timeline").click()


def suggest(page: Page) -> None:
    page.get_by_role("combobox", name="Search your photos").press_sequentially("20")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("ArrowDown")


def show_shortcuts(page: Page) -> None:
    page.get_by_role("button", name="Keyboard shortcuts").click()


def open_filters(page: Page) -> None:
    page.get_by_role("button", name="Filters").click()


def walk(page: Page) -> None:
    page.get_by_role("combobox", name="Search your photos").press("ArrowDown")


@pytest.fixture
def many(run: Run, photos: Path, indexed: Path, model: ColourRuntime) -> None:
    """Enough photos for a scrubber, from several years, in addition to those without a date."""
    model.calibrated = True
    for number in range(70):
        name = f"IMG_{2015 + number % 7}{1 + number % 12:02}10_{number % 24:02}0000.png"
        make_photo(photos / name, (1 + number, 100, 50))
    assert run("index", photos).exit_code == 0


@pytest.mark.parametrize(
    ("address", "act"),
    [
        ("/", walk),
        ("/", suggest),
        ("/", open_filters),
        ("/", show_shortcuts),
        ("/", open_first),
        ("/", enlarge),
        ("/", hide_facts),
        ("/", play),
        ("/", fill_the_screen),
        ("/", reveal),
        ("/?camera=none", walk),
        ("/?q=red&minus=blue&like=1", walk),
        ("/?q=red", show_word),
        ("/?q=red&after=soon", walk),
    ],
)
def test_nothing_is_wrong_with_a_screen(
    browser: Browser, serve: Serve, many: None, address: str, act: Callable[[Page], object]
) -> None:
    assert looks.check(browser, f"{serve()}{address}", act) == []


def test_nothing_is_wrong_with_the_screen_of_an_empty_library(
    browser: Browser, serve: Serve, run: Run, photos: Path, indexed: Path
) -> None:
    run("forget", photos)

    assert looks.check(browser, serve()) == []
