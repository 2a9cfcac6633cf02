"""Take the screenshots for the README and docs/: each screen in light mode, in dark mode, and on a phone.

    python -m examples.screenshots

The screenshots show the photographs that `make demo` indexes. The ones from scikit-image are CC0 or in the public
domain, and the two from scikit-learn are CC BY 2.0 (danielbuechele and vultilion on Flickr). Their dates and folders
are made up, and some photos are duplicated.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.serving import chromium, served, wait_for_answer
from examples.demo import copy_sample_photos, pixsearch

SCREENS = Path(__file__).parent.parent / "docs" / "screens"
_QUALITY = 78

_TAKEN = {
    "Holiday": {
        "20240706_101500": "china.jpg",
        "20240706_213000": "rocket.jpg",
        "20240705_090000": "flower.jpg",
        "20240705_151000": "motorcycle_left.png",
        "20240613_204500": "hubble_deep_field.jpg",
        "20240613_221000": "moon.png",
    },
    "Home": {
        "20240709_081500": "coffee.png",
        "20240709_083000": "chelsea.png",
        "20240622_120000": "astronaut.png",
        "20240622_121500": "camera.png",
        "20240519_194000": "clock_motion.png",
        "20240519_160000": "coins.png",
        "20240519_161000": "brick.png",
        "20240518_160500": "grass.png",
        "20240518_161500": "gravel.png",
    },
}


class Look(NamedTuple):
    """The window and colour scheme of a screenshot."""

    name: str
    width: int
    height: int
    scheme: str


LOOKS = (Look("light", 1100, 640, "light"), Look("dark", 1100, 640, "dark"), Look("phone", 360, 640, "light"))


def main() -> None:
    # The screenshots show the path of the folder, so it is not in .demo.
    folder = Path(tempfile.gettempdir()) / "pixsearch-screenshots"
    try:
        _put_photos(folder)
        pixsearch("index", str(folder / "Pictures"), "--library", str(folder / "library"))
        pixsearch("duplicates", "--alike", "--library", str(folder / "library"))
        SCREENS.mkdir(exist_ok=True)
        with served(folder / "library") as server, chromium() as browser:
            for look in LOOKS:
                for name, show in _SCREENS.items():
                    with _opened(browser, look) as page:
                        show(page, server.address)
                        _take(page, f"{name}-{look.name}.webp")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_photos(folder: Path) -> None:
    copy_sample_photos(folder / "samples")
    for name, taken in _TAKEN.items():
        (folder / "Pictures" / name).mkdir(parents=True)
        for when, photo in taken.items():
            shutil.copy(folder / "samples" / photo, folder / "Pictures" / name / f"IMG_{when}{Path(photo).suffix}")
    copies = folder / "Pictures" / "From phone"
    copies.mkdir()
    shutil.copy(folder / "samples" / "coffee.png", copies / "IMG_20240709_081500.png")
    with Image.open(folder / "samples" / "china.jpg") as china:
        china.resize((china.width // 2, china.height // 2)).save(copies / "IMG_20240706_101500.jpg", quality=70)


@contextmanager
def _opened(browser: Browser, look: Look) -> Iterator[Page]:
    page = browser.new_page(
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    yield page
    page.close()


def _photos(page: Page, address: str) -> None:
    page.goto(address)
    wait_for_answer(page)


def _search(page: Page, address: str) -> None:
    page.goto(f"{address}?q=a+cup+of+coffee")
    wait_for_answer(page)
    if (better := page.get_by_role("button", name="Better order ready")).is_visible():
        better.click()


def _suggestions(page: Page, address: str) -> None:
    _photos(page, address)
    page.get_by_role("combobox").press_sequentially("coffee 20")
    page.get_by_role("option").first.wait_for()


def _filters(page: Page, address: str) -> None:
    _photos(page, address)
    page.get_by_role("button", name="Filters").click()


def _photo(page: Page, address: str) -> None:
    _search(page, address)
    page.locator("#results button").first.click()
    page.get_by_role("button", name="cup", exact=True).click(timeout=60_000)


def _at(path: str) -> Callable[[Page, str], None]:
    def show(page: Page, address: str) -> None:
        page.goto(f"{address}{path}")

    return show


_SCREENS: dict[str, Callable[[Page, str], None]] = {
    "photos": _photos,
    "search": _search,
    "suggestions": _suggestions,
    "filters": _filters,
    "photo": _photo,
    "folders": _at("folders"),
    "duplicates": _at("duplicates"),
    "library": _at("library"),
}


def _take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as taken:
        taken.save(SCREENS / name, "WEBP", quality=_QUALITY, method=6)


if __name__ == "__main__":
    main()
