"""The config file. The environment overrides it, and the command line overrides both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.unsuitable_files import UNSUITABLE, in_time


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the user's config file, which does not exist yet."""
    path = tmp_path / "config/config.toml"
    path.parent.mkdir()
    monkeypatch.setattr("pixsearch_cli.config_file.config_path", lambda: path)
    monkeypatch.setattr("pixsearch_cli.config_cmd.config_path", lambda: path)
    return path


def names(run: Run, *arguments: str) -> list[str]:
    return [Path(path).name for path in run("query", "red", "--paths", *arguments).stdout.splitlines()]


def test_what_the_file_sets_is_a_default_that_the_command_line_overrides(run: Run, indexed: Path, file: Path) -> None:
    file.write_text('[query]\ntop-k = 1\nrerank = false\nname = "*.png"\nfolder = ["/"]\n')

    assert names(run) == ["dark red.png"]
    assert names(run, "--top-k", "2") == ["dark red.png", "pink.png"]
    assert names(run, "--rerank") == ["pink.png"]


def test_the_library_is_the_command_lines_else_the_environments_else_the_files(
    run: Run, indexed: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = str(tmp_path / "nothing")
    file.write_text(f'library = "{nothing}"\n')

    by_environment = run("query", "red")
    by_command_line = run("query", "red", "--library", nothing)
    monkeypatch.delenv("PIXSEARCH_LIBRARY")
    by_file = run("query", "red")

    assert by_environment.exit_code == 0
    assert [outcome.exit_code for outcome in (by_command_line, by_file)] == [1, 1]
    assert nothing in by_file.stderr


def test_config_shows_what_is_set_and_by_what(run: Run, library: Path, file: Path) -> None:
    file.write_text('model = "mine"\n\n[query]\ntop-k = 3\n')

    assert run("config").stdout.splitlines() == [
        str(file),
        f"command     option  {'value'.rjust(len(str(library)))}  set by",
        f"    all  --library  {library}  from the environment (PIXSEARCH_LIBRARY)",
        f"    all    --model  {'mine'.rjust(len(str(library)))}  from the config file",
        f"  query    --top-k  {'3'.rjust(len(str(library)))}  from the config file",
    ]


def test_the_file_names_options_as_the_command_line_does(run: Run, indexed: Path, file: Path) -> None:
    file.write_text("[query]\njson = true\nopen = false\n")

    assert run("query", "red").stdout.startswith('{"')
    assert [line.split()[:2] for line in run("config").stdout.splitlines()[-2:]] == [
        ["query", "--json"],
        ["query", "--open"],
    ]


def test_without_a_file_config_says_so(run: Run, file: Path) -> None:
    outcome = run("config", "--json")

    assert run("config").stdout.splitlines()[0] == f"{file} (not found)"
    assert json.loads(outcome.stdout)["file"] == str(file)
    assert {setting["source"] for setting in json.loads(outcome.stdout)["settings"]} == {"default"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("library = ", "is not valid TOML"),
        ('libary = "x"', "sets the unknown key 'libary'"),
        ("[query]\nno-such-option = 1", "sets the unknown option 'no-such-option' for query"),
        ("[no-such-command]\ntop-k = 1", "sets the unknown key 'no-such-command'"),
        ("top-k = 3", "sets the unknown key 'top-k'"),
        ("[query]\ntop-k = -5", "sets 'top-k' for query to -5: "),
        ("[query]\ntop-k = true", "sets 'top-k' for query to True: "),
        ('[query]\nafter = "yesterday"', "sets 'after' for query to 'yesterday': "),
        ("[query]\nmin-megapixels = nan", "sets 'min-megapixels' for query to nan: "),
        ('[query]\nplus = "dogs"', "sets 'plus' for query to 'dogs': expected a list"),
        ('[query]\nname = ["*"]', "sets 'name' for query to ['*']: expected a single value"),
        ("[query]\npictures = 3", "sets 'pictures' for query to 3: "),
        ("[index]\nexclude = [{}]", "sets 'exclude' for index to [{}]: "),
        ("library = {a = 1}", "sets 'library' for "),
        ("[serve]\nport = 70000", "sets 'port' for serve to 70000: "),
    ],
)
def test_a_mistake_in_the_file_is_named_and_nothing_is_done(run: Run, file: Path, text: str, said: str) -> None:
    file.write_text(text)

    for command in ("status", "config"):
        outcome = run(command)

        assert (outcome.exit_code, outcome.stdout) == (2, "")
        assert f"{file} " in outcome.stderr
        assert said in outcome.stderr
        assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_config_file_that_is_no_file_or_endless_is_refused_at_once(run: Run, file: Path, kind: str) -> None:
    UNSUITABLE[kind](file)

    with in_time():
        outcome = run("status")

    reason = "larger than 1 MiB" if kind == "large" else "not a regular file"
    assert (outcome.exit_code, outcome.stderr) == (
        2,
        f"pixsearch: {file} cannot be read: {reason}. Fix or remove it\n",
    )
