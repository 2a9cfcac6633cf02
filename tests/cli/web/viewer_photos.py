"""Photos to open in the viewer, and where their pictures are in the window."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Page, expect

from tests.cli.conftest import Run

SIZE = (3000, 2000)
"""The size of each photo. Its large thumbnail has 1620 x 1080 pixels."""
THUMBNAIL = re.compile("thumbnail[?]size=large$")
ORIGINAL = re.compile("/image$")


class Box(NamedTuple):
    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


def index_dated(run: Run, photos: Path, count: int = 4) -> None:
    """Index 1.jpg to `count`.jpg, taken on March 1, 2, ... 2021. The timeline begins with the last one."""
    for day in range(1, count + 1):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2021:03:{day:02} 14:05:06"
        Image.new("RGB", SIZE, (20 * day, 255 - 20 * day, 90)).save(photos / f"{day}.jpg", exif=exif, quality=50)
    assert run("index", photos).exit_code == 0


def open_photo(page: Page, address: str, name: str) -> None:
    """Open the photo on the page at an address, and wait until its large picture is shown."""
    page.goto(address, wait_until="domcontentloaded")  # "load" would wait for thumbnails, which a test may hold back
    tile = page.locator(f"#results button[title$='/{name}']")
    tile.click()
    expect_open(page, name)


def expect_open(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    expect(page.locator("#viewer img")).to_have_attribute("alt", re.compile(f"^{re.escape(name)}"))
    expect(page.locator("#viewer img")).to_have_attribute("src", THUMBNAIL)


def picture_box(page: Page) -> Box:
    """Return the picture's box once it has stopped moving."""
    box: list[float] = page.locator("#viewer .frame").evaluate(
        """async (frame) => {
            await Promise.allSettled(frame.getAnimations().map(({ finished }) => finished));
            const { left, top, width, height } = frame.getBoundingClientRect();
            return [left, top, width, height];
        }"""
    )
    return Box(*box)


def part_at(box: Box, x: float, y: float) -> tuple[float, float]:
    """Return which part of the picture is at a point in the window, in fractions of its width and height."""
    return (x - box.left) / box.width, (y - box.top) / box.height


def id_of(page: Page, address: str, name: str) -> int:
    found = page.request.get(f"{address}/api/search", params={"name": name, "k": 1}).json()["hits"]
    return int(found[0]["id"])
