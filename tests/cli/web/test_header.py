"""The header, which is the same on every page, and its theme switch, in headless Chromium."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from pixsearch_cli.web.access import access_at
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

LIGHT, DARK = "rgb(255, 255, 255)", "rgb(21, 22, 26)"
TOKEN = "a token of this test"
SMALLER_THAN_24_PX = """() => [...document.querySelectorAll("header :is(a, button, input)")]
  .filter((one) => one.checkVisibility())
  .map((one) => [one.textContent.trim(), one.getBoundingClientRect()])
  .filter(([, { left, right, width, height }]) => width < 24 || height < 24 || left < 0 || right > innerWidth)
  .map(([text]) => text)"""


def ground(page: Page) -> str:
    """Return the background colour."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def bar(page: Page) -> list[str]:
    """Return the colours in the meta tags that apply, which the browser may use for its own toolbar."""
    return list(
        page.locator("meta[name=theme-color]").evaluate_all(
            "metas => metas.filter((meta) => matchMedia(meta.media).matches).map((meta) => meta.content)"
        )
    )


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("path", ["/library", "/nothing"])
def test_every_page_searches_with_and_without_javascript(
    browser: Browser, serve: Serve, path: str, javascript: bool
) -> None:
    address = serve(access_at("127.0.0.1", None, root_path="/photos", asks_for_token=False))
    context = browser.new_context(java_script_enabled=javascript)
    page = context.new_page()
    page.goto(f"{address}/photos{path}")

    page.get_by_role("searchbox", name="Search your photos").fill("red & blue")
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{address}/photos/?q=red+%26+blue")
    context.close()


@pytest.mark.parametrize(("path", "current"), [("/", "Photos"), ("/library", "Library")])
def test_the_page_that_is_open_is_marked_among_the_links(page: Page, serve: Serve, path: str, current: str) -> None:
    page.goto(f"{serve()}{path}")

    links = page.get_by_role("navigation", name="Main").get_by_role("link")
    expect(links).to_have_text(["Photos", "Folders", "Duplicates", "Library"])
    expect(page.locator("header [aria-current=page]")).to_have_text(current)


@pytest.mark.parametrize("width", [320, 360, 768, 1000, 3840])
@pytest.mark.parametrize("path", ["/", "/?q=red&minus=blue", "/library", "/nothing"])
def test_all_of_the_header_is_in_reach_on_every_width(browser: Browser, serve: Serve, path: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 700})
    page = context.new_page()
    page.goto(f"{serve()}{path}")
    page.wait_for_load_state("networkidle")

    assert page.evaluate(SMALLER_THAN_24_PX) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    context.close()


@pytest.mark.parametrize(("scheme", "by_system"), [("light", LIGHT), ("dark", DARK)])
def test_the_theme_is_the_system_s_until_it_is_switched_and_then_kept(
    browser: Browser, serve: Serve, scheme: str, by_system: str
) -> None:
    address = serve()
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    switch = page.locator("#theme")

    expect(switch).to_have_accessible_name("Theme: system")
    assert ground(page) == by_system
    switch.click()
    expect(switch).to_have_accessible_name("Theme: light")
    assert (ground(page), bar(page)) == (LIGHT, ["#ffffff"])
    switch.click()
    expect(switch).to_have_accessible_name("Theme: dark")
    assert (ground(page), bar(page)) == (DARK, ["#15161a"])

    page.goto(f"{address}/library")
    expect(switch).to_have_accessible_name("Theme: dark")
    assert ground(page) == DARK
    switch.click()
    expect(switch).to_have_accessible_name("Theme: system")
    assert ground(page) == by_system
    context.close()


def test_a_theme_is_there_before_anything_is_drawn(browser: Browser, serve: Serve) -> None:
    address = serve()
    context = browser.new_context(color_scheme="light")
    context.add_init_script("localStorage.setItem('pixsearch-theme', 'dark')")
    page = context.new_page()
    page.route("**/static/*.js", lambda route: None if "app.js" in route.request.url else route.continue_())

    page.goto(address, wait_until="commit")  # the page's module never arrives
    page.wait_for_selector("header", state="attached")

    assert ground(page) == DARK
    context.close()


def test_a_theme_that_was_switched_in_another_tab_holds_in_this_one(page: Page, serve: Serve) -> None:
    address = serve()
    page.goto(address)
    other = page.context.new_page()
    other.goto(address)
    other.locator("#theme").click()

    expect(page.locator("#theme")).to_have_accessible_name("Theme: light")


def test_a_browser_that_keeps_nothing_switches_the_theme_of_the_page(browser: Browser, serve: Serve) -> None:
    context = browser.new_context(color_scheme="dark")
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError') } })"
    )
    page = context.new_page()
    page.goto(serve())
    page.locator("#theme").click()

    expect(page.locator("#theme")).to_have_accessible_name("Theme: light")
    assert ground(page) == LIGHT
    context.close()


def test_without_javascript_there_is_no_switch_that_does_nothing(browser: Browser, serve: Serve) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{serve()}/library")

    expect(page.locator("#theme")).to_be_hidden()
    assert ground(page) == DARK
    context.close()


def test_the_page_that_asks_for_the_token_has_the_theme_and_no_links(page: Page, serve: Serve) -> None:
    page.goto(serve(access_at("127.0.0.1", TOKEN, root_path="/photos")))
    page.locator("#theme").click()
    page.locator("#theme").click()

    assert ground(page) == DARK
    expect(page.get_by_role("searchbox")).to_have_count(0)
    expect(page.get_by_role("navigation")).to_have_count(0)
    assert Axe().run(page).response["violations"] == []
