"""How messages look."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from pixsearch.progress import Progress
from pixsearch.storage import to_path
from pixsearch_cli.output import print_json, progress_bars


def test_where_stderr_is_no_terminal_progress_is_a_line_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([1000.0, 1030.0, 1061.0, 1119.0, 1125.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))

    with progress_bars() as show:
        for step in range(1, 5):
            show(Progress("training", step * 1000, 9000, "loss 0.5"))

    assert capsys.readouterr().err.splitlines() == [
        "pixsearch: 1 min: training 2,000 of 9,000 loss 0.5, about 4 min left",
        "pixsearch: 2 min: training 4,000 of 9,000 loss 0.5, about 3 min left",
    ]


def test_what_is_no_path_is_not_printed_as_one(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json({"here": Path(os.fsdecode(b"/\xff.jpg")), "there": to_path("s3://bucket/a.jpg")})
    assert capsysbinary.readouterr().out == b'{"here": "/\\udcff.jpg", "there": "s3://bucket/a.jpg"}\n'

    with pytest.raises(TypeError, match="bytes is nothing that JSON has"):
        print_json({"path": b"/a.jpg"})


def test_json_never_says_infinity_or_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"match": math.nan, "place": [48.5, -math.inf], "more": {"in": (math.inf, "Infinity")}})

    assert capsys.readouterr().out == '{"match": null, "place": [48.5, null], "more": {"in": [null, "Infinity"]}}\n'
