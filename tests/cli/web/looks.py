"""Checks that apply to every page, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

_SMALLER_THAN_24_PX = """() => [...document.querySelectorAll("a, button, input, select")]
  .filter((one) => one.checkVisibility() && !(one.matches("p a") && getComputedStyle(one).display === "inline"))
  .map((one) => [one.outerHTML.slice(0, 120), one.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 24 || height < 24)
  .map(([html]) => html)"""
"""Links within a sentence may be smaller than other targets (WCAG 2.2, 2.5.8)."""
_LEVELS = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
  .filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]))"""
_LONGEST_LINE = """() => Math.max(0, ...[...document.querySelectorAll("main p")].map((one) => one.offsetWidth))"""
_MOST_READABLE_PX = 800
"""The width of about 100 characters."""


def check(browser: Browser, address: str, act: Callable[[Page], object] = lambda page: None) -> list[str]:
    """Return the problems of a page after `act` has run: in light and dark mode, on a phone and on large screens."""
    found: list[str] = []
    for width, scheme in ((320, "light"), (360, "dark"), (1280, "light"), (1280, "dark"), (3840, "light")):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        act(page)
        page.wait_for_load_state("networkidle")
        refused = [told.text for told in page.console_messages() if "Content Security Policy" in told.text]
        found += [f"{width} px, {scheme}: {problem}" for problem in (*_problems(page, width), *refused)]
        context.close()
    return found


def _problems(page: Page, width: int) -> list[str]:
    problems = [f"{one['id']} at {one['nodes'][0]['target']}" for one in Axe().run(page).response["violations"]]
    problems += [f"small: {html}" for html in page.evaluate(_SMALLER_THAN_24_PX)]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        problems.append("scrolls sideways")
    levels = page.evaluate(_LEVELS)
    if levels[:1] != [1] or any(after > before + 1 for before, after in pairwise(levels)):
        problems.append(f"headings {levels}")
    if page.evaluate(_LONGEST_LINE) > _MOST_READABLE_PX:
        problems.append("lines too long to read")
    return problems
