"""Any input gets either an answer or one line that explains what is wrong with it.

Inputs here come from the command line, the environment and the config file. `tests/model` covers checkpoint folders,
and `tests/cli/web` the page and the API. No input may cause "unexpected ... please report it", the message for bugs.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, Run

ODD = [
    *(
        "",
        " ",
        "-",
        "--",
        "~",
        "~nobody-of-that-name/x",
        "./~x",
        ".",
        "..",
        "/",
        "/dev/null",
        "/proc/self/mem",
        "x" * 5000,
    ),
    *(
        "nan",
        "inf",
        "-inf",
        "-1",
        "0",
        "1e400",
        "1e39",
        "9" * 400,
        "0x10",
        "²",
        "1_000",
        "'",
        '"',
        "[a",
        "\\",
        "%s",
        "{}",
    ),
    *("\N{SNOWMAN}", "旅行", "a\nb", "\x1b[2J", "$HOME", "*", "2021-13-45", "1,2,3", "1e39:dog"),
    *("s3://", "s3://nobody", "http://", "http://a b/", "ftp://x/y", "postgresql://", "postgresql+psycopg://u:p@:x/y"),
    *("://", "sqlite:///x", "file:///etc/passwd", "memory://x", "milvus+http://"),
]
COMMANDS = {
    "query": [
        *(
            "--plus",
            "--minus",
            "--image",
            "--after",
            "--before",
            "--camera",
            "--name",
            "--folder",
            "--near",
            "--keyword",
        ),
        *("--orientation", "--candidates", "--threshold", "-k", "--queries", "--find", "--duplicates", "--model"),
        *("--min-megapixels", "--library", "--json", "--paths", "--no-rerank"),
    ],
    "explain": ["--model", "--library", "--json"],
    "forget": ["--library"],
    "status": ["--library", "--json"],
    "verify": ["--library", "--deep"],
    "repair": ["--library"],
    "config": [],
    "evaluate": ["--data", "--images", "--model", "--sample", "--candidates"],
    "calibrate": ["--judged", "--images", "--model", "--diagram"],
    "add-graphs": [],
}


OF_INDEX = ["--exclude", "--model", "--max-megapixels", "--vectors", "--dry-run", "--hidden"]


def drawn_arguments(chance: random.Random, options: list[str]) -> list[str]:
    chosen = [chance.choice(options) for _ in range(chance.randint(0, 3))] if options else []
    operands = [chance.choice(ODD) for _ in range(chance.randint(0, 2))]
    return [*operands, *(word for option in chosen for word in (option, chance.choice(ODD)))]


def pixsearch(*arguments: str | bytes, folder: Path) -> Outcome:
    """Run the command in a separate process."""
    command = [Path(sys.executable).with_name("pixsearch"), *arguments]
    done = subprocess.run(command, capture_output=True, cwd=folder, check=False, timeout=60)
    return Outcome(done.returncode, "", done.stderr.decode(errors="replace"))


def is_answered(outcome: Outcome) -> bool:
    return outcome.exit_code in (0, 1, 2, 3) and "report it" not in outcome.stderr and "Traceback" not in outcome.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_the_arguments_say(
    command: str, run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chance = random.Random(command)
    for _ in range(40):
        arguments = drawn_arguments(chance, COMMANDS[command])

        outcome = run(command, *arguments)

        assert is_answered(outcome), (command, arguments, outcome.stderr)


def test_whatever_index_is_given(tmp_path: Path) -> None:
    chance = random.Random(0)
    for _ in range(12):
        arguments = drawn_arguments(chance, OF_INDEX)
        if not {".", "..", "/", "", "~", "file:///etc/passwd"}.isdisjoint(arguments):
            continue  # a local folder

        done = pixsearch("index", "--library", "library", *arguments, folder=tmp_path)

        assert is_answered(done), (arguments, done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [[b"status", b"\xff"], [b"query", b"\xff"], [b"query", b"red", b"--library", b"\xff"], [b"index", b"\xff"]],
)
def test_arguments_that_are_no_text_are_wrong_usage(arguments: list[bytes], indexed: Path, tmp_path: Path) -> None:
    done = pixsearch(*arguments, folder=tmp_path)

    assert is_answered(done)
    assert done.exit_code in (1, 2)


@pytest.mark.parametrize(
    "name",
    ["PIXSEARCH_LIBRARY", "PIXSEARCH_MODEL", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "COLUMNS", "TMPDIR", "LANG"],
)
def test_whatever_the_environment_says(
    name: str, run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ODD:
        monkeypatch.setenv(name, value)
        for arguments in (["status"], ["query", "red"]):
            outcome = run(*arguments)
            assert is_answered(outcome), (name, value, arguments, outcome.stderr)


def test_whatever_the_config_file_says(run: Run, indexed: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    sound = 'library = "/nowhere"\nmodel = "mine"\n[query]\ntop-k = 3\nafter = "2021"\n[index]\nexclude = ["a"]\n'
    odd = ["true", "1e400", "[[1]]", "{a = 1}", "1979-05-27", '"\\u0000"', "nan", "-1", "[" * 2000, "9" * 5000, '"~x"']
    for number in range(120):
        lines = sound.splitlines()
        at = chance.randrange(len(lines))
        lines[at] = lines[at].partition("=")[0] + "=" + chance.choice(odd)
        text = "\n".join(lines).encode()
        if number % 3 == 0:
            cut = chance.randrange(len(text))
            text = text[:cut] + chance.randbytes(3) + text[cut + 3 :]
        (tmp_path / "no config.toml").write_bytes(text)

        for arguments in (["status"], ["query", "red"]):
            outcome = run(*arguments)
            assert is_answered(outcome), (text, arguments, outcome.stderr)
