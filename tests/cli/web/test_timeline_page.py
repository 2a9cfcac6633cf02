"""The page's opening view in a real browser: the library by date, with a scrubber for the years."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.cli.conftest import Run
from tests.cli.web.conftest import CHROMIUM, Serve
from tests.photos import make_photo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


def shown(page: Page) -> list[str]:
    """Return the names of the photos in the document, in document order."""
    page.wait_for_selector("#results[aria-busy=false]", state="attached")
    return [
        Path(path).name for path in page.locator("#results button").evaluate_all("tiles => tiles.map(t => t.title)")
    ]


def headings(page: Page) -> list[str]:
    return page.locator("#headings h2, #headings h3").all_inner_texts()


def index_days(run: Run, photos: Path, days: dict[str, int], each: int = 1) -> None:
    """Index photos taken on these days, each in a different colour."""
    for number, (day, hour) in enumerate(days.items()):
        for minute in range(each):
            colour = (1 + number % 250, 1 + (number // 250) % 250, 1 + minute)
            make_photo(photos / f"IMG_{day.replace('-', '')}_{hour:02}{minute:02}00.png", colour)
    assert run("index", photos).exit_code == 0


def test_the_page_opens_on_the_photos_newest_first_by_month_and_day(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    index_days(run, photos, {"2019-05-01": 9, "2021-03-15": 12, "2021-03-02": 8})
    page.goto(serve())

    assert shown(page)[:3] == ["IMG_20210315_120000.png", "IMG_20210302_080000.png", "IMG_20190501_090000.png"]
    assert headings(page) == ["March 2021", "Mon 15", "Tue 2", "May 2019", "Wed 1", "No date", str(photos)]
    expect(page.locator("#message")).to_have_text("6 photos.")


def test_photos_without_a_date_come_last_under_their_folders(page: Page, serve: Serve, photos: Path, run: Run) -> None:
    make_photo(photos / "scans" / "one.png", (1, 2, 3))
    run("index", photos)
    page.goto(serve())

    assert headings(page) == ["No date", str(photos), str(photos / "scans")]
    assert shown(page)[-1] == "one.png"


def test_an_empty_library_says_how_to_fill_it(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    assert run("forget", photos).exit_code == 0
    page.goto(serve())

    expect(page.get_by_role("heading", name="No photos yet")).to_be_visible()
    expect(page.locator("#hint")).to_contain_text("pixsearch index ~/Pictures")


def test_a_year_is_a_click_away_and_the_address_says_the_day(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)})
    address = serve()
    page.goto(address)
    shown(page)
    page.get_by_role("navigation", name="Years").get_by_role("button", name="2015").click()

    expect(page.locator("#headings h2").first).to_be_attached()
    expect(page.get_by_role("heading", name="December 2015")).to_be_in_viewport()
    expect(page).to_have_url(f"{address}/#2015-12-10")
    expect(page.get_by_role("button", name="IMG_20151210_090000.png, 2015-12-10")).to_be_visible()

    page.reload()

    expect(page.get_by_role("heading", name="December 2015")).to_be_in_viewport()


def test_back_from_a_search_leads_to_where_one_was(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)})
    page.goto(serve())
    shown(page)
    page.get_by_role("navigation", name="Years").get_by_role("button", name="2013").click()
    page.wait_for_url("**/#2013-12-10")
    before = page.evaluate("scrollY")
    page.get_by_role("combobox", name="Search your photos").fill("red")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=red")
    shown(page)
    page.go_back()

    expect(page.get_by_role("heading", name="December 2013")).to_be_in_viewport()
    assert page.evaluate("scrollY") == before


def test_only_what_is_in_sight_is_in_the_document_and_the_rest_comes_as_one_scrolls(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    index_days(
        run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)}, each=8
    )
    page.goto(serve())

    assert len(shown(page)) < 150
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("button", name="dark red.png")).to_be_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    expect(page.locator("#results img").first).to_be_attached()
    expect(page.get_by_role("button", name="Loading")).to_have_count(0)
    assert len(shown(page)) < 150


def test_the_keyboard_walks_through_days_and_opens_a_photo(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {"2021-03-15": 12, "2021-02-02": 8, "2021-02-01": 8})
    page.goto(serve())
    shown(page)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="IMG_20210315_120000.png, 2021-03-15")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="IMG_20210202_080000.png, 2021-02-02")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")

    expect(page.get_by_role("dialog")).to_contain_text("Monday, February 1, 2021")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog")).to_contain_text("Tuesday, February 2, 2021")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="IMG_20210202_080000.png, 2021-02-02")).to_be_focused()


def test_filters_alone_show_the_photos_that_pass_by_date(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {"2021-03-15": 12, "2019-05-01": 9})
    page.goto(f"{serve()}/?after=2020")

    assert shown(page) == ["IMG_20210315_120000.png"]
    expect(page.locator("#message")).to_have_text("1 photo matches.")


def test_that_no_photo_passes_the_filters_is_said(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/?camera=canon")

    expect(page.locator("#message")).to_have_text("No photos match these filters.")


def test_photos_that_were_indexed_meanwhile_are_counted_without_moving_what_is_in_sight(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    index_days(
        run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)}, each=4
    )
    page.goto(serve())
    shown(page)
    page.get_by_role("navigation", name="Years").get_by_role("button", name="2018").click()
    page.wait_for_url("**/#2018-12-10")
    tile = page.get_by_role("button", name="IMG_20181210_090300.png, 2018-12-10")
    before = tile.bounding_box()
    make_photo(photos / "IMG_20220101_090000.png", (7, 7, 7))
    make_photo(photos / "IMG_20100101_090000.png", (8, 8, 8))
    (photos / "IMG_20110810_090300.png").unlink()
    run("index", photos)
    # The photos are not loaded yet, and one of them is gone.
    page.get_by_role("navigation", name="Years").get_by_role("button", name="2011").click()
    expect(page.locator("#message")).to_have_text("580 photos.")

    page.get_by_role("navigation", name="Years").get_by_role("button", name="2018").click()
    after = tile.bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] == pytest.approx(before["y"], abs=1)


def test_a_photo_that_is_open_stays_open_through_reload(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {"2021-03-15": 12})
    page.goto(serve())
    page.get_by_role("button", name="IMG_20210315_120000.png").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.reload()

    expect(page.get_by_role("dialog")).to_contain_text("IMG_20210315_120000.png")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_record_that_is_damaged_keeps_its_place(page: Page, serve: Serve, indexed: Path) -> None:
    photos: list[dict[str, object]] = [
        {"id": number, "day": None, "folder": "/", "path": None, "copies": []} for number in (1, 2, 3)
    ]
    body = json.dumps({"photos": photos})
    page.route("**/api/timeline/photos*", lambda route: route.fulfill(body=body, content_type="application/json"))
    page.goto(serve())

    expect(page.get_by_role("button", name="Damaged record")).to_have_count(3)


def many_years(run: Run, photos: Path, each: int = 1) -> None:
    index_days(run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)}, each)


def jump_to(page: Page, year: str) -> None:
    page.get_by_role("navigation", name="Years").get_by_role("button", name=year).click()


def test_the_keyboard_in_the_header_moves_no_photo(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    many_years(run, photos)
    page.goto(serve())
    shown(page)
    jump_to(page, "2015")
    page.wait_for_url("**/#2015-12-10")
    before = page.evaluate("scrollY")
    page.evaluate("document.activeElement.blur()")
    for _ in range(8):
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("abc")

    assert page.evaluate("scrollY") == before


def test_photos_that_the_index_counts_and_the_library_has_not_are_placeholders_and_are_asked_for_once(
    page: Page, serve: Serve, run: Run, photos: Path, indexed: Path
) -> None:
    index_days(run, photos, {"2021-03-15": 12, "2021-02-02": 8})
    with sqlite3.connect(indexed / "library.db") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("DELETE FROM photos WHERE path LIKE '%20210315%'")
    database.close()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(serve())

    expect(page.get_by_role("button", name="IMG_20210202_080000.png, 2021-02-02")).to_be_visible()
    page.wait_for_timeout(1000)
    assert len([address for address in asked if "/api/timeline" in address]) < 10


def test_a_photo_far_down_leads_on_to_its_neighbours_after_a_reload(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    many_years(run, photos, each=4)
    page.goto(serve())
    shown(page)
    jump_to(page, "2012")
    page.get_by_role("button", name="IMG_20121210_090300.png, 2012-12-10").click()
    before = page.evaluate("scrollY")
    page.reload()
    expect(page.get_by_role("dialog")).to_contain_text("IMG_20121210_090300.png")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog")).to_contain_text("IMG_20121210_090200.png")
    page.keyboard.press("Escape")

    expect(page.get_by_role("button", name="IMG_20121210_090200.png, 2012-12-10")).to_be_focused()
    assert page.evaluate("scrollY") == pytest.approx(before, abs=1)


def test_a_link_to_a_photo_shows_all_that_is_known_of_it(page: Page, serve: Serve) -> None:
    page.goto(f"{serve()}/#photo-1")

    expect(page.get_by_role("dialog")).to_contain_text("Copy path")


def test_the_first_photos_of_a_day_of_hundreds_do_not_wait_for_the_others(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    for number in range(600):
        make_photo(
            photos / f"IMG_20210315_{number // 3600:02}{number // 60 % 60:02}{number % 60:02}.png",
            (1 + number % 250, 9 + number // 250, 3),
        )
    run("index", photos)
    page.route("**/api/timeline/photos?*start=*", lambda route: None)  # only the newest ever arrive
    page.goto(serve())
    shown(page)
    expect(page.locator("#message")).to_have_text("603 photos.")

    expect(page.get_by_role("button", name="IMG_20210315_000959.png, 2021-03-15")).to_be_visible()
    expect(page.get_by_role("button", name="Loading")).to_have_count(0)


def test_the_focus_stays_at_a_photo_that_arrives_late(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    many_years(run, photos, each=4)
    held: list[Route] = []
    may_go_on = False

    def hold(route: Route) -> None:
        if may_go_on:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/timeline/photos?*start=*", hold)
    page.goto(serve())
    shown(page)
    page.get_by_role("combobox", name="Search your photos").press("ArrowDown")
    page.keyboard.press("End")
    expect(page.locator("#results :focus")).to_have_attribute("aria-label", "Loading")
    page.wait_for_timeout(100)
    may_go_on = True
    for route in held:
        route.continue_()

    expect(page.get_by_role("button", name="pink.png")).to_be_focused()


def test_photos_without_a_date_have_an_address(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    many_years(run, photos)
    address = serve()
    page.goto(f"{address}/#undated")
    expect(page.get_by_role("heading", name="No date")).to_be_in_viewport()
    page.goto(f"{address}/#2012-07-10")

    expect(page.get_by_role("heading", name="July 2012")).to_be_in_viewport()


def test_of_many_years_the_first_and_the_last_can_be_reached(page: Page, serve: Serve, run: Run, photos: Path) -> None:
    index_days(run, photos, {f"{year}-05-05": 9 for year in range(1950, 2030)})
    page.goto(serve())
    shown(page)
    years = page.get_by_role("navigation", name="Years").get_by_role("button")
    boxes = years.evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")

    assert years.first.inner_text() == "2029"
    assert years.last.get_attribute("aria-label") == "No date"
    assert all(after - before >= 24 for before, after in pairwise(boxes))


def test_thumbnails_that_were_scrolled_away_before_they_came_keep_none_waiting(
    page: Page, serve: Serve, run: Run, photos: Path
) -> None:
    index_days(
        run, photos, {f"{year}-{month:02}-10": 9 for year in range(2010, 2022) for month in range(1, 13)}, each=4
    )
    page.route("**/thumbnail*", lambda route: None)  # no thumbnail arrives
    page.goto(serve(), wait_until="commit")  # the page is not loaded until its thumbnails are
    first = page.locator("#results img").first
    expect(first).to_be_attached()
    address = first.evaluate("image => image.src")
    with page.expect_event("requestfailed", lambda request: request.url == address) as given_up:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")

    assert given_up.value.failure == "net::ERR_ABORTED"
    expect(page.locator("#results .why-none")).to_have_count(0)
