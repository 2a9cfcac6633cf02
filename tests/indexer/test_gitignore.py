"""Gitignore patterns exclude what git excludes, and none takes long to match."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pixsearch_indexer.gitignore import excludes, read_patterns

OF_PATTERNS = [
    *b"a b . * * ? / [ ] ! - ^ \\ { $ + ( # \t \xe9 \xff".split(b" "),
    *(b" ", b"**", b"**/", b"[ab]", b"[!a]", b"[a-c]", b"[[:alpha:]]", b"[^[:digit:]", b"[\\]]", b"[]a]"),
]
OF_NAMES = [bytes([byte]) for byte in b"abc. 1[]!-\\#{$\n*\xe9\xff"]
STARS_BEHIND_A_PREFIX = re.compile(rb"[^/*]\*\*+/")
"""Before 2.52, and against its own documentation, git treats these stars as if they matched whole folders."""


def drawn_pattern(chance: random.Random) -> bytes:
    return b"".join(chance.choices(OF_PATTERNS, k=chance.randint(1, 6)))


def drawn_path(chance: random.Random) -> bytes:
    names = [b"".join(chance.choices(OF_NAMES, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 3))]
    return b"/".join(b"_" + name if name in (b".", b"..") else name for name in names)


def left_out(text: bytes, path: bytes) -> bool:
    """Return whether a path or a folder above it is excluded."""
    patterns, names = read_patterns(text), path.split(b"/")
    above = (b"/".join(names[:count]) for count in range(1, len(names)))
    return any(excludes(patterns, folder, is_folder=True) for folder in above) or bool(
        excludes(patterns, path, is_folder=False)
    )


def left_out_by_git(repository: Path, text: bytes, paths: list[bytes]) -> set[bytes]:
    (repository / ".gitignore").write_bytes(text)
    command = [
        "git",
        "-C",
        str(repository),
        "check-ignore",
        "--no-index",
        "--stdin",
        "-z",
        "--verbose",
        "--non-matching",
    ]
    run = subprocess.run(command, input=b"".join(path + b"\0" for path in paths), capture_output=True, check=False)
    words = run.stdout.split(b"\0")
    deciding = dict(zip(words[3::4], words[2::4], strict=False))
    assert sorted(deciding) == paths, run.stderr
    return {path for path, pattern in deciding.items() if pattern and not pattern.startswith(b"!")}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on this machine")
def test_what_git_leaves_out_is_left_out(seed: int, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    chance, matched = random.Random(seed), 0
    for _ in range(200):
        lines = [drawn_pattern(chance) for _ in range(chance.randint(1, 4))]
        text = b"\n".join(line for line in lines if not STARS_BEHIND_A_PREFIX.search(line)) + b"\n"
        paths = sorted({drawn_path(chance) for _ in range(40)})

        expected = left_out_by_git(tmp_path, text, paths)

        matched += len(expected)
        assert {path for path in paths if left_out(text, path)} == expected, text
    assert matched > 500


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (b"a**/b", b"ac/b", True),
        (b"a**/b", b"ac/d/b", False),
        (b"caf\xc3\xa9", "café".encode(), True),
        (b"caf?", "café".encode(), False),  # git's question mark matches one byte
        (b"*.jpg\r", b"a.jpg", True),
        (b"\xef\xbb\xbf*.jpg", b"a.jpg", True),
        (b"[z-a]", b"z", True),  # both ends of a range belong to it
        (b"[a", b"a", False),
        (b"a\nb", b"b", True),
    ],
)
def test_patterns_whose_meaning_is_known(pattern: bytes, path: bytes, expected: bool) -> None:
    assert left_out(pattern, path) is expected


@pytest.mark.parametrize(
    "pattern", [b"*a" * 20 + b"b", b"**/" * 20 + b"b", b"**/*a*" * 20 + b"/b", b"[" * 2000, b"a" + b" " * 4000 + b"b"]
)
@pytest.mark.parametrize("path", [b"a" * 255, b"/".join([b"a" * 20] * 190)])
def test_no_pattern_takes_long(pattern: bytes, path: bytes) -> None:
    started = time.process_time()

    assert not left_out(pattern, path)

    assert time.process_time() - started < 1
