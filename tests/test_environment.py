from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PIN = """
import json, os, signal, time
from tests.environment import pin_environment
pin_environment()
print(json.dumps({
    "variables": dict(os.environ),
    "umask": os.umask(0),
    "zone": time.tzname[0],
    "Ctrl-C": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
}))
"""


def pin(**variables: str) -> subprocess.CompletedProcess[str]:
    """Pin the environment in a process with these variables, a umask of 077, and Ctrl-C ignored."""
    return subprocess.run(
        ["sh", "-c", 'trap "" INT; umask 077; exec "$0" -c "$1"', sys.executable, PIN],
        env=os.environ | variables,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_machine_and_its_user_do_not_reach_the_tests() -> None:
    theirs = {"NO_COLOR": "1", "PIXSEARCH_MODEL": "mine", "https_proxy": "http://proxy", "AWS_PROFILE": "mine"}

    found = json.loads(pin(**theirs, TZ="Asia/Tokyo", COLUMNS="37", LC_ALL="C", PYTEST_ADDOPTS="-v").stdout)

    assert not theirs.keys() & found["variables"].keys()
    assert {name: found["variables"][name] for name in ("TZ", "COLUMNS", "LC_ALL", "PYTEST_ADDOPTS")} == {
        "TZ": "UTC",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "PYTEST_ADDOPTS": "-v",
    }
    assert (found["umask"], found["zone"], found["Ctrl-C"]) == (0o022, "UTC", True)


def test_without_assertions_no_test_runs() -> None:
    assert "unset PYTHONOPTIMIZE" in pin(PYTHONOPTIMIZE="1").stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are always UTF-8 on macOS")
def test_without_utf_8_no_test_runs() -> None:
    assert "set PYTHONUTF8=1" in pin(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0").stderr
