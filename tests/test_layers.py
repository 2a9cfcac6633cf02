from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.cli import lint_imports

PROJECT = Path(__file__).parent.parent


def test_imports_point_downwards_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)

    exit_code = lint_imports(no_cache=True)

    report = capsys.readouterr().out
    assert exit_code == 0, report
    assert "1 kept, 0 broken" in report
