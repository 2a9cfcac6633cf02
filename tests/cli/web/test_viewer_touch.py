"""The viewer, with touch on a phone's screen, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.cli.web.viewer_photos import expect_open, index_dated, open_photo, part_at, picture_box

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

Point = tuple[float, float]
SMALLER_THAN_44_PX = """() => [...document.querySelectorAll("#viewer :is(button, a)")]
  .filter((one) => one.checkVisibility())
  .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 43.9 || height < 43.9)
  .map(([html]) => html)"""


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def address(serve: Serve, run: Run, photos: Path, indexed: Path) -> str:
    index_dated(run, photos)
    return serve()


def touch(page: Page, *fingers: tuple[Point, Point], steps: int = 8) -> None:
    """Put fingers on the screen, move each from one point to another, and lift them."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, share: float) -> None:
        points = [
            {"x": x + (to_x - x) * share, "y": y + (to_y - y) * share, "id": finger}
            for finger, ((x, y), (to_x, to_y)) in enumerate(fingers)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 0)
    for step in range(1, steps + 1):
        send("touchMove", step / steps)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def test_a_swipe_to_the_left_leads_to_the_next_photo_and_one_to_the_right_back(phone: Page, address: str) -> None:
    open_photo(phone, address, "3.jpg")
    x, y = picture_box(phone).middle
    touch(phone, ((x + 60, y), (x - 60, y + 10)))
    expect_open(phone, "2.jpg")
    touch(phone, ((x - 60, y), (x + 60, y - 10)))
    expect_open(phone, "3.jpg")


def test_a_swipe_down_closes_the_photo_and_a_short_one_does_not(phone: Page, address: str) -> None:
    open_photo(phone, address, "3.jpg")
    whole = picture_box(phone)
    x, y = whole.middle
    touch(phone, ((x, y), (x, y + 30)))
    touch(phone, ((x, y), (x - 30, y)))
    expect(phone.get_by_role("heading", name="3.jpg")).to_be_visible()
    assert picture_box(phone) == pytest.approx(whole, abs=1)
    touch(phone, ((x, y), (x + 10, y + 100)))

    expect(phone.get_by_role("dialog")).to_be_hidden()
    expect(phone.locator("#results button[title$='/3.jpg']")).to_be_focused()


def test_two_fingers_zoom_about_the_point_between_them(phone: Page, address: str) -> None:
    open_photo(phone, address, "3.jpg")
    whole = picture_box(phone)
    x, y = whole.left + whole.width / 3, whole.middle[1]
    touch(phone, ((x - 20, y), (x - 60, y)), ((x + 20, y), (x + 60, y)))
    near = picture_box(phone)

    assert near.width == pytest.approx(3 * whole.width, rel=0.02)  # from 40 to 120 pixels apart
    assert part_at(near, x, y) == pytest.approx(part_at(whole, x, y), abs=0.02)
    expect(phone.get_by_role("heading", name="3.jpg")).to_be_visible()

    touch(phone, ((x - 70, y), (x - 10, y)), ((x + 70, y), (x + 10, y)))
    assert picture_box(phone) == pytest.approx(whole, abs=1)


def test_a_finger_moves_an_enlarged_photo_and_steps_no_further(phone: Page, address: str) -> None:
    open_photo(phone, address, "3.jpg")
    x, y = picture_box(phone).middle
    for _ in range(2):
        touch(phone, ((x, y), (x, y)), steps=1)
    phone.wait_for_selector("#viewer .room.zoomed")
    near = picture_box(phone)
    touch(phone, ((x + 60, y), (x - 60, y)))

    assert picture_box(phone).left == pytest.approx(near.left - 120, abs=1)
    expect(phone.get_by_role("heading", name="3.jpg")).to_be_visible()
    for _ in range(2):
        touch(phone, ((x, y), (x, y)), steps=1)
    phone.wait_for_selector("#viewer .room:not(.zoomed)")


def test_everything_to_touch_is_large_enough(phone: Page, address: str) -> None:
    open_photo(phone, f"{address}/?q=red", "pink.png")
    phone.get_by_role("button", name="red", exact=True).wait_for()
    phone.get_by_role("button", name="Copy path").wait_for()

    assert phone.evaluate(SMALLER_THAN_44_PX) == []
    assert Axe().run(phone).response["violations"] == []


def test_the_information_is_below_the_picture(phone: Page, address: str) -> None:
    open_photo(phone, address, "3.jpg")
    facts = phone.locator("#viewer .facts").bounding_box()
    whole = picture_box(phone)

    assert facts is not None
    assert facts["y"] >= whole.top + whole.height
    assert facts["width"] == 360
