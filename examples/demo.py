"""Demonstrate the pixsearch command: index photos, run some queries, and print the results.

    python examples/demo.py
    python examples/demo.py --photos ~/Pictures --query "cherry blossoms in spring"

Without --photos, the demo uses the photographs in scikit-image and scikit-learn (install the extra `demo`). All output
files are in .demo/.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pixsearch.extras import pip

DEMO_FOLDER = Path(".demo")
QUERIES = ("a cat", "a cup of coffee", "a rocket launch")
SAMPLE_PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/brick.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/clock_motion.png",
        "data/coffee.png",
        "data/coins.png",
        "data/grass.png",
        "data/gravel.png",
        "data/hubble_deep_field.jpg",
        "data/moon.png",
        "data/motorcycle_left.png",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Index photos with pixsearch and search them.")
    parser.add_argument("--photos", default="", help="folder of photos (default: sample photos)")
    parser.add_argument("--query", default="", help="text to search for (default: three sample queries)")
    given = parser.parse_args()

    photos = Path(given.photos).expanduser() if given.photos else DEMO_FOLDER / "sample-photos"
    if not given.photos:
        copy_sample_photos(photos)
    library = DEMO_FOLDER / f"{photos.name}.library"
    # The library from an earlier demo may have been indexed with a different checkpoint.
    again = ["--switch-model"] if library.exists() else []
    # Exit code 1 may mean that a single file could not be read. The other photos are still indexed.
    if pixsearch("index", str(photos), "--library", str(library), *again) > 1:
        return 2
    exit_codes = [
        pixsearch("query", query, "--top-k", "3", "--library", str(library))
        for query in ([given.query] if given.query else QUERIES)
    ]
    serve = [str(Path(sys.executable).with_name("pixsearch")), "serve", "--open", "--library", str(library)]
    print(f"\nTo browse and search the photos in a web browser, run:\n\n    {shlex.join(serve)}")
    return max(exit_codes)


def copy_sample_photos(folder: Path) -> None:
    """Copy the photographs from the installed packages, without importing the packages, which would take seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, names in SAMPLE_PHOTOS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"the sample photos require {package}. To install it, run: {pip('install', 'pixsearch[demo]')}")
        for name in names:
            shutil.copy(Path(spec.origin).parent / name, folder)


def pixsearch(*arguments: str) -> int:
    """Print and run a pixsearch command, and return its exit code."""
    print(f"\n$ {shlex.join(['pixsearch', *arguments])}", flush=True)
    return subprocess.run([Path(sys.executable).with_name("pixsearch"), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
