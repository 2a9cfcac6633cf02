"""Suggestions under the search box, the filter panel and the list of shortcuts, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import CHROMIUM, Serve
from tests.photos import make_photo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" tiff:Make="Canon" tiff:Model="EOS R6">
<dc:subject><rdf:Bag><rdf:li>annual fair</rdf:li></rdf:Bag></dc:subject>
<Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Anna Lindqvist</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def described(photos: Path, run: Run, indexed: Path) -> None:
    """A photo of Anna, taken in 2021, in a separate folder."""
    make_photo(photos / "holidays" / "IMG_20210315_120000.png", (9, 9, 9))
    (photos / "holidays" / "IMG_20210315_120000.xmp").write_text(SIDECAR)
    assert run("index", photos).exit_code == 0


def box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search your photos")


def options(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Suggestions").get_by_role("option")


def chips(page: Page) -> list[str]:
    return [text.removesuffix("×").strip() for text in page.locator("#chips li").all_inner_texts()]


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [
        ("ann", ["annual fair keyword · 1", "Anna Lindqvist person · 1"]),
        ("LIND", ["Anna Lindqvist person · 1"]),
        ("anna l", ["Anna Lindqvist person · 1"]),
        ("r6", ["Canon EOS R6 camera · 1"]),
        ("202", ["2021 year · 1"]),
        ("holi", ["holidays folder · 1"]),
        ("red annu", ["annual fair keyword · 1"]),
        ("EOS-R6", ["Canon EOS R6 camera · 1"]),
        ("zzz", []),
    ],
)
def test_what_the_library_has_is_suggested_with_its_kind_and_count(
    page: Page, serve: Serve, described: None, typed: str, suggested: list[str]
) -> None:
    page.goto(serve())
    with page.expect_response("**/api/values*"):
        box(page).press_sequentially(typed)

    expect(options(page)).to_have_count(len(suggested))
    assert sorted(" ".join(text.split()) for text in options(page).all_inner_texts()) == sorted(suggested)


def test_a_suggestion_becomes_a_chip_in_place_of_the_words(page: Page, serve: Serve, described: None) -> None:
    address = serve()
    page.goto(address)
    box(page).press_sequentially("red anna")
    expect(options(page)).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(options(page).first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{address}/?q=red&person=Anna+Lindqvist")
    expect(box(page)).to_have_value("red")
    assert chips(page) == ["with Anna Lindqvist"]


def test_a_year_becomes_the_range_of_its_dates(page: Page, serve: Serve, described: None) -> None:
    address = serve()
    page.goto(address)
    box(page).press_sequentially("2021")
    options(page).filter(has_text="year").click()

    expect(page).to_have_url(f"{address}/?after=2021&before=2022")
    expect(page.locator("#message")).to_have_text("1 photo matches.")


def test_escape_closes_the_suggestions_and_keeps_the_words(page: Page, serve: Serve, described: None) -> None:
    page.goto(serve())
    box(page).press_sequentially("anna")
    expect(options(page)).to_have_count(1)
    page.keyboard.press("Escape")

    expect(page.get_by_role("listbox", name="Suggestions")).to_be_hidden()
    expect(box(page)).to_have_value("anna")
    expect(box(page)).to_have_attribute("aria-expanded", "false")


def test_recent_searches_are_offered_and_can_be_cleared(page: Page, serve: Serve, indexed: Path) -> None:
    address = serve()
    page.goto(address)
    box(page).fill("red")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=red")
    page.goto(address)
    box(page).click()

    assert [" ".join(text.split()) for text in options(page).all_inner_texts()] == [
        "red recent",
        "Clear recent searches",
    ]
    options(page).filter(has_text="Clear").click()
    expect(page.get_by_role("listbox", name="Suggestions")).to_be_hidden()
    assert page.evaluate("localStorage.getItem('pixsearch-recent')") == "[]"


def test_the_filters_have_values_before_the_first_search(
    page: Page, serve: Serve, described: None, photos: Path
) -> None:
    page.goto(serve())
    with page.expect_response("**/api/values*"):
        page.get_by_role("button", name="Filters").click()

    expect(page.locator("#values-camera option")).to_have_count(1)
    assert {
        kind: page.locator(f"#values-{kind} option").evaluate_all("options => options.map(o => o.value)")
        for kind in ("camera", "person", "keyword", "folder")
    } == {
        "camera": ["Canon EOS R6"],
        "person": ["Anna Lindqvist"],
        "keyword": ["annual fair"],
        "folder": [str(photos), str(photos / "holidays")],
    }


def test_fields_of_filters_have_one_height_and_escape_closes_them(page: Page, serve: Serve, indexed: Path) -> None:
    page.goto(serve())
    page.keyboard.press("Escape")
    page.mouse.click(5, 690)
    page.keyboard.press("f")
    form = page.get_by_role("form", name="Filters")
    expect(form).to_be_visible()
    heights = form.locator("input:not([type=checkbox]), select, .check, button").evaluate_all(
        "fields => fields.map(field => field.getBoundingClientRect().height)"
    )

    assert set(heights) == {40}
    page.keyboard.press("Escape")
    expect(form).to_be_hidden()
    expect(page.get_by_role("button", name="Filters")).to_be_focused()


def test_what_the_address_asks_for_stands_in_the_fields(page: Page, serve: Serve, described: None) -> None:
    address = serve()
    page.goto(f"{address}/?after=2021-03&min_megapixels=0&rating=3&camera=canon")
    page.get_by_role("button", name="Filters").click()
    form = page.get_by_role("form", name="Filters")

    expect(form.get_by_label("From")).to_have_value("2021-03-01")
    expect(form.get_by_label("Rating")).to_have_value("3")
    form.get_by_label("Rating").select_option("Any")
    form.get_by_label("Camera").fill("eos")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(f"{address}/?after=2021-03&min_megapixels=0&camera=eos")


def test_hits_can_be_sorted_by_date_and_the_address_says_so(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    for year, colour in ((2019, (200, 0, 0)), (2021, (200, 90, 0)), (2020, (200, 0, 90))):
        make_photo(photos / f"IMG_{year}0315_120000.png", colour)
    run("index", photos)
    address = serve()
    page.goto(f"{address}/?q=red&after=2019")
    page.wait_for_selector("#results[aria-busy=false]", state="attached")
    page.get_by_label("Sort by").select_option("Oldest first")
    page.wait_for_url("**sort=oldest")
    page.wait_for_selector("#results[aria-busy=false]", state="attached")

    titles = page.locator("#results button").evaluate_all("tiles => tiles.map(t => t.title)")
    assert [Path(title).name[4:8] for title in titles] == ["2019", "2020", "2021"]
    expect(page.locator("#message")).to_have_text("The 64 best matches, oldest first.")


def test_home_has_nothing_to_sort(page: Page, serve: Serve, indexed: Path) -> None:
    page.goto(serve())

    expect(page.locator("#sort")).to_be_hidden()


def test_a_question_mark_shows_the_shortcuts(page: Page, serve: Serve, indexed: Path) -> None:
    page.goto(serve())
    page.mouse.click(5, 690)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def test_a_question_mark_in_the_search_box_is_a_question_mark(page: Page, serve: Serve, indexed: Path) -> None:
    page.goto(serve())
    box(page).press_sequentially("why?")

    expect(box(page)).to_have_value("why?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


def test_suggestions_that_come_late_do_not_open_over_the_answer(page: Page, serve: Serve, described: None) -> None:
    held: list[Route] = []
    page.route("**/api/values*", lambda route: held.append(route))
    page.goto(serve())
    box(page).press_sequentially("anna")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=anna")
    with page.expect_response("**/api/values*"):
        held[0].continue_()
    page.wait_for_timeout(100)

    expect(page.get_by_role("listbox", name="Suggestions")).to_be_hidden()


def test_the_same_search_again_is_one_step_back(page: Page, serve: Serve, indexed: Path) -> None:
    page.goto(serve())
    before = page.evaluate("history.length")
    box(page).fill("red")
    for _ in range(3):
        page.keyboard.press("Enter")
        page.wait_for_url("**/?q=red")

    assert page.evaluate("history.length") == before + 1
