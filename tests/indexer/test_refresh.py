"""A run without anything new costs little more than listing the folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pixsearch import Library
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY
from tests.photos import make_photo

REFRESH = """
import sys
from pathlib import Path
from pixsearch import Library
from pixsearch_indexer import index_folders

class NoEncoder:
    name, fingerprint, embedding_size = "colours", "c0" * 32, 3

with Library.open(Path(sys.argv[1])) as library:
    print(index_folders(library, NoEncoder(), []).unchanged)
heavy = {"torch", "transformers", "faiss", "numpy", "PIL", "sqlalchemy.orm", "alembic", "rich"}
print(*sorted(heavy & set(sys.modules)))
"""


@SQLITE_ONLY
def test_it_imports_nothing_that_only_new_photos_need(
    tmp_path: Path, library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "a.png")
    index_folders(library, runtime, [photos])

    finished = subprocess.run(
        [sys.executable, "-c", REFRESH, library.folder],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert finished.stdout == "1\n\n"
