"""`/duplicates`, tested with requests and in headless Chromium."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from pixsearch import Library
from pixsearch.search.duplicates import near_duplicates
from pixsearch_cli.web import duplicates_page
from pixsearch_cli.web.access import access_at
from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, MakeClient, Serve
from tests.cli.web.looks import check
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo

TOKEN = "a token of this test"


def names(html: str) -> list[str]:
    """Return the name below each picture, in order."""
    return re.findall(r'<span class="name">(.*?)</span>', html)


def text_of(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", "", html[html.index("<main") :]).split())


def test_copies_stand_together_with_all_that_tells_them_apart(client: TestClient, photos: Path, run: Run) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:04:03 14:05:06"
    for name in ("x.jpg", "deep/x copy.jpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (300, 200), (9, 200, 9)).save(photos / name, exif=exif)
    assert run("index", photos).exit_code == 0
    size_bytes, blue_bytes = (photos / "x.jpg").stat().st_size, (photos / "blue.png").stat().st_size
    html = client.get("/duplicates").text

    assert names(html) == ["x.jpg", "x copy.jpg", "blue.png", "blue again.png"]
    said = text_of(html)
    freed = f"{(size_bytes + blue_bytes) / 1e3:.0f} kB"
    assert f"2 groups, largest first. Keeping only the best photo of each would free {freed}" in said
    assert f"Best · 300 × 200 · {size_bytes / 1e3:.0f} kB · 2021-04-03 14:05 {photos}" in said
    assert f"Identical · 300 × 200 · {size_bytes / 1e3:.0f} kB · 2021-04-03 14:05 {photos}/deep" in said
    assert said.count("Best") == 2
    assert len(re.findall('loading="lazy"', html)) == 4


def test_each_photo_leads_to_itself(client: TestClient) -> None:
    html = client.get("/duplicates").text

    ids = re.findall(r'href="/#photo-(\d+)"', html)
    assert len(ids) == 2
    assert client.get(f"/api/photos/{ids[0]}").json()["path"].endswith("/blue again.png")
    assert re.findall(r'<img src="([^"]*)"', html[html.index("<main") :]) == [
        f"/api/photos/{one}/thumbnail" for one in ids
    ]


def test_near_duplicates_are_there_when_they_were_compared(
    client: TestClient, photos: Path, run: Run, indexed: Path, model: ColourRuntime
) -> None:
    make_photo(photos / "large blue.png", (0, 0, 255), size=(400, 200))
    assert run("index", photos).exit_code == 0
    before = client.get("/duplicates").text
    assert "run <code>pixsearch duplicates --alike</code>" in before
    assert names(before) == ["blue.png", "blue again.png"]

    with Library.open(indexed) as library:
        near_duplicates(library, model)
    after = client.get("/duplicates").text
    assert "--alike" not in after
    assert names(after) == ["large blue.png", "blue.png", "blue again.png"]
    assert re.findall(r"<strong[^>]*>(\w+)<", after) == ["Best", "Similar", "Similar"]


def test_where_nothing_is_twice_that_is_said_with_what_it_means(
    client: TestClient, photos: Path, run: Run, indexed: Path, model: ColourRuntime
) -> None:
    (photos / "blue again.png").unlink()
    assert run("index", photos).exit_code == 0
    assert "No duplicates: no two files in this library are identical." in text_of(client.get("/duplicates").text)

    with Library.open(indexed) as library:
        near_duplicates(library, model)
    said = "No duplicates: no two files in this library are identical, and no two photos look the same."
    assert said in text_of(client.get("/duplicates").text)


def test_an_empty_library_says_how_to_fill_it(client: TestClient, photos: Path, run: Run) -> None:
    assert run("forget", photos).exit_code == 0
    said = text_of(client.get("/duplicates").text)

    assert "pixsearch index ~/Pictures" in said
    assert "No duplicates" not in said


@pytest.fixture
def pairs(photos: Path, indexed: Path, run: Run) -> Path:
    """A library with six groups."""
    for number in range(5):
        for name in ("a", "b"):
            make_photo(photos / name / f"{number}.png", (50 * number, 90, 99), size=(30 + 30 * number, 30))
    assert run("index", photos).exit_code == 0
    return photos


def test_groups_come_in_pages_by_a_key_that_stays_right_when_groups_go(
    client: TestClient, pairs: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = names(client.get("/duplicates").text)
    monkeypatch.setattr(duplicates_page, "_ON_A_PAGE", 2)
    first = client.get("/duplicates").text
    [following] = re.findall(r'href="(/duplicates\?after=[^"]*)">Next groups', first)

    assert (len(every), names(first)) == (12, every[:4])
    assert "First groups" not in first
    for name in every[:4:2]:
        (pairs / "a" / name).unlink()
    assert run("index", pairs).exit_code == 0
    second = client.get(following).text
    assert names(second) == every[4:8]
    assert 'href="/duplicates">First groups' in second


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1-2", "1-2-3", f"1-{'9' * 19}", "1-2%00"])
def test_what_is_no_key_is_refused_in_words(client: TestClient, after: str) -> None:
    answer = client.get(f"/duplicates?after={after}", headers={"Accept": "text/html"})

    assert answer.status_code == 422
    assert '<p role="alert">' in answer.text


def test_a_group_of_very_many_is_cut_and_that_is_said(
    client: TestClient, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates_page, "_OF_A_GROUP", 3)
    for number in range(4):
        make_photo(photos / f"{number}.png", (1, 2, 3))
    assert run("index", photos).exit_code == 0
    html = client.get("/duplicates").text

    assert "1 more photo: <code>pixsearch duplicates</code> lists them all." in html
    assert len(names(html)) == 3 + 2


def test_a_name_is_never_markup_and_need_not_be_text(client: TestClient, photos: Path, run: Run) -> None:
    strange = Path(os.fsdecode(os.fsencode(photos) + b"/<b>\xff"))
    strange.mkdir()
    for name in ("<i>1.png", "<i>2.png"):
        make_photo(strange / name, (7, 200, 7))
    assert run("index", photos).exit_code == 0
    html = client.get("/duplicates").text

    assert "&lt;i&gt;1.png" in names(html)
    assert "&lt;b&gt;\ufffd" in html
    assert "<b>" not in html
    assert "<i>" not in html


def test_a_damaged_row_is_left_out_and_that_is_said(client: TestClient, photos: Path, indexed: Path) -> None:
    with sqlite3.connect(indexed / "library.db") as rows:
        rows.execute("UPDATE photos SET mtime_ns = 7 WHERE path = ?", (os.fsencode(photos / "blue.png"),))
    html = client.get("/duplicates").text

    assert names(html) == []
    assert "1 damaged row was left out. Run <code>pixsearch repair</code>." in html


def test_every_address_is_under_the_root_path_and_behind_the_token(make_client: MakeClient, pairs: Path) -> None:
    client = make_client(access_at("127.0.0.1", TOKEN, root_path="/photos"))
    assert client.get("/photos/duplicates").status_code == 401

    html = client.get("/photos/duplicates", headers={"Authorization": f"Bearer {TOKEN}"}).text
    addresses = re.findall(r'(?:href|src)="([^"]*)"', html)
    assert len(addresses) > 24
    assert all(address.startswith("/photos/") for address in addresses)


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.parametrize("is_compared", [False, True])
def test_duplicates_are_accessible_and_fit_every_screen(
    browser: Browser, serve: Serve, pairs: Path, indexed: Path, model: ColourRuntime, is_compared: bool
) -> None:
    if is_compared:
        with Library.open(indexed) as library:
            near_duplicates(library, model)

    assert check(browser, f"{serve()}/duplicates") == []


@pytest.mark.slow
@NEEDS_CHROMIUM
def test_a_duplicate_leads_to_its_photo_and_back_leads_to_the_group(page: Page, serve: Serve) -> None:
    address = serve()
    page.goto(address)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Duplicates").click()
    page.get_by_role("link", name="blue again.png").click()

    expect(page).to_have_url(re.compile(rf"^{address}/#photo-\d+$"))
    page.go_back()
    expect(page.get_by_role("heading", name="Duplicates")).to_be_visible()
