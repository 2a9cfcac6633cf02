"""The appearance of messages."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from pixsearch.progress import Pace, Progress, rate_text
from pixsearch.storage import to_path
from pixsearch_cli import output
from pixsearch_cli.output import print_json, progress_bars


def test_where_stderr_is_no_terminal_work_is_a_line_within_ten_seconds_and_then_one_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output._FIRST_LINE_S <= 10
    assert output._LINE_EVERY_S == 60
    monkeypatch.setattr(output, "_FIRST_LINE_S", 0.2)
    monkeypatch.setattr(output, "_LINE_EVERY_S", 0.4)

    with progress_bars() as show:
        show(Progress("scanning", 1200))
        time.sleep(0.3)
        show(Progress("training", 2000, 9000, "loss 0.5"))
        time.sleep(0.4)

    assert capsys.readouterr().err.splitlines() == [
        "pixsearch: 0 s: scanning 1,200",
        "pixsearch: 1 s: training 2,000 of 9,000 loss 0.5",
    ]


def test_work_that_is_soon_done_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as show:
        show(Progress("indexing", 3, 3))

    assert capsys.readouterr().err == ""


def test_time_left_is_told_from_work_that_was_measured_and_not_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([60.0, 62.0, 100.0, 160.0, 160.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    pace = Pace()

    def told(done: int) -> str:
        return output._note(Progress("indexing", done, 1001, "2 failed"), pace)

    # After a minute of preparation, one photo takes two seconds: too early to estimate.
    assert told(1) == told(2) == "2 failed"
    assert told(101) == "2 failed, about 6 min left"  # 100 photos in 40 s, so 900 in 360
    assert told(501) == "2 failed, about 2 min left"  # 500 photos in 100 s


@pytest.mark.parametrize(("per_second", "told"), [(49.1, "49/s"), (0.4, "24/min"), (0.01, "36/h")])
def test_a_slow_pace_is_told_in_longer_units_and_never_as_0_a_second(per_second: float, told: str) -> None:
    assert rate_text(per_second) == told


def test_what_is_no_path_is_not_printed_as_one(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json({"here": Path(os.fsdecode(b"/\xff.jpg")), "there": to_path("s3://bucket/a.jpg")})
    assert capsysbinary.readouterr().out == b'{"here": "/\\udcff.jpg", "there": "s3://bucket/a.jpg"}\n'

    with pytest.raises(TypeError, match="bytes cannot be serialised to JSON"):
        print_json({"path": b"/a.jpg"})


def test_json_never_says_infinity_or_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"match": math.nan, "place": [48.5, -math.inf], "more": {"in": (math.inf, "Infinity")}})

    assert capsys.readouterr().out == '{"match": null, "place": [48.5, null], "more": {"in": [null, "Infinity"]}}\n'
