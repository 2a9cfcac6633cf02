"""Takes the pictures of the page that the README and docs/guide.md show: `python -m examples.screenshots`.

Of the photographs that `make demo` indexes: CC0 and public domain as scikit-image says of its own, CC BY 2.0 for
scikit-learn's two (danielbuechele and vultilion on Flickr).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.serving import chromium, served, wait_for_answer
from examples.demo import copy_sample_photos, pixsearch

DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    # Not in .demo: where a clone lies is on the pictures.
    folder = Path(tempfile.gettempdir()) / "pixsearch-screenshots"
    try:
        copy_sample_photos(folder / "Pictures")
        pixsearch("index", str(folder / "Pictures"), "--library", str(folder / "library"))
        with served(folder / "library") as server, chromium() as browser:
            _take(_asked(browser, server.address, 1100, 620, "light"), "page.jpg")
            _take(_asked(browser, server.address, 360, 620, "dark"), "page-phone.jpg")
            photo = _asked(browser, server.address, 1100, 620, "dark")
            photo.locator("#results button").first.click()
            photo.get_by_role("button", name="cup", exact=True).click(timeout=60_000)
            _take(photo, "page-why.jpg")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _asked(browser: Browser, address: str, width: int, height: int, scheme: str) -> Page:
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page.goto(f"{address}?q=a+cup+of+coffee&minus=0.3:people")
    wait_for_answer(page)
    return page


def _take(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=DOCS / name, type="jpeg", quality=85)


if __name__ == "__main__":
    main()
