"""The documentation mentions everything that exists, and everything it mentions exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from pixsearch_cli.app import app
from pixsearch_cli.config_file import leaf_commands
from tests.photos import make_photo, picture_bytes

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
GUIDE = (PROJECT / "docs" / "guide.md").read_text()
CONTRIBUTING = (PROJECT / "docs" / "CONTRIBUTING.md").read_text()
ARCHITECTURE = (PROJECT / "docs" / "architecture.md").read_text()
COMMANDS = leaf_commands(typer.main.get_group(app).commands)
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("--")
]


def commands_in(text: str, program: str) -> list[str]:
    """Return the command lines in a document: indented or fenced lines that begin with the program's name."""
    lines = re.findall(rf"^(?:    )?(?:\$ )?({program} .*)$", text, flags=re.MULTILINE)
    return [line.split("  #")[0].strip() for line in lines]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_section_in_the_guide(command: str) -> None:
    assert re.search(rf"^##+ .*`pixsearch {command}`", GUIDE, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "command"), COMMANDS.items())
def test_every_command_s_help_has_an_example(name: str, command: typer.core.TyperCommand) -> None:
    assert f"pixsearch {name}" in (command.help or "").partition("For example")[2]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_every_option_is_in_the_guide(command: str, option: str) -> None:
    assert re.search(rf"`(-\w, )?{option}\b", GUIDE), f"pixsearch {command} {option}"


@pytest.mark.parametrize("line", sorted({*commands_in(README, "pixsearch"), *commands_in(GUIDE, "pixsearch")}))
def test_every_command_line_in_the_documents_is_one_that_pixsearch_takes(line: str) -> None:
    """Each line is only parsed, with the command's own parser. Other tests cover what the commands do."""
    words = shlex.split(line.split(" | ")[0].split(" > ")[0])[1:]
    words = [word for word in words if word != "--debug"]  # main() removes it
    if words[0].startswith("-"):
        assert words in (["--version"], ["--help"])
        return
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if "--help" not in words:
        COMMANDS[name].make_context(name, words[name.count(" ") + 1 :])


@pytest.mark.parametrize("module", sorted(set(re.findall(r"`(pixsearch(?:_\w+)?\.[\w.]+)`", ARCHITECTURE))))
def test_every_module_of_the_architecture_is_there(module: str) -> None:
    assert find_spec(module) is not None


@pytest.mark.parametrize("folder", sorted(set(re.findall(r"`([\w./]+/)`", ARCHITECTURE))))
def test_every_folder_of_the_architecture_is_there(folder: str) -> None:
    assert (PROJECT / folder).is_dir()


@pytest.mark.parametrize("line", sorted({*commands_in(README, "make"), *commands_in(CONTRIBUTING, "make")}))
def test_every_make_target_in_the_documents_is_there(line: str) -> None:
    words = shlex.split(line)

    finished = subprocess.run(["make", "--dry-run", *words[1:]], cwd=PROJECT, capture_output=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_the_readme_shows_what_the_demo_prints() -> None:
    shown = README.partition("<!-- demo output: begin -->")[2].partition("<!-- demo output: end -->")[0]

    assert "$ pixsearch query 'a cat'" in shown


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this system has no systemd")
@pytest.mark.parametrize("command", ["watch", "serve"])
def test_the_guide_s_service_is_one_that_systemd_takes(command: str, tmp_path: Path) -> None:
    (unit,) = re.findall(r"```ini\n(.*?)```", GUIDE, flags=re.DOTALL)
    (tmp_path / f"pixsearch@{command}.service").write_text(unit)
    program = tmp_path / "pixsearch/.venv/bin/pixsearch"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).with_name("pixsearch"))

    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", f"./pixsearch@{command}.service"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (verified.returncode, verified.stderr) == (0, "")  # systemd-analyze only warns about an unknown key


@pytest.mark.slow
def test_the_python_example_in_the_readme_runs_with_the_model_that_ships(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    make_photo(tmp_path / "photos/red.png")
    (tmp_path / "photos/sea.jpg").write_bytes(picture_bytes("blue", "JPEG"))
    (tmp_path / "example.py").write_text(example)

    printed = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.splitlines()

    assert printed[0] == "2 photos are new"
    assert [line.split()[0] for line in printed[1:3]] == ["1", "2"]
    assert printed[3:] == ["0 beaches"]
