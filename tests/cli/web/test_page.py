"""The page in a real browser, the system's headless Chromium."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from pixsearch import Library
from pixsearch.filters import NO_FILTERS
from pixsearch.model.late_scores import ReadText
from pixsearch_cli.web.access import access_at
from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, Serve
from tests.colour_runtime import ColourRuntime, Floats
from tests.photos import make_photo, picture_bytes

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

DROP = """async ([bytes, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""
PASTE = """async ([bytes, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def names(page: Page) -> list[str]:
    """Return the names of the photos shown, in document order, once the answer is complete and sorted."""
    page.wait_for_selector("#results[aria-busy=false]", state="attached")
    if page.locator("#better").is_visible():  # on a slow machine
        page.locator("#better").click()
    return shown(page)


def shown(page: Page) -> list[str]:
    return [
        Path(path).name for path in page.locator("#results button").evaluate_all("tiles => tiles.map(t => t.title)")
    ]


def search(page: Page, words: str) -> list[str]:
    page.get_by_role("combobox", name="Search your photos").fill(words)
    page.keyboard.press("Enter")
    return names(page)


def open_first(page: Page) -> None:
    page.locator("#results button").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_search_box_has_the_focus_and_the_answer_comes_by_enter(page: Page, serve: Serve) -> None:
    address = serve()
    page.goto(address)
    page.keyboard.type("red")
    page.keyboard.press("Enter")

    assert names(page) == ["pink.png", "dark red.png", "blue again.png"]
    expect(page).to_have_url(f"{address}/?q=red")
    assert page.title() == "red - pixsearch"


def test_a_word_that_the_model_was_never_taught_is_named(page: Page, serve: Serve, model: ColourRuntime) -> None:
    model.unknown = ("zorilla",)
    page.goto(serve())

    assert search(page, "red zorilla") != []
    expect(page.locator("#message")).to_have_text("Best matches first. The model does not know “zorilla”.")


def test_how_a_query_is_asked_and_what_may_be_meant_is_said(page: Page, serve: Serve, model: ColourRuntime) -> None:
    model.unknown, model.words_taught = ("bycicle",), {"the": 99, "bicycle": 99}
    page.goto(serve())

    assert search(page, "red bycicle without blue") != []
    expect(page.locator("#message")).to_have_text(
        "Best matches first. Searched for “red bycicle” without “blue”. The model does not know “bycicle”. Did you "
        "mean bicycle?"
    )

    page.get_by_role("button", name="bicycle", exact=True).click()
    page.wait_for_url("**/?q=red+bicycle+without+blue")


def test_the_town_that_a_name_was_taken_for_is_said(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red&near=Paris,20")

    expect(page.locator("#message")).to_have_text("No photos match. Near Paris, Île-de-France, France (48.853, 2.349).")


@pytest.fixture
def go_on(model: ColourRuntime, monkeypatch: pytest.MonkeyPatch) -> Event:
    """Return the event that the joint stream waits for, for at most 10 s."""
    event, match = Event(), model.match

    def waiting(texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        event.wait(10)
        return match(texts, grids, late_scores)

    monkeypatch.setattr(model, "match", waiting)
    return event


def where_photos_are(page: Page) -> dict[str, object]:
    """Return the boxes of the photos shown, by name."""
    boxes = page.locator("#results button").evaluate_all(
        "tiles => tiles.map(t => [t.title, Object.values(t.getBoundingClientRect().toJSON())])"
    )
    return {Path(path).name: box for path, box in boxes}


def where_photos_in_sight_are(page: Page) -> dict[str, object]:
    return {name: box for name, box in where_photos_are(page).items() if box[1] < 700}  # type: ignore[index]


def test_photos_that_can_be_seen_stay_where_they_are_until_the_better_order_is_asked_for(
    page: Page, serve: Serve, go_on: Event
) -> None:
    page.goto(f"{serve()}/?q=red")
    expect(page.locator("#results button")).to_have_count(3)
    before, places = shown(page), where_photos_are(page)
    go_on.set()
    page.wait_for_selector("#results[aria-busy=false]", state="attached")

    # Dark red is the purest red, so it is the most similar. Pink is the brightest, so it is the best match.
    assert before == shown(page) == ["dark red.png", "pink.png", "blue again.png"]
    assert where_photos_are(page) == places
    expect(page.locator("#message")).to_have_text("First results. A better order is ready.")

    page.get_by_role("button", name="Better order ready").click()

    assert shown(page) == ["pink.png", "dark red.png", "blue again.png"]
    expect(page.locator("#better")).to_be_hidden()
    expect(page.locator("#message")).to_have_text("Best matches first.")


def test_an_order_that_what_can_be_seen_has_already_needs_no_button(page: Page, serve: Serve, go_on: Event) -> None:
    page.goto(f"{serve()}/?q=blue")
    expect(page.locator("#results button")).to_have_count(3)
    before = shown(page)
    go_on.set()
    page.wait_for_selector("#results[aria-busy=false]", state="attached")

    assert shown(page) == before
    expect(page.locator("#better")).to_be_hidden()
    expect(page.locator("#message")).to_have_text("Best matches first.")


def test_the_better_order_applies_to_what_is_below_the_edge_of_the_window(
    page: Page, serve: Serve, photos: Path, run: Run, go_on: Event
) -> None:
    for number in range(60):
        make_photo(photos / f"{number:02}.png", (255 - number, 3 * number, number), (40, 30))
    run("index", photos)
    page.goto(f"{serve()}/?q=red&duplicates=show")
    expect(page.locator("#results button").first).to_be_visible()
    places = where_photos_in_sight_are(page)
    go_on.set()
    page.wait_for_selector("#results[aria-busy=false]", state="attached")

    now = where_photos_are(page)
    assert {name: now.get(name) for name in places} == places


@pytest.mark.parametrize("width", [1000, 360])
def test_no_photo_in_sight_moves_in_twenty_searches_whose_careful_answer_comes_late(
    page: Page, serve: Serve, photos: Path, run: Run, model: ColourRuntime, go_on: Event, width: int
) -> None:
    model.unknown, model.words_taught = ("bycicle",), {"the": 99, "bicycle": 99}
    page.set_viewport_size({"width": width, "height": 700})
    for number in range(60):
        make_photo(photos / f"{number:02}.png", (255 - number, 4 * number, 30 + 3 * number), (40, 30 + number % 3))
    run("index", photos)
    page.goto(serve())
    names(page)
    page.evaluate("""() => {
        window.shifts = [];
        const add = (list) => shifts.push(...list.getEntries().map(({ value }) => value));
        window.observer = new PerformanceObserver(add);
        observer.observe({ type: "layout-shift" });
    }""")
    drawn = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
    for colours in [
        f"{one} {other}"
        for one in ("red", "green", "red green", "green red")
        for other in ("red", "green", "blue", "in", "bycicle without blue")
    ]:
        go_on.clear()
        page.evaluate("performance.clearMeasures()")
        page.get_by_role("combobox", name="Search your photos").fill(colours)
        page.keyboard.press("Enter")
        page.wait_for_function("() => performance.getEntriesByName('first answer').length")
        page.evaluate(drawn)
        page.evaluate("observer.takeRecords(), shifts.length = 0")  # ignores the replacement of one answer with another
        before = where_photos_in_sight_are(page)
        go_on.set()
        page.wait_for_selector("#results[aria-busy=false]", state="attached")
        page.evaluate(drawn)

        now = where_photos_are(page)
        assert {name: now.get(name) for name in before} == before != {}
        assert page.evaluate("shifts") == []


def test_an_answer_that_comes_soon_is_the_only_one_that_is_shown(page: Page, serve: Serve) -> None:
    page.goto(serve())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    assert search(page, "red") == ["pink.png", "dark red.png", "blue again.png"]
    if page.evaluate("performance.getEntriesByName('full answer')[0].duration") < 250:
        assert not any("rerank=false" in address for address in asked)


def test_a_photo_is_told_by_all_that_is_known_of_it(page: Page, serve: Serve, photos: Path, run: Run) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    exif.get_ifd(0x8769)[0x9003] = "2021:04:03 14:05:06"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 30.0, 0.0), 3: "W", 4: (2.0, 15.0, 0.0)})
    Image.new("RGB", (300, 200), (255, 0, 0)).save(photos / "told.jpg", exif=exif)
    assert run("index", photos).exit_code == 0
    page.goto(f"{serve()}/?q=red")

    names(page)
    page.locator("#results button[title$='told.jpg']").click()

    facts = page.locator("#viewer dl").inner_text()
    for said in (
        "Canon EOS R6",
        "Saturday, April 3, 2021 at 2:05 PM",
        "48.5000° N 2.2500° W",
        "300 × 200",
        f"{photos}/told.jpg",
        "1.000 · rank 2",
    ):
        assert said in facts
    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", 300)


def test_what_is_written_in_a_photo_is_told_line_by_line_and_can_be_selected(
    page: Page, serve: Serve, indexed: Path
) -> None:
    with Library.open(indexed) as library, library.writing() as writer:
        writer.store_writing(dict.fromkeys(library.passing(NO_FILTERS), ("NO LITTER", "<b>not bold</b>")))
    page.goto(f"{serve()}/?q=red")
    names(page)
    open_first(page)

    written = page.locator("#viewer dl .writing")
    page.wait_for_load_state("networkidle")  # the panel is drawn again once the exposure has been read
    assert written.inner_text() == "NO LITTER\n<b>not bold</b>"
    written.select_text()
    assert "NO LITTER" in page.evaluate("getSelection().toString()")


def test_the_button_of_a_word_lights_its_region_and_small_words_have_none(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red+in+the+sky")
    names(page)
    open_first(page)
    canvas = page.locator("#viewer canvas")
    expect(canvas).to_be_hidden()
    expect(page.locator("#viewer .why button")).to_have_text(["red", "sky"])

    page.get_by_role("button", name="sky", exact=True).click()

    expect(canvas).to_be_visible()
    # There are 2 x 4 cells of 4 x 4 pixels. The runtime finds the fourth word in the last column, more strongly in the
    # lower row.
    darkness = canvas.evaluate(
        "canvas => [[15, 7], [0, 7], [0, 0]].map(([x, y]) => canvas.getContext('2d').getImageData(x, y, 1, 1).data[3])"
    )
    assert darkness == [0, 199, 199]  # 199 is 0.78 x 255
    page.get_by_role("button", name="sky", exact=True).click()
    expect(canvas).to_be_hidden()


def test_a_query_of_small_words_alone_has_no_why(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=in+the")
    names(page)
    open_first(page)

    expect(page.locator("#viewer dl")).to_contain_text("Size")
    expect(page.locator("#viewer .why")).to_be_hidden()


def test_the_keyboard_does_it_all(page: Page, serve: Serve) -> None:
    address = serve()
    page.goto(f"{address}/?q=red")
    names(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Search your photos")).to_be_focused()

    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#results button[title$='dark red.png']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="dark red.png")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="blue again.png")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#results button[title$='blue again.png']")).to_be_focused()
    expect(page).to_have_url(f"{address}/?q=red")


def test_the_address_holds_query_and_photo_through_back_and_reload(page: Page, serve: Serve) -> None:
    address = serve()
    page.goto(address)
    search(page, "red")
    assert search(page, "blue") == ["blue again.png", "pink.png", "dark red.png"]
    open_first(page)
    photo = page.url
    page.reload()
    expect(page.get_by_role("heading", name="blue again.png")).to_be_visible()
    assert page.url == photo

    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(f"{address}/?q=blue")
    page.go_back()
    expect(page.get_by_role("combobox", name="Search your photos")).to_have_value("red")
    assert names(page)[0] == "pink.png"
    page.go_back()
    expect(page.get_by_role("heading", name="No date")).to_be_visible()


@pytest.mark.parametrize("how", [DROP, PASTE])
def test_a_picture_that_is_dropped_or_pasted_finds_photos_like_it(page: Page, serve: Serve, how: str) -> None:
    page.goto(serve())

    page.evaluate(how, [list(picture_bytes((90, 0, 0))), "mine.png"])
    page.wait_for_url("**/?like=*")

    assert names(page)[0] == "dark red.png"
    expect(page.locator("#chips img")).to_have_js_property("naturalWidth", 8)
    page.reload()
    assert names(page)[0] == "dark red.png"


def test_a_file_that_is_no_picture_is_refused_in_words(page: Page, serve: Serve) -> None:
    page.goto(serve())

    page.locator("#file").set_input_files(FilePayload(name="a.png", mimeType="image/png", buffer=b"<svg/>"))

    expect(page.get_by_role("status")).to_have_text("The picture: not a picture in a supported format.")


def test_a_server_that_is_gone_is_said_in_a_sentence(
    page: Page, serve: Serve, stop_servers: Callable[[], None]
) -> None:
    page.goto(f"{serve()}/?q=red")
    names(page)
    stop_servers()

    page.get_by_role("combobox", name="Search your photos").fill("blue")
    page.keyboard.press("Enter")
    gone = "The server is not responding. Is pixsearch serve still running?"
    expect(page.get_by_role("status")).to_have_text(gone)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (413, "<html>", "The picture is too large for the proxy in front of pixsearch."),
        (502, "<html>", "The proxy in front of pixsearch cannot reach it. Is pixsearch serve still running?"),
        (418, "", "The proxy in front of pixsearch refused the request (418)."),
        (200, "<html>Log in", "Another server responded instead of pixsearch. Reload the page."),
    ],
)
def test_what_a_server_in_front_answers_is_said_in_a_sentence(
    page: Page, serve: Serve, status: int, body: str, said: str
) -> None:
    page.goto(serve())
    names(page)  # otherwise, the number of photos would be announced after the error
    page.route("**/api/search*", lambda route: route.fulfill(status=status, content_type="text/html", body=body))

    page.locator("#file").set_input_files(FilePayload(name="a.png", mimeType="image/png", buffer=picture_bytes("red")))

    expect(page.get_by_role("status")).to_have_text(said)


def test_a_folder_that_is_not_in_the_library_is_said_in_a_sentence(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red&folder=/nowhere")

    expect(page.get_by_role("status")).to_have_text("No photos in /nowhere.")


def test_a_photo_that_is_not_in_the_library_is_said_in_a_sentence(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red#photo-999")

    expect(page.get_by_role("status")).to_have_text("The library has no picture 999.")


def test_a_page_that_is_not_there_leads_to_the_search(page: Page, serve: Serve) -> None:
    address = serve()
    page.goto(f"{address}/nothing")

    expect(page.get_by_role("alert")).to_have_text("There is nothing at this address.")
    page.get_by_role("link", name="Back to search").click()
    expect(page).to_have_url(f"{address}/")


def test_the_page_that_asks_for_the_token_is_accessible_and_leads_on(page: Page, serve: Serve) -> None:
    address = serve(access_at("127.0.0.1", "a token of this test"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{address}/library")

    assert Axe().run(page).response["violations"] == []
    page.get_by_label("Token").fill("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Wrong access token.")
    page.get_by_label("Token").fill("a token of this test")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Library")).to_be_visible()
    expect(page).to_have_url(f"{address}/library")


def test_more_like_a_photo_and_less_of_it_are_a_click_away(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red")
    names(page)
    page.locator("#results button[title$='blue again.png']").click()
    page.get_by_role("button", name="Find similar").click()
    page.wait_for_url("**/?like=*")
    assert names(page)[0] == "blue again.png"

    open_first(page)
    page.get_by_role("button", name="Less of this").click()
    page.wait_for_url("**unlike=*")

    # Blue minus blue leaves nothing to search for, and the page says so.
    expect(page.get_by_role("status")).to_contain_text("cancel each other out")
    page.get_by_role("button", name="Remove like", exact=True).click()
    assert names(page)[-1] == "blue again.png"


def test_a_search_is_narrowed_by_chips_that_can_be_taken_away(page: Page, serve: Serve, photos: Path, run: Run) -> None:
    (photos / "deep").mkdir()
    Image.new("RGB", (10, 20), (200, 0, 0)).save(photos / "deep" / "tall.png")
    assert run("index", photos).exit_code == 0
    page.goto(f"{serve()}/?q=red")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Folder").fill(str(photos / "deep"))
    page.get_by_label("More of").fill("blue")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**folder=*")

    assert names(page) == ["tall.png"]
    expect(page.locator("#chips li")).to_have_text(["+ blue×", f"in {photos}/deep×"])

    page.get_by_role("button", name=f"Remove in {photos}/deep").click()
    page.get_by_role("button", name="Remove + blue").click()
    page.wait_for_url("**/?q=red")
    assert len(names(page)) == 4

    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Orientation").select_option("portrait")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**orientation=*")
    assert names(page) == ["tall.png"]


def test_what_is_less_likely_is_below_a_line(page: Page, serve: Serve, model: ColourRuntime) -> None:
    model.calibrated = True  # pink matches red with 99%, all others with less than 5%
    page.goto(f"{serve()}/?q=red")

    assert names(page)[0] == "pink.png"
    line = page.get_by_role("heading", name="Less likely")
    expect(line).to_be_visible()
    page.wait_for_function(  # tiles move to their positions after the answer
        """line => {
            const top = (element) => element.getBoundingClientRect().top;
            const tile = (name) => document.querySelector(`#results button[title$='${name}']`);
            return top(tile("/pink.png")) < top(line) && top(line) < top(tile("/dark red.png"));
        }""",
        arg=line.element_handle(),
    )
    other_photo = page.locator("#results button[title$='/dark red.png']")
    expect(other_photo).to_have_accessible_name("dark red.png, weak match")
    expect(page.get_by_role("status")).to_have_text("Best matches first.")


def test_that_nothing_is_likely_is_said_plainly_with_the_nearest_below(
    page: Page, serve: Serve, model: ColourRuntime
) -> None:
    model.calibrated = True  # a photo without green matches with 1 / (1 + e^5) = 0.7%
    page.goto(f"{serve()}/?q=green&name=*blue*")

    assert names(page) == ["blue again.png"]
    expect(page.get_by_role("status")).to_have_text("No strong matches. Closest photos first.")
    expect(page.get_by_role("heading", name="Less likely")).to_be_visible()

    assert search(page, "blue") == ["blue again.png"]
    expect(page.get_by_role("status")).to_have_text("Best matches first.")
    expect(page.get_by_role("heading", name="Less likely")).to_be_hidden()


def test_a_model_without_a_calibration_draws_no_line(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red")
    names(page)

    expect(page.get_by_role("heading", name="Less likely")).to_be_hidden()


def test_that_no_photo_passes_is_said_plainly(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red&name=none")

    assert names(page) == []
    expect(page.get_by_role("status")).to_have_text("No photos match.")


def test_what_cannot_be_asked_is_said_in_the_server_s_words(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=red&after=yesterday")

    expect(page.get_by_role("status")).to_contain_text("'yesterday' is not a date. Write 2021")


def test_a_photo_that_cannot_be_shown_says_why_in_its_place(page: Page, serve: Serve, photos: Path) -> None:
    (photos / "pink.png").unlink()
    page.goto(f"{serve()}/?q=red")
    names(page)

    expect(page.locator("#results button[title$='pink.png']")).to_contain_text("the file no longer exists")
    open_first(page)
    expect(page.locator("#viewer .broken")).to_contain_text("the file no longer exists")


def test_a_photo_that_was_indexed_meanwhile_is_found_without_a_restart(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    page.goto(f"{serve()}/?q=green")
    assert "green.png" not in names(page)
    Image.new("RGB", (20, 10), (0, 255, 0)).save(photos / "green.png")
    assert run("index", photos).exit_code == 0

    page.reload()

    assert names(page)[0] == "green.png"


def test_duplicates_are_one_photo_with_a_count(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?q=blue")
    assert len(names(page)) == 3
    expect(page.locator("#results button[title$='blue again.png'] .badge")).to_have_text("+1")

    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Show duplicates").check()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**duplicates=show")

    assert len(names(page)) == 4


def test_only_what_is_in_sight_is_in_the_document(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    for number in range(300):
        Image.new("RGB", (12, 8), (200, number // 2, number % 2)).save(photos / f"{number:03}.png")
    assert run("index", photos).exit_code == 0
    page.goto(f"{serve()}/?q=red&duplicates=show")
    names(page)
    counts = []
    for _ in range(40):
        counts.append(page.locator("#results li").count())
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(30)

    # At some point, every photo was in the document, and the last one is there now. There were never more than fill
    # three windows.
    page.wait_for_selector("#results li[aria-posinset='304'][aria-setsize='304']")
    assert max(counts) < 100


def test_a_name_is_never_markup(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    name = "<img src=x onerror=document.title='owned'>.png"
    Image.new("RGB", (9, 9), (255, 0, 0)).save(photos / name)
    (photos / "<b>broken.jpg").write_bytes(b"no picture")
    assert run("index", photos).exit_code == 1
    address = serve()
    page.goto(f"{address}/?q=red")
    assert names(page)[0] == name
    open_first(page)

    expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert page.title() == "red - pixsearch"
    page.goto(f"{address}/library")
    expect(page.get_by_text("<b>broken.jpg")).to_be_visible()


def test_a_name_that_is_no_text_can_be_looked_at(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    strange = os.fsencode(photos) + b"/\xff.png"
    Path(os.fsdecode(strange)).write_bytes(picture_bytes("lime"))
    assert run("index", photos).exit_code == 0
    address = serve()
    page.goto(f"{address}/?q=green")
    names(page)
    open_first(page)

    expect(page.locator("#viewer img")).to_have_js_property("naturalWidth", 8)
    in_file_managers_terms = page.evaluate(
        "async path => (await import('/static/facts.js')).fileAddress(path)", os.fsdecode(strange)
    )
    assert in_file_managers_terms == Path(os.fsdecode(strange)).as_uri()
    page.goto(f"{address}/library")
    expect(page.get_by_role("heading", name="Library")).to_be_visible()


def test_the_library_page_tells_folders_failures_and_sizes(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    run("index", photos)
    page.goto(f"{serve()}/library")

    told = page.locator("main").inner_text()

    for said in ("4, 3 different pictures", "colours (c0c0c0c0)", str(photos), f"{photos}/broken.jpg", "database"):
        assert said in told
    assert "not a picture in a supported format" in told


def test_nothing_is_asked_of_anybody_else(page: Page, serve: Serve) -> None:
    address = serve()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/?q=red")
    names(page)
    open_first(page)
    page.goto(f"{address}/library")

    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(address)] == []


def test_on_a_phone_a_search_can_be_narrowed(browser: Browser, serve: Serve) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 500})
    page = context.new_page()
    page.goto(f"{serve()}/?q=red")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Orientation").select_option("portrait")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**orientation=portrait")

    expect(page.locator("#filter-panel")).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("No photos match.")
    context.close()
