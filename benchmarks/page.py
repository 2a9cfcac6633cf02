"""Measure the response time of the page in the browser, and the server's memory after thousands of queries.

    python benchmarks/page.py --pictures pictures/ --pictures more/ [--photos 10000]

The first answer is sorted by similarity, and is shown if the full answer takes longer than 300 ms. Both times start
when Enter is pressed and end when the photos are laid out on the page (thumbnails may still be loading). No query is
repeated. The memory is that of the server and its decoders (PSS).
"""

from __future__ import annotations

import statistics
import tempfile
import urllib.parse
import urllib.request
from itertools import islice, product
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring import PIXSEARCH, memory_mb, print_machine, take
from benchmarks.serving import chromium, served, wait_for_answer

WHO = [
    "a dog",
    "two children",
    "a man",
    "a woman in a red dress",
    "a cat",
    "people",
    "a boy with a ball",
    "a girl",
    "a bird",
    "a horse",
    "a car",
    "an old man",
    "a cyclist",
    "a dancer",
    "a baby",
    "friends",
    "a climber",
    "a player",
    "a crowd",
    "a boat",
]
WHERE = [
    "on a beach",
    "in the snow",
    "in a street",
    "on grass",
    "near water",
    "at night",
    "in a kitchen",
    "in the sun",
    "on a hill",
    "indoors",
]
QUERIES = [f"{who} {where}" for who, where in product(WHO, WHERE)]
QUERIES_FOR_MEMORY = 2000


def main(
    pictures: Annotated[list[Path], typer.Option(help="Folder with pictures; may be repeated.")],
    photos: Annotated[int, typer.Option(help="Number of photos.")] = 10_000,
) -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        chosen, library = Path(scratch) / "photos", Path(scratch) / "library"
        chosen.mkdir()
        files = (file for folder in pictures for file in sorted(folder.resolve().rglob("*")) if file.is_file())
        for number, file in enumerate(islice(files, photos)):
            (chosen / f"{number:05}{file.suffix}").symlink_to(file)
        take([PIXSEARCH, "index", chosen, "--follow-links", "--library", library], watch=False)
        with served(library) as server:
            measure_answers(server.address)
            measure_memory(server.address, server.process)


def measure_answers(address: str) -> None:
    """Print the response times of the page."""
    found: dict[str, list[float]] = {"first answer": [], "full answer": []}
    with chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        for query in QUERIES:
            page.evaluate("performance.clearMeasures()")
            page.get_by_role("searchbox").fill(query)
            page.keyboard.press("Enter")
            page.wait_for_url(f"**/?q={urllib.parse.quote_plus(query)}")
            wait_for_answer(page)
            for name, durations in found.items():
                durations += page.evaluate(f"performance.getEntriesByName({name!r}).map(one => one.duration)")
            page.wait_for_load_state("networkidle")
    for name, durations in found.items():
        if len(durations) < 2:
            print(f"  {name}: shown in {len(durations)} of {len(QUERIES)} queries")
            continue
        slow = statistics.quantiles(durations, n=20)[-1]
        print(f"  {name}: p50 {statistics.median(durations):.0f} ms, p95 {slow:.0f} ms over {len(durations)} queries")


def measure_memory(address: str, process: int) -> None:
    """Print the memory before and after many queries. Half of them use only the first stage."""
    before = memory_mb(process)
    for number in range(QUERIES_FOR_MEMORY):
        parameters = {
            "q": f"{QUERIES[number % len(QUERIES)]} {number}",
            "k": 60,
            "rerank": "false" if number % 2 else "true",
        }
        with urllib.request.urlopen(f"{address}api/search?{urllib.parse.urlencode(parameters)}") as answer:
            answer.read()
    print(f"  memory: {before:,.0f} MB, after {QUERIES_FOR_MEMORY:,} queries {memory_mb(process):,.0f} MB")


if __name__ == "__main__":
    typer.run(main)
