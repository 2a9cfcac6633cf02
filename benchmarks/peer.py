"""Set up rclip, the peer in the benchmarks, in a separate environment and with random weights.

    python benchmarks/peer.py

Creates `.bench/peer`, an environment with rclip and open_clip, and `.bench/rclip`, which contains rclip's model and
database. Does nothing if they exist.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.measuring import take

PROJECT = Path(__file__).resolve().parent.parent
_PEER, _DATA = PROJECT / ".bench" / "peer", PROJECT / ".bench" / "rclip"
_PYTHON = _PEER / "bin" / "python"
_PACKAGES = ("rclip==3.3.0", "open-clip-torch==3.3.0", "onnx>=1.19", "onnxscript>=0.5")
_EMBEDDING_SIZE = 512


def make_peer() -> None:
    """Install rclip and create its model. Raises CalledProcessError."""
    if not (_PEER / "bin" / "rclip").exists():
        subprocess.run([sys.executable, "-m", "venv", _PEER], check=True)
        # The installed versions are known to work on this machine.
        torch = [f"{name}=={version(name).split('+')[0]}" for name in ("torch", "torchvision")]
        subprocess.run([_PYTHON, "-m", "pip", "install", "--quiet", *_PACKAGES, *torch], check=True)
    if not (_DATA / "tokenizer").exists():
        shutil.rmtree(_DATA, ignore_errors=True)
        take(in_peer("rclip_graphs", _DATA), PROJECT, watch=False)


def in_peer(program: str, folder: Path) -> list[str | Path]:
    """Return the command to run a module of `benchmarks` in the peer's environment, from the project folder."""
    return [_PYTHON, "-m", f"benchmarks.{program}", folder]


def rclip(words: str, *, index: bool) -> list[str | Path]:
    """Return the command to search the working directory and its subfolders; `index` also updates rclip's index."""
    return [_PEER / "bin" / "rclip", "--filepath-only", *([] if index else ["--no-indexing"]), words]


def rclip_environment() -> Mapping[str, str]:
    return {"RCLIP_DATADIR": str(_DATA), "HF_HUB_OFFLINE": "1"}


def forget_all() -> None:
    (_DATA / "db.sqlite3").unlink(missing_ok=True)


def know(photos: Iterable[tuple[Path, os.stat_result | None]]) -> None:
    """Fill rclip's database with photos and random vectors, as if it had indexed them."""
    forget_all()
    with tempfile.TemporaryDirectory() as nothing:  # a run over an empty folder creates the tables
        take(rclip("nothing", index=True), Path(nothing), rclip_environment(), watch=False)
    noise = np.random.default_rng(0)

    def rows() -> Iterable[tuple[str, float, int, bytes, str]]:
        for number, (photo, stat) in enumerate(photos):
            vector = noise.standard_normal(_EMBEDDING_SIZE, dtype=np.float32)
            vector /= np.linalg.norm(vector)
            mtime, size = (0.0, 0) if stat is None else (stat.st_mtime, stat.st_size)
            yield str(photo), mtime, size, vector.tobytes(), f"{number:064x}"

    with sqlite3.connect(_DATA / "db.sqlite3") as database:
        database.executemany(
            "INSERT INTO images (filepath, modified_at, size, vector, hash) VALUES (?, ?, ?, ?, ?)", rows()
        )
    database.close()


if __name__ == "__main__":
    make_peer()
