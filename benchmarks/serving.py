"""Run `pixsearch serve` and a browser for benchmarks and screenshots of the page."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.measuring import PIXSEARCH

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Served:
    """A running server."""

    address: str
    process: int


@contextmanager
def served(library: Path) -> Iterator[Served]:
    """Serve a library on a free port while the context is open."""
    command: list[str | Path] = [PIXSEARCH, "serve", "--port", "0", "--library", library]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        output = ""
        for line in process.stderr:
            output += line
            if address := re.search(r"http://\S+", line):
                break
        else:
            sys.exit(output)
        try:
            yield Served(address[0], process.pid)
        finally:
            process.terminate()


def chromium_command() -> str:
    """Return the path of the installed Chromium. Exit if there is none."""
    if (found := next(filter(None, map(shutil.which, _CHROMIUM)), None)) is None:
        sys.exit("Chromium is not installed. Run: apt-get install chromium")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the installed Chromium in headless mode while the context is open."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_command(), args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_for_answer(page: Page) -> None:
    """Wait until the photos are in their final order."""
    page.wait_for_selector("#results[aria-busy=false]", state="attached")
