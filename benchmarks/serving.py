"""`pixsearch serve` and a browser beside it, for those who measure or show the page."""

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
    """A server at work."""

    address: str
    process: int


@contextmanager
def served(library: Path) -> Iterator[Served]:
    """The page of a library, on a port that is free."""
    command: list[str | Path] = [PIXSEARCH, "serve", "--port", "0", "--library", library]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if address := re.search(r"http://\S+", line):
                break
        else:
            sys.exit(said)
        try:
            yield Served(address[0], process.pid)
        finally:
            process.terminate()


def chromium_command() -> str:
    """The path of the system's Chromium."""
    if (found := next(filter(None, map(shutil.which, _CHROMIUM)), None)) is None:
        sys.exit("there is no Chromium on this machine: apt-get install chromium")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_command(), args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_for_answer(page: Page) -> None:
    """Until the photos stand in their last order."""
    page.wait_for_selector("#results[aria-busy=false]", state="attached")
