"""Measure the timeline page in a browser: cold, and with a large library.

    python benchmarks/timeline_page.py --pictures album/images [--photos 100000 --files 10000]

The cold library has real files: copies of the pictures, each with a distinct comment and a date in its name. They are
indexed, which also creates the thumbnails. Before each measurement, the library and the thumbnails are dropped from the
page cache. Then the server is started, and the page is opened in a new browser profile.

The large library is made as in said_words.py, and each photo gets a thumbnail of one of the pictures. While the mouse
wheel scrolls the page, Chromium's tracing records the wall-clock and CPU time of the tasks in the page's main thread.
The browser and the server share the CPU, which also draws the page if there is no GPU. Memory is measured after garbage
collection: the JavaScript heap, the number of DOM nodes, and the proportional set size (PSS) of the tab's process and
of the server with its decoders. Caches that the browser releases under memory pressure, which contain decoded pictures,
are listed separately.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Browser, Page

from benchmarks.latency import make_library
from benchmarks.measuring import PIXSEARCH, memory_mb, print_machine, take
from benchmarks.page import QUERIES
from benchmarks.said_words import made_up
from benchmarks.serving import Served, chromium, served, wait_for_answer
from benchmarks.unwatched_tab import unwatched_tab
from pixsearch import Library
from pixsearch.filters import NO_FILTERS
from pixsearch.library.records import StoredPicture
from pixsearch.settings import cache_folder
from pixsearch_indexer.thumbnail_cache import SMALL, ThumbnailCache

COLD_ROUNDS = 5
ROUNDS = 10
SCROLLED = 100
WHEEL_PX, WHEEL_EVERY_MS = 700, 30
ROWS = 5000
SETTLES_S = 3
SEARCHES = 20
LONG_MS = 16
_WIDTH, _HEIGHT = 1280, 800
_SCRIPT = {"FunctionCall", "EvaluateScript", "RunMicrotasks", "FireAnimationFrame", "TimerFire", "EventDispatch"}

PHOTOS_IN_SIGHT = """
window.tilesInSight = () => [...document.querySelectorAll("#results li")].filter((tile) => {
  const { top, bottom } = tile.getBoundingClientRect();
  return bottom > document.querySelector("header").offsetHeight && top < innerHeight;
});
window.photosInSight = () => new Promise((resolve) => {
  let laidOut;
  const look = () => {
    const images = tilesInSight().map((tile) => tile.querySelector("img"));
    if (images.length && images.every(Boolean)) {
      laidOut ??= performance.now();
      if (images.every(({ naturalWidth }) => naturalWidth)) return resolve([laidOut, performance.now()]);
    }
    requestAnimationFrame(look);
  };
  look();
});
window.home = photosInSight();
"""
JUMP = """async (year) => {
  const began = performance.now();
  [...document.querySelectorAll("#scrubber button")].find(({ textContent }) => textContent === year).click();
  return (await photosInSight()).map((moment) => moment - began);
}"""
COUNT_ROWS = """() => {
  let lowest = -1;
  window.rows = 0;
  const look = () => {
    const tops = [...document.querySelectorAll("#results li")].map((tile) => new DOMMatrix(tile.style.transform).f);
    for (const top of new Set(tops.filter((top) => top > lowest))) rows += 1;
    lowest = Math.max(lowest, ...tops);
    requestAnimationFrame(look);
  };
  look();
}"""
WATCH_SHIFTS = """
let shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries())).observe({ type: "layout-shift" });
let since = Infinity; // two frames after the first answer
window.shiftsSince = () => shifts.filter(({ startTime }) => startTime > since).map(({ value }) => value);

// Delay the re-ranked answer so that the first answer is always shown.
const fetchNow = fetch;
window.fetch = async (address, options) => {
  const answer = await fetchNow(address, options);
  if (/api.search/.test(address) && !/rerank=false/.test(address)) await new Promise((on) => setTimeout(on, 600));
  return answer;
};

window.boxes = () => Object.fromEntries(tilesInSight().map((tile) => {
  const { x, y, width, height } = tile.getBoundingClientRect();
  return [tile.firstChild.title, [x, y, width, height].join(" ")];
}));
const watch = () => {
  const isAnswered = performance.getEntriesByName("first answer").length > 0;
  if (isAnswered && !window.before) window.before = boxes();
  else if (!isAnswered) since = Infinity;
  else if (since === Infinity) since = performance.now();
  requestAnimationFrame(watch);
};
watch();
"""


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to make the libraries from.")],
    photos: Annotated[int, typer.Option(help="Number of photos in the large library.")] = 100_000,
    files: Annotated[int, typer.Option(help="Number of real files in the cold library.")] = 10_000,
    kept: Annotated[Path | None, typer.Option(help="Folder to keep both libraries in for the next run.")] = None,
) -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = kept or Path(scratch)
        print_cold(pictures, files, folder / "cold")
        print_large(pictures, photos, folder / "large")


def print_cold(pictures: Path, files: int, folder: Path) -> None:
    library, cache = folder / "library", use_cache(folder)
    if not folder.exists():
        make_files(pictures, folder / "files", files)
        take([PIXSEARCH, "index", folder / "files", "--library", library], watch=False)
    print(f"{count(library):,} real files, new server process, cold disk and new browser profile each time")
    homes = []
    with chromium() as browser:
        for _ in range(COLD_ROUNDS):
            drop_from_memory(library, cache)
            with served(library) as server, new_page(browser) as page:
                page.goto(server.address, wait_until="commit")
                homes.append(page.evaluate("home"))
    print_times("first screen", homes)


def print_large(pictures: Path, photos: int, folder: Path) -> None:
    library, cache, source = folder / "library", use_cache(folder), folder / "source"
    if not folder.exists():
        take([PIXSEARCH, "index", pictures, "--library", source], watch=False)
        make_library(source, library, photos, made_up(random.Random(0)))
        make_thumbnails(source, library, cache)
    print(f"{count(library):,} photos with made-up metadata and existing thumbnails")
    with served(library) as server, chromium() as browser:
        print_opening(browser, server.address)
        print_scrolling(browser, server.address)
        print_shifts(browser, server.address)
    with served(library) as server:
        print_memory(server)


def use_cache(folder: Path) -> Path:
    """Make pixsearch use a cache below `folder`, in this process and its children."""
    os.environ["XDG_CACHE_HOME"] = str(folder.resolve() / "cache")
    return cache_folder()


def make_files(pictures: Path, folder: Path, count: int) -> None:
    """Copy JPEGs, each with a distinct comment and a date in its name."""
    folder.mkdir(parents=True)
    draw = random.Random(0)
    sources = cycle(sorted(file for file in pictures.iterdir() if file.suffix.lower() in (".jpg", ".jpeg")))
    for number, source in enumerate(islice(sources, count)):
        data, comment = source.read_bytes(), b"%08d" % number
        taken = datetime(2012, 1, 1) + timedelta(minutes=draw.randrange(14 * 365 * 24 * 60))
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (folder / f"IMG_{taken:%Y%m%d_%H%M%S}_{number:05}.jpg").write_bytes(data[:2] + segment + data[2:])


def make_thumbnails(source: Path, large: Path, cache: Path) -> None:
    """Give each photo in the large library a thumbnail of a photo in the source library."""
    with Library.open(source) as drawn, Library.open(large) as library:
        thumbnails = ThumbnailCache(cache, library.name, library.count_contents)
        jpegs = [thumbnails.get(picture.digest, SMALL) for picture in all_pictures(drawn)]
        for picture, jpeg in zip(all_pictures(library), cycle(filter(None, jpegs)), strict=False):
            thumbnails.put(picture.digest, SMALL, jpeg)


def all_pictures(library: Library) -> Iterator[StoredPicture]:
    return filter(None, map(library.picture, library.vectors().ids().tolist()))


def count(library: Path) -> int:
    """Return the number of photos that the page shows. Some made-up paths may be identical."""
    with Library.open(library) as opened:
        return sum(part[-1] for part in opened.timeline(NO_FILTERS))


@contextmanager
def new_page(browser: Browser) -> Iterator[Page]:
    """Open a page with a new profile and an empty cache while the context is open."""
    context = browser.new_context(viewport={"width": _WIDTH, "height": _HEIGHT})
    context.add_init_script(PHOTOS_IN_SIGHT)
    yield context.new_page()
    context.close()


def drop_from_memory(*folders: Path) -> None:
    """Drop all files below the folders from the page cache, so that they are read from disk again."""
    os.sync()
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def print_opening(browser: Browser, address: str) -> None:
    homes, jumps = [], []
    for _ in range(ROUNDS):
        with new_page(browser) as page:
            page.goto(address, wait_until="commit")
            homes.append(page.evaluate("home"))
            page.wait_for_selector("#scrubber button")
            years = page.locator("#scrubber li:not([hidden]) button").all_inner_texts()[1:]
            random.Random(0).shuffle(years)
            jumps += [page.evaluate(JUMP, year) for year in years]
    print_times("home", homes)
    print_times("jump to a year", jumps)


def print_times(what: str, times: list[list[float]]) -> None:
    for name, moments in zip(("photos laid out", "thumbnails visible"), zip(*times, strict=True), strict=True):
        print(
            f"  {what}, {name}: median {statistics.median(moments):.0f} ms, "
            f"maximum {max(moments):.0f} ms of {len(moments)}",
            flush=True,
        )


def print_scrolling(browser: Browser, address: str) -> None:
    with new_page(browser) as page:
        page.goto(address)
        page.evaluate("home")
        page.wait_for_load_state("networkidle")
        browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
        page.mouse.move(_WIDTH / 2, _HEIGHT / 2)
        for _ in range(SCROLLED):
            page.mouse.wheel(0, WHEEL_PX)
            page.wait_for_timeout(WHEEL_EVERY_MS)
        page.wait_for_timeout(500)
        tasks = main_thread_tasks(json.loads(browser.stop_tracing()), tab_process(browser))
    for task in tasks:
        task["script"] = sum(task["parts"][name] for name in _SCRIPT)
    print(f"  scrolling {SCROLLED} times {WHEEL_PX} pixels, {WHEEL_EVERY_MS} ms apart: {len(tasks):,} tasks")
    for name, field in (("wall-clock time", "wall"), ("CPU time", "processor"), ("script only", "script")):
        milliseconds = [task[field] for task in tasks]
        over = sum(one > LONG_MS for one in milliseconds)
        print(f"    {name}: {over} over {LONG_MS} ms, the longest {max(milliseconds):.1f} ms")
    for task in sorted(tasks, key=lambda task: -float(task["wall"]))[:3]:
        parts = ", ".join(f"{name} {ms:.1f}" for name, ms in task["parts"].most_common(5))
        print(f"    {task['wall']:.1f} ms, {task['processor']:.1f} ms of CPU time: {parts}", flush=True)


def main_thread_tasks(trace: dict[str, Any], process: int) -> list[dict[str, Any]]:
    """Return the tasks of a page's main thread.

    Each task has its `wall` and `processor` time in milliseconds, and the `parts` of its wall-clock time per event.
    """
    events = trace["traceEvents"]
    [thread] = {
        event["tid"]
        for event in events
        if event["pid"] == process and event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    spans = [event for event in events if event["ph"] == "X" and (event["pid"], event["tid"]) == (process, thread)]
    tasks: list[dict[str, Any]] = []
    around: list[dict[str, Any]] = []
    for span in sorted(spans, key=lambda span: (span["ts"], -span["dur"])):
        while around and span["ts"] >= around[-1]["ts"] + around[-1]["dur"]:
            around.pop()
        milliseconds = span["dur"] / 1000
        if not around:
            tasks.append({"wall": milliseconds, "processor": span.get("tdur", 0) / 1000, "parts": Counter()})
        else:
            tasks[-1]["parts"][around[-1]["name"]] -= milliseconds
        tasks[-1]["parts"][span["name"]] += milliseconds
        around.append(span)
    return tasks


def print_memory(server: Served) -> None:
    with unwatched_tab(_WIDTH, _HEIGHT) as tab:
        tab.send("Page.navigate", url=server.address)
        while not tab.evaluate("document.querySelector('#results img')?.complete"):
            time.sleep(0.1)
        tab.evaluate(f"({COUNT_ROWS})()")
        for target in range(0, ROWS + 1, ROWS // 5):
            while tab.evaluate("rows") < target:
                tab.evaluate(f"scrollBy(0, {WHEEL_PX})")
                time.sleep(WHEEL_EVERY_MS / 1000)
            time.sleep(SETTLES_S)
            tab.send("HeapProfiler.collectGarbage")
            heap_mb, nodes = (
                tab.send("Runtime.getHeapUsage")["usedSize"] / 1e6,
                tab.send("Memory.getDOMCounters")["nodes"],
            )
            with_caches_mb = tab.memory_mb()
            tab.free_caches()
            time.sleep(SETTLES_S)
            tab_mb, server_mb = tab.memory_mb(), memory_mb(server.process)
            print(
                f"  {tab.evaluate('rows'):5,} rows: heap {heap_mb:.1f} MB, {nodes:,} nodes, tab {tab_mb:.0f} MB, "
                f"caches {with_caches_mb - tab_mb:.0f} MB, server {server_mb:.0f} MB",
                flush=True,
            )


def tab_process(browser: Browser) -> int:
    """Return the id of the page's renderer process: the largest one, because the browser also keeps spare ones."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    ids: list[int] = [one["id"] for one in processes if one["type"] == "renderer"]
    return max(ids, key=memory_mb)


def print_shifts(browser: Browser, address: str) -> None:
    moved = better = 0
    shifts: list[float] = []
    with new_page(browser) as page:
        page.add_init_script(WATCH_SHIFTS)
        page.goto(address)
        page.evaluate("home")
        for query in QUERIES[:SEARCHES]:
            page.evaluate("performance.clearMeasures(); window.before = undefined")
            page.get_by_role("combobox", name="Search your photos").fill(query)
            page.keyboard.press("Enter")
            page.wait_for_function("() => window.before")
            wait_for_answer(page)
            page.wait_for_load_state("networkidle")
            before, after = page.evaluate("[before, boxes()]")
            shifts += page.evaluate("shiftsSince()")
            moved += sum(after.get(photo) != box for photo, box in before.items())
            better += page.locator("#better").is_visible()
    print(
        f"  {SEARCHES} searches with the full answer 600 ms after the first: {len(shifts)} layout shifts "
        f"({sum(shifts):.3f} in total), {moved} visible photos moved, a better order was offered {better} times"
    )


if __name__ == "__main__":
    typer.run(main)
