"""The page in Firefox, through WebDriver BiDi: only whether it works. Everything else is tested in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.web.conftest import Serve

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
NODE = shutil.which("node")
PUPPETEER = Path(__file__).parents[3] / ".firefox" / "node_modules" / "puppeteer-core"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FIREFOX is None or NODE is None, reason="there is no Firefox or no Node.js on this machine"),
    pytest.mark.skipif(not PUPPETEER.exists(), reason="no npm install --prefix .firefox puppeteer-core was run"),
]


def test_photos_search_filters_and_a_photo_work_in_firefox(serve: Serve, tmp_path: Path) -> None:
    assert NODE is not None
    assert FIREFOX is not None
    script = Path(__file__).with_name("firefox_smoke.mjs")

    finished = subprocess.run(
        [NODE, script, PUPPETEER, FIREFOX, serve()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )

    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert sorted(Path(path).name for path in found["photos"]) == ["blue again.png", "dark red.png", "pink.png"]
    assert Path(found["first"]).name == "pink.png"
    assert found["filters"] == [True, False]
    assert found["opened"] == "pink.png"
    assert found["address"] == "?q=red"
