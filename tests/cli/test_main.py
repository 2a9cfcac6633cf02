from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pixsearch
from pixsearch import Library, __version__
from pixsearch.errors import LibraryDamaged
from pixsearch_cli.app import app
from tests.cli.conftest import Run

COMMAND = Path(sys.executable).with_name("pixsearch")
FULL = Path("/dev/full")
COMMANDS = [command.name for command in app.registered_commands if command.name is not None]


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Library, "open", fail)


def test_an_error_for_people_is_one_line_and_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(LibraryDamaged("library.db is damaged", "Index again"), monkeypatch)

    outcome = run("status")

    assert outcome.exit_code == 1
    assert outcome.stderr == "pixsearch: library.db is damaged. Index again\n"


def test_a_file_that_cannot_be_used_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(PermissionError(13, "Permission denied", "/photos/library.db"), monkeypatch)

    outcome = run("status")

    assert outcome.exit_code == 1
    assert outcome.stderr == "pixsearch: /photos/library.db: Permission denied\n"


def test_a_mistake_of_ours_says_how_to_see_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ZeroDivisionError("division\nby zero"), monkeypatch)

    outcome = run("status")

    assert outcome.exit_code == 1
    assert "ZeroDivisionError" in outcome.stderr
    assert "--debug" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--debug", "status"], ["status", "--debug"]])
def test_debug_shows_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    fail_with(LibraryDamaged("library.db is damaged"), monkeypatch)

    outcome = run(*arguments)

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Traceback (most recent call last):\n")
    assert "LibraryDamaged" in outcome.stderr


@pytest.mark.parametrize("module", ["typer", "pixsearch.settings", "pixsearch_cli.query_cmd", "pixsearch_cli.app"])
def test_an_interrupt_while_a_command_begins_is_quiet(module: str) -> None:
    """The interrupt arrives just before the module is imported."""
    program = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from pixsearch_cli.main import run\n"
        "run()\n"
    )

    finished = subprocess.run([sys.executable, "-c", program, "status"], capture_output=True, check=False)

    assert (finished.returncode, finished.stdout, finished.stderr) == (130, b"", b"")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["query", "red", "-k", "-5"], "'--top-k'"),
        (["query", "red", "--after", "yesterday"], "'--after'"),
        (["query", "red", "--near", "91,0,1"], "'--near'"),
        (["query", "red", "--threshold", "nan"], "'--threshold'"),
        (["query", "--find", "a\nb"], "'--find'"),
        (["query", "--queries"], "--queries"),
        (["query", "a", "b"], "(b)"),
        (["query", "--no-such"], "--no-such"),
        (["no-such"], "'no-such'"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(run: Run, arguments: list[str], named: str) -> None:
    outcome = run(*arguments)

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("pixsearch: ")
    assert named in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_without_a_command_the_help_is_shown_and_it_is_wrong_usage(run: Run) -> None:
    outcome = run()

    assert outcome.exit_code == 2
    assert "Find photos by what is in them." in outcome.stdout


def test_an_interrupted_command_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(KeyboardInterrupt(), monkeypatch)

    assert run("status").exit_code == 130


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["query", "--help"]])
def test_output_that_cannot_be_written_is_an_error(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        finished = subprocess.run([COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert finished.returncode == 1
    assert finished.stderr.endswith("No space left on device\n")
    assert finished.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen([COMMAND, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate()

    assert errors == b""


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").stdout == f"pixsearch {__version__}\n"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    program = (
        "import sys\n"
        "from pixsearch_cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'torchvision', 'transformers', 'faiss', 'sqlalchemy', 'PIL'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )

    finished = subprocess.run(
        [sys.executable, "-c", program, *command, "--help"], capture_output=True, text=True, check=False
    )

    assert finished.returncode == 0, finished.stderr
    assert "Usage: " in finished.stdout


def test_a_user_without_a_home_directory_is_told_in_one_line_where_one_is_needed(tmp_path: Path) -> None:
    """This happens in a container that runs as a user who is not in /etc/passwd."""
    program = (
        "import pwd, sys\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "from pixsearch_cli.main import run\n"
        "run()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}

    def messages_of(*arguments: str | Path) -> str:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False).stderr

    no_home = "pixsearch: no home directory. Set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_CACHE_HOME\n"
    assert [messages_of("status"), messages_of("config")] == [no_home] * 2
    assert "there is no library in" in messages_of("status", "--library", tmp_path)


@pytest.mark.parametrize(
    "locale", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_in_any_locale_json_is_the_same_and_tables_are_printed(locale: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "caf\xe9 \u6843/pixsearch/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('library = "/\u685c"', encoding="utf-8")
    environment = os.environ | {"XDG_CONFIG_HOME": str(file.parents[1])} | locale

    table, record = (
        subprocess.run([COMMAND, "config", *option], env=environment, capture_output=True, check=True).stdout
        for option in ([], ["--json"])
    )

    assert b"/\\u685c" in table
    assert json.loads(record.decode("ascii"))["file"] == str(file)


def test_importing_pixsearch_loads_nothing_heavy() -> None:
    program = "import sys, pixsearch; assert not {'torch', 'faiss', 'sqlalchemy', 'numpy'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_training_names_what_has_to_be_installed_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ("torch", "torchvision")
    monkeypatch.setattr("pixsearch.extras.find_spec", lambda name: name if name in there else None)

    outcome = run("train", "--dry-run")

    assert outcome.exit_code == 1
    assert outcome.stderr == (
        "pixsearch: pixsearch train needs accelerate, transformers. "
        f"Install it with: {sys.executable} -m pip install 'pixsearch[train]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("status --library a --library b", "--library"),
        ("query cat -k 3 --top-k 4", "--top-k"),
        ("query cat --json --json", "--json"),
        ("index a --hidden --no-hidden", "--hidden"),
    ],
)
def test_what_is_given_twice_and_counts_once_is_wrong_usage(run: Run, arguments: str, option: str) -> None:
    outcome = run(*arguments.split())

    assert outcome.exit_code == 2
    assert f"{option} was given 2 times. Use it only once" in outcome.stderr


def test_what_may_be_given_again_may(run: Run, indexed: Path) -> None:
    assert run("query", "red", "--plus", "blue", "--plus", "pink", "--minus", "lime", "--minus", "cyan").exit_code == 0


def test_dir_shows_what_a_program_may_use() -> None:
    assert {"Library", "SearchEngine", "Query", "Hit", "__version__"} <= set(dir(pixsearch))
    assert {name for name in dir(pixsearch) if not name.startswith("_")} >= set(pixsearch.__all__)
