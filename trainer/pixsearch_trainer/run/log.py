"""What a run logs while it trains: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

LOG_FILE = "log.jsonl"


class RunLog:
    """Appends to `log.jsonl` in the run's folder."""

    def __init__(self, folder: Path, resumed_at: tuple[int, int] | None) -> None:
        """Args:
        resumed_at: stage and step from which the run resumes. Lines after them are dropped: they will come again.
        """
        self._file = folder / LOG_FILE
        kept = []
        if resumed_at is not None and self._file.exists():
            lines = self._file.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and _moment(line) <= resumed_at]
        self._file.write_text("".join(kept))

    def write(self, stage: int, step: int, values: Mapping[str, object]) -> None:
        """Add a line: `stage`, `step` and the values."""
        with self._file.open("a") as file:
            file.write(json.dumps({"stage": stage, "step": step, **values}) + "\n")


def _moment(line: str) -> tuple[int, int]:
    entry = json.loads(line)
    return entry["stage"], entry["step"]
