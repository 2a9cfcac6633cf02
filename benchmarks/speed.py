"""Print a table of pixsearch's speed, in which each figure has a reference that was measured in the same run.

    python -m benchmarks.speed --pictures album/images [--json speed.json]

Indexing is compared with rclip and an upper bound ("the floor"), refreshing with `find` and rclip, and queries with
rclip and with a second stage in which the joint stream reads the 32 most similar photos. For details, see indexing.py,
refresh.py and latency.py, which also print more figures. A ratio is pixsearch's figure divided by the reference: above
1 is better for photos/s, and below 1 for times.
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
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to generate photos from.")],
    photos: Annotated[int, typer.Option(help="Number of photos to index.")] = 1000,
    rounds: Annotated[int, typer.Option(help="Number of times each program indexes them.")] = 3,
    known: Annotated[
        list[int] | None, typer.Option(help="Number of photos in the library to search; may be repeated.")
    ] = None,
    refreshed: Annotated[int, typer.Option(help="Number of unchanged photos to refresh.")] = 100_000,
    as_json: Annotated[Path | None, typer.Option("--json", help="Also write the table to this file, as JSON.")] = None,
) -> None:
    make_peer()
    print_machine()
    rows = indexing.measure(pictures, photos, rounds)
    rows += latency.measure(pictures, known or [1000, 10_000, 100_000])
    rows += refresh.measure(refreshed)
    print()
    print(f"{'':44} {'pixsearch':>12} {'':8} {'reference':>12} {'ratio':>6}")
    for row in rows:
        theirs, ratio = ("", "") if row.theirs is None else (f"{row.theirs:,.2f}", f"{row.ratio:.2f}")
        print(f"{row.what:44} {row.ours:12,.2f} {row.unit:8} {theirs:>12} {ratio:>6}  {row.beside}")
    if as_json is not None:
        table = where() | {"rows": [dataclasses.asdict(row) | {"ratio": row.ratio} for row in rows]}
        as_json.parent.mkdir(parents=True, exist_ok=True)
        as_json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
