"""What a run says of itself while it goes: a JSON object a line, and TensorBoard's events where asked for."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

from pixsearch.errors import UsageError

LOG_FILE = "log.jsonl"


class RunLog:
    """Appends to `log.jsonl` in the run's folder."""

    def __init__(self, folder: Path, resumed_at: tuple[int, int] | None, tensorboard: bool) -> None:
        """Args:
        resumed_at: stage and step that the run goes on from; what was logged after them is dropped, it comes again.

        Raises:
            UsageError: TensorBoard is asked for and not installed.
        """
        self._file = folder / LOG_FILE
        self._events = None
        if tensorboard:
            if importlib.util.find_spec("tensorboard") is None:
                raise UsageError(
                    "tensorboard is not installed", "pip install 'pixsearch[train]', or leave --tensorboard out"
                )
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"))
        kept = []
        if resumed_at is not None and self._file.exists():
            lines = self._file.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and _moment(line) <= resumed_at]
        self._file.write_text("".join(kept))

    def write(self, stage: int, step: int, values: Mapping[str, object]) -> None:
        """Add a line: `stage`, `step` and the values."""
        with self._file.open("a") as file:
            file.write(json.dumps({"stage": stage, "step": step, **values}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._events.add_scalar(f"{stage}/{name}", value, step)
            self._events.flush()


def _moment(line: str) -> tuple[int, int]:
    entry = json.loads(line)
    return entry["stage"], entry["step"]
