"""Selecting photos on the page with mouse, touch and keyboard, and using the selection, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import ZipFile

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.cli.web.test_page import names, search, where_photos_are
from tests.cli.web.test_timeline_page import index_days
from tests.cli.web.test_zip_api import download, id_at, large  # noqa: F401 - a fixture
from tests.photos import make_photo

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

WATCH_SHIFTS = """() => {
    window.shifts = [];
    window.observer = new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({ value }) => value)));
    observer.observe({ type: "layout-shift" });
}"""


def tile(page: Page, name: str) -> Locator:
    return page.locator("#results li", has=page.locator(f"button[title$='/{name}']"))


def check(page: Page, name: str) -> None:
    tile(page, name).hover()
    tile(page, name).get_by_role("checkbox").click()


def selected(page: Page) -> list[str]:
    """Return the names of the selected photos in document order."""
    marked = page.locator("#results li:has(:checked) > button")
    return [Path(path).name for path in marked.evaluate_all("tiles => tiles.map(t => t.title)")]


def expect_count(page: Page, text: str) -> None:
    expect(page.locator("#selection .count")).to_have_text(text)
    expect(page.locator("#selection")).to_be_visible(visible=bool(text))


@pytest.fixture
def days(run: Run, photos: Path) -> list[str]:
    """Index twelve photos from three days, four a day, and return their names in timeline order."""
    index_days(run, photos, {"2021-03-15": 12, "2021-03-14": 12, "2021-03-02": 8}, each=4)
    stems = [
        f"2021{day}_{hour:02}{minute:02}00"
        for day, hour in (("0315", 12), ("0314", 12), ("0302", 8))
        for minute in (3, 2, 1, 0)
    ]
    return [f"IMG_{stem}.png" for stem in stems]


def open_timeline(page: Page, serve: Serve, days: list[str]) -> str:
    address = serve()
    page.goto(address)
    assert names(page)[:12] == days
    return address


def test_a_check_mark_selects_and_nothing_moves(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)
    before = where_photos_are(page)
    page.evaluate(WATCH_SHIFTS)
    expect(tile(page, days[1]).get_by_role("checkbox")).to_have_css("opacity", "0")

    check(page, days[1])

    expect_count(page, "1 selected")
    check(page, days[5])
    expect_count(page, "2 selected")
    assert selected(page) == [days[1], days[5]]
    expect(page.locator("#viewer")).to_be_hidden()
    assert where_photos_are(page) == before
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert page.evaluate("shifts") == []

    check(page, days[1])
    page.get_by_role("button", name="Clear").click()
    expect_count(page, "")
    expect(page.get_by_role("button", name="Download")).to_be_hidden()


def test_shift_selects_all_between_and_ctrl_one_more(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)

    check(page, days[2])
    tile(page, days[6]).click(modifiers=["Shift"])
    assert selected(page) == days[2:7]
    tile(page, days[4]).get_by_role("checkbox").click(modifiers=["Shift"])  # the range is now shorter
    assert selected(page) == days[2:5]
    tile(page, days[8]).click(modifiers=["Control"])
    assert selected(page) == [*days[2:5], days[8]]
    tile(page, days[3]).click(modifiers=["Control"])

    assert selected(page) == [days[2], days[4], days[8]]
    expect_count(page, "3 selected")
    tile(page, days[0]).locator("button").click()  # without a key, a click opens the photo
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect_count(page, "3 selected")


def test_a_rectangle_that_is_drawn_selects_what_it_touches(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)
    check(page, days[0])
    first, last = tile(page, days[5]).bounding_box(), tile(page, days[6]).bounding_box()
    assert first is not None
    assert last is not None

    page.mouse.move(first["x"] + 30, first["y"] + 40)
    page.mouse.down()
    page.mouse.move(first["x"] + 50, first["y"] + 50)
    page.mouse.move(last["x"] + 20, last["y"] + 60, steps=4)
    expect_count(page, "3 selected")
    page.mouse.up()

    assert selected(page) == [days[0], days[5], days[6]]
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("#band")).to_have_count(0)
    tile(page, days[1]).locator("button").click()  # the next click is a normal one
    expect(page.locator("#viewer")).to_be_visible()


def test_the_keyboard_selects_one_a_range_a_day_all_and_none(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert selected(page) == days[:1]
    page.keyboard.press("x")
    assert selected(page) == []

    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert selected(page) == days[1:4]
    page.keyboard.press("Shift+ArrowLeft")
    assert selected(page) == days[1:3]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert selected(page) == [days[1], days[2], days[4], days[5]]
    expect(tile(page, days[5]).locator("button")).to_be_focused()

    page.keyboard.press("d")
    assert selected(page) == [days[1], days[2], *days[4:8]]
    page.keyboard.press("Control+a")
    expect_count(page, "15 selected")
    page.keyboard.press("Escape")
    expect_count(page, "")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()


def test_keys_in_a_field_are_for_its_text(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)
    check(page, days[0])
    box = page.get_by_role("combobox", name="Search your photos")
    box.fill("x d")

    page.keyboard.press("Control+a")

    expect_count(page, "1 selected")
    assert page.evaluate("getSelection().toString()") == "x d"
    box.fill("")
    page.keyboard.press("Control+a")  # there is no text to select, so all photos are selected
    expect_count(page, "15 selected")


def test_a_day_is_selected_at_its_heading(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)
    heading = page.get_by_role("heading", name="Sun 14")
    heading.hover()
    day = heading.get_by_role("checkbox", name="Select Sun 14")

    day.click()

    assert selected(page) == days[4:8]
    expect(day).to_have_attribute("aria-checked", "true")
    check(page, days[4])
    expect(day).to_have_attribute("aria-checked", "mixed")
    day.click()
    assert selected(page) == days[4:8]
    day.click()
    assert selected(page) == []


def test_what_is_selected_stays_so_while_one_scrolls_also_where_nothing_is_loaded(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    index_days(
        run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)}, each=8
    )
    page.goto(serve())
    first = names(page)[0]
    check(page, first)
    page.evaluate("document.activeElement.blur(), scrollTo(0, document.body.scrollHeight)")
    expect(tile(page, first)).to_have_count(0)
    expect(page.get_by_role("button", name="dark red.png")).to_be_visible()
    expect_count(page, "1 selected")

    tile(page, "dark red.png").click(modifiers=["Shift"])  # 12 x 12 x 8 photos with a date, and the first two without
    expect_count(page, "1,154 selected")
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    expect(page.get_by_role("button", name="Loading")).to_have_count(0)
    expect(page.locator("#results li.selected").nth(20)).to_be_attached()
    expect(page.locator("#results li:not(.selected)")).to_have_count(0)

    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+a")
    expect_count(page, "1,155 selected")
    page.evaluate("scrollTo(0, 0)")
    expect(tile(page, first).get_by_role("checkbox")).to_be_checked()


def test_another_order_keeps_the_selection_and_another_search_clears_it(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red")
    names(page)
    check(page, "pink.png")

    page.get_by_label("Sort by").select_option("oldest")
    page.wait_for_url("**sort=oldest")
    names(page)
    assert selected(page) == ["pink.png"]
    expect_count(page, "1 selected")

    search(page, "blue")
    assert selected(page) == []
    expect_count(page, "")


@contextmanager
def phone(browser: Browser, width: int = 360) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


class Finger:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._devtools = page.context.new_cdp_session(page)

    def _send(self, kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        self._devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def press(self, photo: Locator, milliseconds: int) -> None:
        box = photo.bounding_box()
        assert box is not None
        self._send("touchStart", (box["x"] + 40, box["y"] + 40))
        self._page.wait_for_timeout(milliseconds)
        self._send("touchEnd")

    def swipe_up(self, photo: Locator) -> None:
        box = photo.bounding_box()
        assert box is not None
        x, y = box["x"] + 40, box["y"] + 40
        self._send("touchStart", (x, y))
        for step in range(1, 11):
            self._send("touchMove", (x, y - 20 * step))
            self._page.wait_for_timeout(16)
        self._page.wait_for_timeout(600)  # longer than a long press
        self._send("touchEnd")


def test_a_long_press_begins_a_selection_and_taps_go_on(browser: Browser, serve: Serve, days: list[str]) -> None:
    with phone(browser) as page:
        open_timeline(page, serve, days)
        finger = Finger(page)

        finger.press(tile(page, days[0]), 600)
        expect_count(page, "1 selected")
        expect(page.locator("#viewer")).to_be_hidden()
        expect(tile(page, days[1]).get_by_role("checkbox")).to_have_css("opacity", "1")
        tile(page, days[1]).locator("button").tap()
        tile(page, days[2]).locator("button").tap()
        tile(page, days[0]).locator("button").tap()
        assert selected(page) == days[1:3]

        page.get_by_role("button", name="Clear").tap()
        tile(page, days[1]).locator("button").tap()  # with nothing selected, a tap opens the photo
        expect(page.locator("#viewer")).to_be_visible()


def test_a_tap_in_the_corner_of_a_photo_opens_it(browser: Browser, serve: Serve, days: list[str]) -> None:
    with phone(browser) as page:
        open_timeline(page, serve, days)
        tile(page, days[0]).locator("button").tap(position={"x": 10, "y": 10})

        expect(page.locator("#viewer")).to_be_visible()


def test_a_swipe_scrolls_and_selects_nothing(browser: Browser, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {f"2020-{month:02}-10": 9 for month in range(1, 13)})
    with phone(browser) as page:
        page.goto(serve())

        Finger(page).swipe_up(tile(page, names(page)[2]))

        page.wait_for_function("scrollY > 50")
        expect_count(page, "")
        expect(page.locator("#viewer")).to_be_hidden()


def test_a_download_is_a_zip_of_the_files_and_the_page_stays(
    page: Page, serve: Serve, days: list[str], photos: Path, tmp_path: Path
) -> None:
    open_timeline(page, serve, days)
    address = page.url
    for name in days[1:4]:
        check(page, name)

    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Download").click()

    assert downloaded.value.suggested_filename == "3 photos.zip"
    downloaded.value.save_as(tmp_path / "got.zip")
    with ZipFile(tmp_path / "got.zip") as archive:
        assert archive.namelist() == days[1:4]
        assert [archive.read(name) for name in days[1:4]] == [(photos / name).read_bytes() for name in days[1:4]]
    assert page.url == address
    expect_count(page, "3 selected")


def test_that_two_others_are_being_downloaded_is_said_on_the_page(
    page: Page,
    serve: Serve,
    large: Path,  # noqa: F811
) -> None:
    address = serve()
    page.goto(f"{address}/?q=red")
    names(page)
    check(page, "pink.png")
    with ExitStack() as downloads:
        for _ in range(2):
            reader = downloads.enter_context(download(address, [id_at(address, "large")]))
            assert reader.recv(12) == b"HTTP/1.1 200"

        page.get_by_role("button", name="Download").click()

        expect(page.locator("#selection .note")).to_have_text(
            "Other downloads are in progress: try again when they are done."
        )
        assert page.url == f"{address}/?q=red"
        assert selected(page) == ["pink.png"]


def test_a_form_on_another_site_downloads_nothing(page: Page, serve: Serve) -> None:
    address = serve()
    page.set_content(f"<form method=post action='{address}/api/zip'><input name=ids value=1><button>Go</button></form>")
    page.get_by_role("button", name="Go").click()

    expect(page.locator("main")).to_contain_text("Requests from other sites are refused")


def test_paths_are_copied_one_a_line(page: Page, serve: Serve, days: list[str], photos: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_timeline(page, serve, days)
    check(page, days[3])
    check(page, days[0])

    page.get_by_role("button", name="Copy paths").click()

    expect(page.locator("#selection .note")).to_have_text("2 paths copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{photos}/{days[3]}\n{photos}/{days[0]}"


def test_without_a_clipboard_the_paths_are_shown_to_be_copied(
    page: Page, serve: Serve, days: list[str], photos: Path
) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as over plain HTTP
    open_timeline(page, serve, days)
    page.keyboard.press("Control+a")
    expect_count(page, "15 selected")

    page.get_by_role("button", name="Copy paths").click()

    dialog = page.get_by_role("dialog", name="Copy from here")
    lines = dialog.get_by_role("textbox").input_value().split("\n")
    assert len(lines) == 15
    assert lines[:12] == [f"{photos}/{name}" for name in days]
    assert page.evaluate("document.activeElement.selectionEnd - document.activeElement.selectionStart") > 100
    assert Axe().run(page).response["violations"] == []
    dialog.get_by_role("button", name="Close").click()
    expect_count(page, "15 selected")


@pytest.mark.parametrize(("button", "field"), [("More like these", "like"), ("Less like these", "unlike")])
def test_more_and_less_like_these_are_added_to_the_search(page: Page, serve: Serve, button: str, field: str) -> None:
    address = serve()
    page.goto(f"{address}/?q=red")
    names(page)
    check(page, "pink.png")
    check(page, "dark red.png")
    ids = [id_at(address, name) for name in ("pink.png", "dark red.png")]

    page.get_by_role("button", name=button).click()

    page.wait_for_url(f"{address}/?q=red&{field}={ids[0]}&{field}={ids[1]}")
    assert len(names(page)) == 3
    expect(page.locator("#chips li")).to_have_count(2)
    expect_count(page, "")


def test_less_like_these_alone_finds_the_least_alike_first(page: Page, serve: Serve) -> None:
    page.goto(serve())
    names(page)
    check(page, "pink.png")
    check(page, "dark red.png")

    page.get_by_role("button", name="Less like these").click()

    page.wait_for_url("**/?unlike=*")
    assert names(page)[0] == "blue again.png"


def test_thirty_two_pictures_are_searched_by_and_why_no_more_is_said(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    for number in range(40):
        make_photo(photos / "many" / f"{number:02}.png", (5 * number, 255 - 5 * number, 90))
    run("index", photos)
    address = serve()
    page.goto(f"{address}/?folder={photos}/many")
    listed = names(page)
    tile(page, listed[0]).click(modifiers=["Control"])
    tile(page, listed[32]).click(modifiers=["Shift"])
    expect_count(page, "33 selected")
    more = page.get_by_role("button", name="More like these")
    expect(more).to_have_attribute("aria-disabled", "true")
    expect(more).to_have_attribute("title", "This search has room for 32 more pictures: select fewer.")

    more.click(force=True)  # Playwright considers it not clickable

    expect(page.locator("#selection .note")).to_have_text("This search has room for 32 more pictures: select fewer.")
    assert page.url.partition("#")[0] == f"{address}/?folder={photos}/many"
    tile(page, listed[32]).click(modifiers=["Control"])
    more.click()
    page.wait_for_url("**like=*")
    assert page.url.count("&like=") == 32
    assert names(page) != []
    expect(page.locator("#message")).to_have_text("Best matches first.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_while_photos_are_selected(
    browser: Browser, serve: Serve, days: list[str], width: int, scheme: str
) -> None:
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": 740}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    address = open_timeline(page, serve, days)
    for where in ("", "/?q=red"):
        page.goto(f"{address}{where}")
        name = names(page)[0]
        check(page, name)
        expect(page.get_by_role("checkbox", name=f"Select {name}")).to_be_checked()

        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        bar = page.get_by_role("toolbar").bounding_box()
        assert bar is not None
        assert bar["x"] >= 0
        assert bar["x"] + bar["width"] <= width
    context.close()


def test_the_bar_is_a_toolbar_that_arrows_lead_through(page: Page, serve: Serve, days: list[str]) -> None:
    open_timeline(page, serve, days)
    check(page, days[0])
    page.get_by_role("button", name="Download").focus()

    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Copy paths")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("button", name="Clear")).to_be_focused()
    page.keyboard.press("Enter")

    expect_count(page, "")
    expect(tile(page, days[0]).locator("button")).to_be_focused()


@pytest.fixture
def long_timeline(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    """Open a timeline of several screens and focus a photo."""
    index_days(run, photos, {f"2020-{month:02}-10": 9 for month in range(1, 13)})
    page.goto(serve())
    names(page)
    page.keyboard.press("ArrowDown")


@pytest.mark.usefixtures("long_timeline")
def test_a_photo_that_the_keyboard_leads_to_is_not_under_the_bar(page: Page) -> None:
    page.keyboard.press("Space")
    for _ in range(8):
        page.keyboard.press("ArrowDown")

        focused = page.locator(":focus").bounding_box()
        bar = page.get_by_role("toolbar").bounding_box()
        assert focused is not None
        assert bar is not None
        assert focused["y"] + focused["height"] <= bar["y"]


@pytest.mark.usefixtures("long_timeline")
def test_keys_faster_than_the_screen_do_not_lead_under_the_bar(page: Page) -> None:
    covered = page.evaluate(
        """() => [" ", ...Array(8).fill("ArrowDown")].map((key) => {
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            const lower = document.activeElement.getBoundingClientRect().bottom;
            return lower - document.getElementById("selection").getBoundingClientRect().top;
        })"""
    )

    assert page.get_by_role("toolbar").is_visible()
    assert max(covered[1:]) <= 0


def test_paths_of_the_viewer_use_the_same_dialog(page: Page, serve: Serve, photos: Path) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(f"{serve()}/?q=red")
    names(page)
    tile(page, "pink.png").locator("button").click()

    page.get_by_role("button", name="Copy path").click()

    dialog = page.get_by_role("dialog", name="Copy from here")
    expect(dialog.get_by_role("textbox")).to_have_value(f"{photos}/pink.png")


def test_the_paths_of_all_are_those_that_the_api_gives(serve: Serve, days: list[str], photos: Path) -> None:
    address = serve()
    ids = httpx2.get(f"{address}/api/timeline/ids").json()["ids"]
    answer = httpx2.post(f"{address}/api/paths", json={"ids": ids}).json()

    assert answer["unknown"] == 0
    assert answer["paths"][:12] == [f"{photos}/{name}" for name in days]
