from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from pixsearch import Library
from pixsearch_indexer import index_folders
from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.photos import make_photo


def test_a_sound_library_says_so(run: Run, indexed: Path) -> None:
    outcome = run("verify", "--deep")

    assert (outcome.exit_code, outcome.stdout) == (0, "4 photos: no problems\n")


def test_problems_are_lines_and_exit_code_1_until_they_are_repaired(run: Run, indexed: Path) -> None:
    [vectors] = indexed.glob("vectors-*")
    vectors.write_bytes(b"rubbish")

    bad, mended, good = run("verify"), run("repair"), run("verify")

    assert bad.exit_code == 1
    assert bad.stdout == f"{vectors} has changed since it was saved\n4 photos: 1 problem\n"
    assert mended.exit_code == 0
    assert mended.stdout == f"{vectors} has changed since it was saved\n1 problem found, no problems left\n"
    assert (good.exit_code, good.stdout) == (0, "4 photos: no problems\n")


def test_json_is_one_object(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "pink.png").unlink()

    assert json.loads(run("verify", "--deep", "--json").stdout) == {
        "photos": 4,
        "problems": [],
        "notes": [],
        "stale": 1,
    }
    assert json.loads(run("repair", "--json").stdout) == {"problems": [], "left": [], "to_index": 0}


def test_a_query_says_in_one_line_what_is_damaged_and_answers_with_the_rest(run: Run, indexed: Path) -> None:
    with sqlite3.connect(indexed / "library.db") as connection:
        connection.execute("UPDATE contents SET width = width + 1 WHERE id = 1")

    damaged, checked, mended = run("query", "red", "--paths"), run("verify"), run("repair")

    assert len(damaged.stdout.splitlines()) == 2
    assert damaged.stderr == "pixsearch: skipped 1 damaged row in the library. Run: pixsearch repair\n"
    assert damaged.exit_code == 0
    assert checked.stdout.startswith("the metadata of content 1 is damaged\n")
    assert checked.exit_code == 1
    assert mended.stdout.endswith("To re-encode the affected photos, run: pixsearch index\n")
    assert run("query", "red").stderr == ""


def test_a_database_that_was_cut_is_never_written_to_and_made_again_of_what_can_be_read(
    run: Run, indexed: Path, photos: Path, model: ColourRuntime
) -> None:
    for number in range(100):
        make_photo(photos / f"{number}.png", (number + 1, 1, 1))
    with Library.open(indexed) as library:
        index_folders(library, model, [photos], load_files=load_in_this_process)
    database = indexed / "library.db"
    cut = database.read_bytes()[:-4096]
    database.write_bytes(cut)

    asked, written, checked = run("query", "red"), run("index", photos), run("verify")

    assert asked.stderr.endswith(": pixsearch repair\n")
    assert written.exit_code == 1
    assert written.stderr.endswith("To recover the readable data, run: pixsearch repair\n")
    assert checked.exit_code == 1
    assert database.read_bytes() == cut

    mended = run("repair")

    assert mended.exit_code == 0
    assert f"the old one is kept as {database}.damaged\n" in mended.stdout
    assert (indexed / "library.db.damaged").read_bytes() == cut
    assert run("verify").exit_code == 0
