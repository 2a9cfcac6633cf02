"""`/folders`, tested with requests and in headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.testclient import TestClient

from pixsearch_cli.web import folders_page
from pixsearch_cli.web.access import access_at
from tests.cli.conftest import Run
from tests.cli.web.conftest import NEEDS_CHROMIUM, MakeClient, Serve
from tests.cli.web.looks import check
from tests.photos import make_photo, picture_bytes

TOKEN = "a token of this test"


@pytest.fixture
def tree(photos: Path, indexed: Path, run: Run) -> Path:
    """The photos, and three more in folders: two in 2020, one of which is in 2020/May, and one in 2021."""
    for number, name in enumerate(("2020/a.png", "2020/May/b.png", "2021/c.png")):
        make_photo(photos / name, (0, 60 * number, 90))
    assert run("index", photos).exit_code == 0
    return photos


def links(html: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', html[html.index("<main") :])


def test_the_only_root_opens_at_once_with_its_folders(client: TestClient, tree: Path) -> None:
    html = client.get("/folders").text

    assert links(html) == [
        f"/?folder={tree}",
        f"/folders?in={tree}/2020",
        f"/?folder={tree}/2020",
        f"/?folder={tree}/2021",
    ]
    assert "Show 7 photos" in html
    assert "2 photos" in html
    assert "1 photo<" in html


def test_without_javascript_one_walks_in_and_out_again(client: TestClient, tree: Path) -> None:
    html = client.get("/folders", params={"in": f"{tree}/2020"}).text

    assert links(html) == ["/folders", f"/folders?in={tree}", f"/?folder={tree}/2020", f"/?folder={tree}/2020/May"]
    assert "<script" not in html[html.index("<main") :]


def test_covers_are_thumbnails_that_are_loaded_when_they_come_into_sight(client: TestClient, tree: Path) -> None:
    covers = re.findall(r'<img src="(/api[^"]*)" alt="" loading="lazy">', client.get("/folders").text)

    assert len(covers) == 2
    assert [client.get(address).headers["content-type"] for address in covers] == ["image/jpeg"] * 2


def test_names_of_any_bytes_lead_to_their_photos(client: TestClient, photos: Path, run: Run) -> None:
    for name in (b"\xff", "é".encode(), b"<b>&amp;'\"", b"a+b %41?#"):
        folder = Path(os.fsdecode(os.fsencode(photos) + b"/" + name))
        folder.mkdir()
        (folder / "inner").mkdir()
        (folder / "inner" / "x.png").write_bytes(picture_bytes((hash(name) % 255, 1, 2)))
    assert run("index", photos).exit_code == 0
    html = client.get("/folders").text

    inside = [link for link in links(html) if link.startswith("/folders?in=")]
    assert len(inside) == 4
    for link in inside:
        assert "Show 1 photo<" in client.get(link).text
    assert "<b>&amp;'" not in html
    assert "&lt;b&gt;&amp;amp;&#39;&#34;" in html
    assert '<span class="name">\ufffd</span>' in html


def test_a_folder_that_is_not_in_the_library_is_said_in_words(client: TestClient) -> None:
    answer = client.get("/folders?in=/nowhere/%3Cb%3E", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert '<p role="alert">/nowhere/&lt;b&gt; is not a folder of this library.</p>' in answer.text


def test_an_offline_folder_is_said_to_be(client: TestClient, tree: Path) -> None:
    shutil.move(tree, tree.with_name("elsewhere"))
    html = client.get("/folders").text

    assert "This folder is offline" in html
    assert html.count("· offline") == 2


def test_several_roots_stand_first_by_their_whole_path(
    client: TestClient, photos: Path, tmp_path: Path, run: Run
) -> None:
    make_photo(tmp_path / "more" / "x.png", (9, 9, 9))
    assert run("index", photos, tmp_path / "more").exit_code == 0
    html = client.get("/folders").text

    assert "5 photos in 2 folders" in html
    assert links(html) == [f"/?folder={tmp_path}/more", f"/?folder={photos}"]


def test_more_folders_than_a_page_has_are_a_link_away(
    client: TestClient, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders_page, "_ON_A_PAGE", 1)
    first = client.get("/folders").text
    more = links(first)[-1].replace("&amp;", "&")

    assert more == f"/folders?in={tree}&after=2020"
    assert f"/?folder={tree}/2021" in links(client.get(more).text)
    assert "More folders" not in client.get(more).text


def test_an_empty_library_says_how_to_fill_it(client: TestClient, photos: Path, run: Run) -> None:
    assert run("forget", photos).exit_code == 0

    assert "pixsearch index ~/Pictures" in client.get("/folders").text


def test_rows_that_are_damaged_are_said_to_be_left_out(client: TestClient, tree: Path, indexed: Path) -> None:
    with sqlite3.connect(indexed / "library.db") as rows:
        rows.execute("UPDATE photos SET mtime_ns = 7 WHERE path = ?", (os.fsencode(tree / "2021/c.png"),))

    assert "1 damaged row was left out. Run <code>pixsearch repair</code>." in client.get("/folders").text


def test_every_link_is_under_the_root_path_and_behind_the_token(make_client: MakeClient, tree: Path) -> None:
    client = make_client(access_at("127.0.0.1", TOKEN, root_path="/photos"))
    assert client.get("/photos/folders").status_code == 401

    html = client.get("/photos/folders", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert all(link.startswith("/photos/") for link in links(html))
    assert re.search(r'<img src="/photos/api/photos/\d+/thumbnail"', html)


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.parametrize("inside", ["", "?in={}/2020", "?in=/nowhere"])
def test_folders_are_accessible_and_fit_every_screen(browser: Browser, serve: Serve, tree: Path, inside: str) -> None:
    assert check(browser, f"{serve()}/folders{inside.format(tree)}") == []


@pytest.mark.slow
@NEEDS_CHROMIUM
def test_a_person_walks_from_the_folders_to_the_photos_and_back(page: Page, serve: Serve, tree: Path) -> None:
    address = serve()
    page.goto(address)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Folders").click()
    expect(page.locator("header [aria-current=page]")).to_have_text("Folders")
    expect(page.locator(".folders img").first).to_have_js_property("complete", True)
    page.get_by_role("link", name="2020", exact=True).click()
    expect(page.get_by_role("heading", name="2020")).to_be_visible()

    page.get_by_role("link", name="Show 2 photos").click()
    expect(page).to_have_url(f"{address}/?folder={tree}/2020")
    page.go_back()
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="Folders").click()
    expect(page.get_by_role("heading", name=str(tree))).to_be_visible()
