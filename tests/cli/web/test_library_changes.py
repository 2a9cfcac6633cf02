"""Changing the library from its page: `pixsearch serve --allow-index`, with the default checkpoint, in Chromium."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cli.web.conftest import NEEDS_CHROMIUM
from tests.cli.web.looks import check
from tests.photos import make_photo

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]

TOKEN = "a-token-of-this-test"
INDEXING_TAKES_MS = 120_000

Serving = tuple[subprocess.Popen[str], str]
ServeAllowing = Callable[..., Serving]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three photos, two of which look the same, and two files that are not photos."""
    folder = tmp_path / "Pictures"
    make_photo(folder / "2024" / "red.png", (200, 10, 10), (300, 200))
    make_photo(folder / "2025" / "blue.png", (10, 10, 200), (300, 200))
    make_photo(folder / "2025" / "small blue.png", (10, 10, 200), (150, 100))
    (folder / "2025" / "broken.jpg").write_bytes(b"no picture")
    (folder / "2025" / "empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture
def serve_allowing(tmp_path: Path) -> Iterator[ServeAllowing]:
    """A function that starts the command without a library and returns the process and its library page's address."""
    running: list[subprocess.Popen[str]] = []
    homes = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "CACHE")}

    def start(*folders: Path) -> Serving:
        allowed = [part for folder in folders for part in ("--allow-index", str(folder))]
        process = subprocess.Popen(
            [sys.executable, "-m", "pixsearch_cli", "serve", "--port", "0", *allowed],
            env={**os.environ, **homes, "PIXSEARCH_TOKEN": TOKEN, "PIXSEARCH_LIBRARY": str(tmp_path / "library")},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stderr is not None
        address = re.search(r"http://\S+:\d+/", line := process.stderr.readline())
        assert address is not None, line
        return process, f"{address[0]}library?token={TOKEN}"

    yield start
    for process in running:
        process.kill()
        process.communicate()


def add(page: Page, *names: str) -> None:
    """Choose a folder by the names along its path, and add it."""
    page.get_by_role("button", name="Add a folder").click()
    chooser = page.get_by_role("dialog", name="Add a folder")
    for name in names:
        chooser.get_by_role("listitem").get_by_role("button", name=name).click()
    chooser.get_by_role("button", name="Add this folder").click()


def outcome(page: Page, words: str) -> None:
    expect(page.locator("#changes [role=status]")).to_contain_text(words, timeout=INDEXING_TAKES_MS)


def test_a_new_user_adds_a_folder_finds_its_photos_and_forgets_it(
    page: Page, serve_allowing: ServeAllowing, pictures: Path
) -> None:
    _, address = serve_allowing(pictures)
    page.goto(address.replace("/library", "/"))
    expect(page.get_by_role("heading", name="No photos yet")).to_be_visible()
    page.get_by_role("link", name="Add a folder").click()
    add(page, str(pictures))

    outcome(page, "5 photos: 3 encoded, 0 unchanged, 2 failed")
    kinds = page.get_by_role("region", name="Changes").get_by_role("listitem")
    expect(kinds).to_have_text(["1 file: not a picture in a supported format", "1 file: the file is empty"])
    page.get_by_role("link", name="Photos", exact=True).click()
    expect(page.locator("#results img")).to_have_count(3)

    page.get_by_role("link", name="Library").click()
    page.get_by_role("button", name="Find similar photos").click()
    outcome(page, "1 group of duplicates")
    page.get_by_role("link", name="Duplicates").click()
    expect(page.get_by_text("Similar", exact=False).first).to_be_visible()

    page.get_by_role("link", name="Library").click()
    page.get_by_role("button", name=f"Forget {pictures}").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Forget {pictures}")).to_be_visible()
    page.get_by_role("button", name=f"Forget {pictures}").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    outcome(page, "3 photos forgotten")
    expect(page.get_by_text("No folders yet.")).to_be_visible()
    assert len(list(pictures.rglob("*.png"))) == 3


def test_no_button_takes_a_click_before_the_script_has_run(
    page: Page, serve_allowing: ServeAllowing, pictures: Path
) -> None:
    _, address = serve_allowing(pictures)
    page.goto(address)
    add(page, str(pictures))
    outcome(page, "5 photos: 3 encoded, 0 unchanged, 2 failed")

    page.route("**/library.js", lambda route: route.abort())
    page.reload()
    buttons = page.get_by_role("main").get_by_role("button")
    expect(buttons).to_have_count(5)
    for button in buttons.all():
        expect(button).to_be_disabled()


def test_by_keyboard_alone_one_folder_of_several_is_added_and_updated(
    page: Page, serve_allowing: ServeAllowing, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "Other").mkdir()
    _, address = serve_allowing(pictures, tmp_path / "Other")
    page.goto(address)
    page.get_by_role("button", name="Add a folder").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=str(pictures))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Up one level")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#chooser .path")).to_have_text(f"{pictures}/2024")
    page.get_by_role("button", name="Add this folder").focus()
    page.keyboard.press("Enter")
    outcome(page, "1 photo: 1 encoded")
    expect(page.get_by_role("button", name="Add a folder")).to_be_focused()

    make_photo(pictures / "2024" / "green.png", (10, 200, 10))
    page.get_by_role("button", name=f"Update {pictures}/2024").focus()
    page.keyboard.press("Enter")
    outcome(page, "2 photos: 1 encoded, 1 unchanged")


def test_by_touch_a_run_is_followed_stopped_and_gone_on_with(
    browser: Browser, serve_allowing: ServeAllowing, pictures: Path
) -> None:
    for number in range(300):
        make_photo(pictures / "2026" / f"{number}.png", (number % 256, number // 256, 99), (640, 480))
    _, address = serve_allowing(pictures)
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Add a folder").tap()
    page.get_by_role("dialog").get_by_role("button", name=str(pictures)).tap()
    page.get_by_role("button", name="Add this folder").tap()
    status = page.locator("#changes [role=status]")
    expect(status).to_contain_text(re.compile(r": [1-9]\d* of 305"), timeout=INDEXING_TAKES_MS)

    second = context.new_page()
    second.goto(address)
    expect(second.locator("#changes [role=status]")).to_contain_text("of 305")
    expect(second.get_by_role("button", name="Add a folder")).to_be_disabled()
    second.get_by_role("button", name="Stop").tap()
    outcome(second, "was stopped")
    outcome(page, "was stopped")

    page.get_by_role("button", name="Update all").tap()
    outcome(page, "305 photos: ")
    text = status.inner_text()
    encoded, unchanged = (int(re.search(rf"(\d+) {word}", text)[1]) for word in ("encoded", "unchanged"))  # type: ignore[index]
    assert unchanged > 0
    assert encoded + unchanged == 303
    context.close()


def test_a_server_that_ends_stops_its_run(serve_allowing: ServeAllowing, pictures: Path) -> None:
    for number in range(300):
        make_photo(pictures / "2026" / f"{number}.png", (number % 256, number // 256, 99), (640, 480))
    process, address = serve_allowing(pictures)
    api = address.partition("library")[0] + "api/index"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx2.post(api, json={"folder": str(pictures)}, headers=headers).status_code == 202
    while httpx2.get(api, headers=headers).json()["run"]["progress"] is None:
        pass
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children.read_text().split()}
    indexing = [pid for pid, command in commands.items() if b"index" in command]
    assert len(indexing) == 1

    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    assert not Path(f"/proc/{indexing[0]}").exists()


def test_the_page_is_accessible_and_fits_every_screen_whatever_is_open(
    browser: Browser, serve_allowing: ServeAllowing, pictures: Path
) -> None:
    _, address = serve_allowing(pictures)

    def open_chooser(page: Page) -> None:
        page.get_by_role("button", name="Add a folder").click()
        page.get_by_role("dialog").get_by_role("button", name=str(pictures)).click()
        expect(page.get_by_role("button", name="Up one level")).to_be_visible()

    assert check(browser, address, open_chooser) == []
    api = address.partition("library")[0] + "api/index"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx2.post(api, json={"folder": str(pictures)}, headers=headers).status_code == 202
    while not httpx2.get(api, headers=headers).json()["run"]["ended"]:
        pass
    assert check(browser, address) == []
