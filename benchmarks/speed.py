"""One table of how fast pixsearch is, each figure beside what it was measured with, in turn, in one run.

    python -m benchmarks.speed --pictures album/images [--json speed.json]

Indexing beside rclip and a floor, refreshing beside `find` and rclip, queries beside rclip and beside a second stage in
which the joint stream reads the 32 most similar; indexing.py, refresh.py and latency.py say how, and print more. A
ratio is our figure by the other: above 1 is better where photos/s are told, below 1 where times are.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import indexing, latency, refresh
from benchmarks.measuring import print_machine, where
from benchmarks.peer import make_peer


def main(
    pictures: Annotated[Path, typer.Option(help="A folder of pictures to make photos of.")],
    photos: Annotated[int, typer.Option(help="How many are indexed.")] = 1000,
    rounds: Annotated[int, typer.Option(help="How often each program indexes them.")] = 3,
    known: Annotated[list[int] | None, typer.Option(help="Photos of a library that is asked; may be repeated.")] = None,
    refreshed: Annotated[int, typer.Option(help="How many unchanged photos are refreshed.")] = 100_000,
    as_json: Annotated[Path | None, typer.Option("--json", help="Where to write the table as JSON, too.")] = None,
) -> None:
    make_peer()
    print_machine()
    rows = indexing.measure(pictures, photos, rounds)
    rows += latency.measure(pictures, known or [1000, 10_000, 100_000])
    rows += refresh.measure(refreshed)
    print()
    print(f"{'':44} {'pixsearch':>12} {'':8} {'beside':>12} {'ratio':>6}")
    for row in rows:
        theirs, ratio = ("", "") if row.theirs is None else (f"{row.theirs:,.2f}", f"{row.ratio:.2f}")
        print(f"{row.what:44} {row.ours:12,.2f} {row.unit:8} {theirs:>12} {ratio:>6}  {row.beside}")
    if as_json is not None:
        table = where() | {"rows": [dataclasses.asdict(row) | {"ratio": row.ratio} for row in rows]}
        as_json.parent.mkdir(parents=True, exist_ok=True)
        as_json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
