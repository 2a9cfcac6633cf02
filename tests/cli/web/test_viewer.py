"""The viewer, with mouse and keyboard in a real browser: zoom, next and previous, information, and closing it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.cli.web.viewer_photos import (
    ORIGINAL,
    THUMBNAIL,
    expect_open,
    id_of,
    index_dated,
    open_photo,
    part_at,
    picture_box,
)
from tests.photos import make_photo

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]


@pytest.fixture
def address(serve: Serve, run: Run, photos: Path, indexed: Path) -> str:
    index_dated(run, photos)
    return serve()


def src(page: Page) -> str:
    return page.locator("#viewer img").get_attribute("src") or ""


def test_the_wheel_zooms_about_the_pointer_and_back_to_the_whole_photo(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    whole = picture_box(page)
    x, y = whole.left + 0.2 * whole.width, whole.top + 0.4 * whole.height
    page.mouse.move(x, y)
    page.mouse.wheel(0, -500)
    page.wait_for_selector("#viewer .room.zoomed")
    near = picture_box(page)

    assert near.width == pytest.approx(whole.width * 2.718, rel=0.01)  # e^(500 / 500)
    assert part_at(near, x, y) == pytest.approx(part_at(whole, x, y), abs=0.002)

    page.mouse.wheel(0, 5000)
    page.wait_for_selector("#viewer .room:not(.zoomed)")
    assert picture_box(page) == pytest.approx(whole, abs=1)


def test_a_double_click_enlarges_what_is_below_it_and_another_shows_the_whole_photo(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    whole = picture_box(page)
    x, y = whole.left + whole.width * 0.3, whole.top + whole.height * 0.6
    page.mouse.dblclick(x, y)
    page.wait_for_selector("#viewer .room.zoomed")
    near = picture_box(page)

    assert near.width >= 2 * whole.width
    assert part_at(near, x, y) == pytest.approx((0.3, 0.6), abs=0.002)

    page.mouse.dblclick(x, y)
    page.wait_for_selector("#viewer .room:not(.zoomed)")
    assert picture_box(page) == pytest.approx(whole, abs=1)


def test_keys_zoom_about_the_middle_and_arrows_move_the_photo_only_while_it_is_enlarged(
    page: Page, address: str
) -> None:
    open_photo(page, address, "3.jpg")
    whole = picture_box(page)
    for key in "+++":
        page.keyboard.press(key)
    near = picture_box(page)
    assert near.width == pytest.approx(whole.width * 1.5**3, rel=0.01)
    assert near.middle == pytest.approx(whole.middle, abs=1)

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    moved = picture_box(page)
    assert (moved.left, moved.top) == pytest.approx((near.left - 80, near.top - 80), abs=1)
    expect(page.get_by_role("heading", name="3.jpg")).to_be_visible()

    page.keyboard.press("-")
    assert picture_box(page).width == pytest.approx(whole.width * 1.5**2, rel=0.01)
    page.keyboard.press("0")
    assert picture_box(page) == pytest.approx(whole, abs=1)
    page.keyboard.press("ArrowRight")
    expect_open(page, "2.jpg")


@pytest.mark.parametrize(("wish", "duration"), [("reduce", "0s"), ("no-preference", "0.15s")])
def test_a_photo_glides_only_where_the_system_asks_for_no_less_motion(
    page: Page, address: str, wish: Literal["reduce", "no-preference"], duration: str
) -> None:
    page.emulate_media(reduced_motion=wish)
    open_photo(page, address, "3.jpg")
    page.keyboard.press("+")

    expect(page.locator("#viewer .frame")).to_have_css("transition-duration", duration)


def test_a_drag_moves_an_enlarged_photo_no_further_than_to_its_edge(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    x, y = picture_box(page).middle
    page.mouse.dblclick(x, y)
    near = picture_box(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=3)
    moved = picture_box(page)
    assert (moved.left, moved.top) == pytest.approx((near.left + 30, near.top + 20), abs=1)

    page.mouse.move(x + 3000, y, steps=3)
    page.mouse.up()
    room = page.locator("#viewer .room").bounding_box()
    assert room is not None
    assert picture_box(page).left == pytest.approx(room["x"], abs=1)


def enlarge(page: Page) -> None:
    """Zoom in until more pixels are needed than the large thumbnail has."""
    for _ in range(5):
        page.keyboard.press("+")


def test_an_enlarged_photo_is_shown_by_its_original_once_that_has_been_decoded(page: Page, address: str) -> None:
    held: list[Route] = []
    page.route(ORIGINAL, lambda route: held.append(route))
    open_photo(page, address, "3.jpg")
    with page.expect_request(ORIGINAL):
        enlarge(page)
    before = picture_box(page)
    expect(page.locator("#viewer img")).to_have_attribute("src", THUMBNAIL)
    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", 1620)
    held[0].continue_()

    expect(page.locator("#viewer img")).to_have_attribute("src", ORIGINAL)
    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", 3000)
    assert picture_box(page) == pytest.approx(before, abs=1)


def test_a_photo_that_is_seen_whole_is_never_loaded_as_original(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_photo(page, address, "3.jpg")
    page.keyboard.press("ArrowRight")
    expect_open(page, "2.jpg")

    assert [url for url in asked if ORIGINAL.search(url)] == []


@pytest.mark.parametrize("name", ["scan.tif", "turned.png"])
def test_an_original_that_the_browser_does_not_show_alike_leaves_the_thumbnail(
    page: Page, serve: Serve, run: Run, photos: Path, indexed: Path, name: str
) -> None:
    make_photo(photos / name, "lime", (3000, 2000))
    if name == "scan.tif":
        Image.new("RGB", (3000, 2000), "lime").save(photos / name)
    assert run("index", photos).exit_code == 0
    page.route(ORIGINAL, lambda route: route.fulfill(path=photos / "pink.png") if "png" in name else route.continue_())
    open_photo(page, serve(), name)
    with page.expect_response(ORIGINAL):
        enlarge(page)
    page.wait_for_timeout(300)

    expect(page.locator("#viewer img")).to_have_attribute("src", THUMBNAIL)
    expect(page.locator("#viewer .broken")).to_be_hidden()


def test_an_icon_does_not_fill_the_window(page: Page, serve: Serve, run: Run, photos: Path, indexed: Path) -> None:
    make_photo(photos / "icon.png", "lime", (16, 16))
    assert run("index", photos).exit_code == 0
    open_photo(page, serve(), "icon.png")

    assert picture_box(page).width == pytest.approx(48, abs=1)  # three times its original size


@pytest.mark.parametrize(("key", "name"), [("ArrowRight", "2.jpg"), ("ArrowLeft", "4.jpg")])
def test_a_step_shows_a_picture_that_has_been_loaded_ahead(page: Page, address: str, key: str, name: str) -> None:
    ahead = id_of(page, address, name)
    with page.expect_response(f"**/photos/{ahead}/thumbnail?size=large"):
        open_photo(page, address, "3.jpg")
    page.wait_for_load_state("networkidle")
    page.route("**/thumbnail*", lambda route: route.abort())
    page.keyboard.press(key)

    expect_open(page, name)
    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", 1620)


def test_a_picture_that_could_not_be_loaded_ahead_is_loaded_when_it_is_shown(page: Page, address: str) -> None:
    ahead = f"**/photos/{id_of(page, address, '2.jpg')}/thumbnail?size=large"
    page.route(ahead, lambda route: route.abort())
    with page.expect_event("requestfailed"):
        open_photo(page, address, "3.jpg")
    page.unroute(ahead)
    page.keyboard.press("ArrowRight")

    expect_open(page, "2.jpg")
    expect(page.locator("#viewer .broken")).to_be_hidden()


def test_the_picture_before_stays_until_the_next_one_has_arrived(page: Page, address: str) -> None:
    next_one = id_of(page, address, "2.jpg")
    held: list[Route] = []
    page.route(f"**/photos/{next_one}/thumbnail*", lambda route: held.append(route))
    open_photo(page, address, "3.jpg")
    before = src(page)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="2.jpg")).to_be_visible()

    # The picture does not belong to the facts shown.
    expect(page.locator("#viewer .frame")).to_have_class(re.compile("late"))
    assert src(page) == before
    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", 1620)
    for route in held:
        route.continue_()
    expect_open(page, "2.jpg")
    expect(page.locator("#viewer .frame")).not_to_have_class(re.compile("late"))


def test_a_large_picture_that_is_late_is_shown_small_meanwhile(page: Page, address: str) -> None:
    next_one = id_of(page, address, "2.jpg")
    page.route(f"**/photos/{next_one}/thumbnail?size=large", lambda route: None)
    open_photo(page, address, "3.jpg")
    page.keyboard.press("ArrowRight")

    expect(page.locator("#viewer img")).to_have_attribute("src", re.compile(f"/{next_one}/thumbnail[?]size=small"))


def test_a_photo_whose_file_is_gone_shows_no_picture_of_another(
    page: Page, address: str, photos: Path, tmp_path: Path
) -> None:
    (photos / "2.jpg").unlink()
    open_photo(page, address, "3.jpg")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("alert")).to_contain_text("the file no longer exists")
    expect(page.locator("#viewer .frame")).to_be_hidden()
    assert Axe().run(page).response["violations"] == []
    page.keyboard.press("+")  # nothing can be enlarged, so the arrows still move between photos
    page.keyboard.press("ArrowRight")
    expect_open(page, "1.jpg")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_ends_end_and_the_focus_stays_where_it_is(page: Page, address: str) -> None:
    open_photo(page, address, "4.jpg")
    previous = page.get_by_role("button", name="Previous photo")
    next_one = page.get_by_role("button", name="Next photo")
    expect(previous).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("heading", name="4.jpg")).to_be_visible()
    next_one.focus()
    for name in ("3.jpg", "2.jpg", "1.jpg", "blue", "dark red.png", "pink.png"):
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(next_one).to_be_disabled()
    expect(next_one).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")

    expect(page.get_by_role("heading", name="pink.png")).to_be_visible()
    expect(next_one).to_be_focused()


def test_a_search_that_has_more_hits_is_loaded_on_by_the_next_button(
    page: Page, serve: Serve, run: Run, photos: Path, indexed: Path
) -> None:
    for number in range(70):
        make_photo(photos / f"{number:02}.png", (255 - number, 3 * number, number), (40, 30))
    assert run("index", photos).exit_code == 0
    page.set_viewport_size({"width": 400, "height": 300})
    page.goto(f"{serve()}/?q=red&duplicates=show")
    page.wait_for_selector("#results[aria-busy=false]", state="attached")
    page.locator("#results button").first.click()
    for number in range(1, 74):
        expect(page.locator("#viewer .position")).to_have_text(re.compile(f"^{number} of"))
        page.keyboard.press("ArrowRight")

    expect(page.locator("#viewer .position")).to_have_text("74 of 74")
    expect(page.get_by_role("button", name="Next photo")).to_be_disabled()


def test_a_step_is_announced_with_the_name_and_the_number_of_the_photo(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    page.keyboard.press("ArrowRight")

    expect(page.locator("#viewer").get_by_role("status")).to_have_text("2.jpg, 2021-03-02, photo 3 of 7")


def test_the_information_is_shown_or_not_as_last_chosen(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    button = page.get_by_role("button", name="Information")
    expect(button).to_have_attribute("aria-expanded", "true")
    wide = picture_box(page)
    page.keyboard.press("i")
    expect(page.locator("#viewer .facts")).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    page.wait_for_function(
        "width => document.querySelector('#viewer .frame').offsetWidth > width + 100", arg=wide.width
    )
    page.reload()
    expect(page.get_by_role("dialog", name="3.jpg")).to_be_visible()
    expect(page.locator("#viewer .facts")).to_be_hidden()
    button.click()
    expect(page.locator("#viewer .facts")).to_be_visible()


def test_the_time_of_the_camera_s_clock_is_shown_in_the_reader_s_language_and_never_shifted(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(locale="de-DE", timezone_id="Pacific/Auckland")
    page = context.new_page()
    open_photo(page, address, "3.jpg")

    expect(page.locator("#viewer dl time")).to_have_text("Mittwoch, 3. März 2021 um 14:05")
    expect(page.locator("#viewer dl time")).to_have_attribute("lang", "de-DE")
    context.close()


def test_exposure_lens_and_file_are_among_the_facts(
    page: Page, serve: Serve, run: Run, photos: Path, indexed: Path
) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(
        {0x829A: 0.004, 0x829D: 2.8, 0x8827: 200, 0x920A: 35.0, 0xA405: 56, 0xA434: "RF35mm F1.8"}
    )
    Image.new("RGB", (1200, 800), "lime").save(photos / "exposed.jpg", exif=exif)
    assert run("index", photos).exit_code == 0
    open_photo(page, serve(), "exposed.jpg")

    facts = page.locator("#viewer dl")
    expect(facts).to_contain_text("f/2.8 · 1/250 s · ISO 200 · 35 mm · 56 mm (35 mm equivalent)")
    size = (photos / "exposed.jpg").stat().st_size
    for text in ("RF35mm F1.8", f"1200 × 800 · 1 MP · {size / 1000:.1f} kB · JPEG", "exposed.jpg"):
        expect(facts).to_contain_text(text)


def test_a_photo_is_downloaded_under_its_own_name(
    page: Page, serve: Serve, run: Run, photos: Path, indexed: Path
) -> None:
    name = 'Übung 1; a "b".png'
    make_photo(photos / name, "lime")
    assert run("index", photos).exit_code == 0
    page.goto(serve())
    page.get_by_role("button", name=name).click()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()

    assert Path(started.value.path()).read_bytes() == (photos / name).read_bytes()
    assert started.value.suggested_filename.replace("_", '"') == name  # browsers do not allow quotes in names


def test_full_screen_shows_picture_and_information_and_ends_with_the_photo(page: Page, address: str) -> None:
    open_photo(page, address, "3.jpg")
    button = page.get_by_role("button", name="Full screen")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#viewer .facts")).to_be_visible()
    page.keyboard.press("Shift+F")
    expect(button).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Shift+F")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Close").click()

    page.wait_for_function("() => !document.fullscreenElement")


def test_a_browser_without_full_screen_has_no_button_for_it(page: Page, address: str) -> None:
    page.add_init_script("Object.defineProperty(document, 'fullscreenEnabled', { value: undefined })")
    open_photo(page, address, "3.jpg")

    expect(page.get_by_role("button", name="Full screen")).to_be_hidden()


def test_the_keys_go_on_after_something_in_the_information_had_the_focus(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-write"])
    open_photo(page, address, "4.jpg")
    page.get_by_role("button", name="Copy path").click()
    for name in ("3.jpg", "2.jpg", "1.jpg"):
        page.keyboard.press("ArrowRight")
        expect_open(page, name)


def test_a_photo_that_cannot_be_loaded_stands_beside_no_facts_of_another(page: Page, address: str) -> None:
    open_photo(page, address, "4.jpg")
    page.evaluate(
        "import('./static/timeline.js').then(({ Timeline }) => { Timeline.prototype.load = async () => undefined; })"
    )
    page.keyboard.press("ArrowRight")

    expect(page.locator("#viewer .broken")).to_contain_text("cannot be loaded right now")
    expect(page.locator("#viewer h2")).to_have_text("")
    expect(page.get_by_role("link", name="Download")).to_have_count(0)
