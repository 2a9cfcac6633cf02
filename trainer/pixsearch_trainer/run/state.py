"""Read and write the files of a run: its log, and the state from which it can resume."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from pixsearch.durable import append_line, write_durably
from pixsearch.errors import CheckpointInvalid, UsageError
from pixsearch.regular_files import DATA_LIMIT_BYTES, TEXT_LIMIT_BYTES, open_regular, read_regular

LOG_FILE = "log.jsonl"
_OPTIONS_FILE, _STATE_FILE = "options.json", "state.pt"

Kept = Literal["stage", "best"]


class RunFolder:
    """The folder `run` in a checkpoint's folder. It is removed when the run ends.

    It contains the options, the packed pictures, the cached grids, the network at the start of the current stage
    (`stage-N.pt`), the stage's best network on val (`best-N.pt`), and the last saved step (`state.pt`).
    """

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "run"
        self.pack, self.cache = self.folder / "pictures.zip", self.folder / "cache"

    def refuse_unfinished(self) -> None:
        """Raise UsageError if the folder contains an unfinished run."""
        if any(self.folder.glob("*.pt")):
            raise UsageError(
                f"{self.out} contains an unfinished run",
                f"Continue the run with --resume, choose a different --out, or delete {self.folder}",
            )

    def begin(self, options: Mapping[str, object]) -> None:
        """Create the folder and store the options. Raises UsageError for an unfinished run or unrelated files."""
        self.refuse_unfinished()
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / _OPTIONS_FILE).is_file():
            raise UsageError(f"{self.folder} is not a run folder", "Choose a different --out, or move this folder")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write_durably(self.folder / _OPTIONS_FILE, json.dumps(dict(options), indent=1).encode())

    def options(self) -> dict[str, Any]:
        """Return the options stored by `begin`. Raises UsageError if there is no run to resume."""
        try:
            read: dict[str, Any] = json.loads(read_regular(self.folder / _OPTIONS_FILE, TEXT_LIMIT_BYTES))
        except FileNotFoundError:
            raise UsageError(f"no unfinished run in {self.out}", "Leave out --resume to start a new run") from None
        except ValueError as error:
            raise CheckpointInvalid(f"{self.folder / _OPTIONS_FILE} is damaged ({error})", "Start again") from error
        return read

    def save(self, state: Mapping[str, object]) -> None:
        """Save the state of a step, replacing the last one."""
        self._write(_STATE_FILE, state)

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state, on the CPU; None if the run was stopped before the first save.

        Raises:
            CheckpointInvalid: the file is damaged.
        """
        return self._read(_STATE_FILE) if (self.folder / _STATE_FILE).exists() else None

    def keep(self, kind: Kept, stage: int, network: Mapping[str, object]) -> None:
        """Save the network at the start of a stage, or the stage's best network on val so far.

        The previous stage's network is also kept, because it is needed until this stage has saved a step.
        """
        self._write(f"{kind}-{stage}.pt", network)
        (self.folder / f"{kind}-{stage - 2}.pt").unlink(missing_ok=True)

    def kept(self, kind: Kept, stage: int) -> dict[str, Any]:
        """Return a network saved by `keep`. Raises CheckpointInvalid if the file is damaged or missing."""
        return self._read(f"{kind}-{stage}.pt")

    def end(self) -> None:
        """Remove the folder of a finished run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, state: Mapping[str, object]) -> None:
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_durably(self.folder / name, buffer.getbuffer())

    def _read(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            with open_regular(file) as saved:
                state: dict[str, Any] = torch.load(saved, map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler may raise almost any exception
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointInvalid(f"{file} is damaged ({reason})", f"Delete {self.folder} and start again") from error
        return state


class RunLog:
    """The log file of a run, `log.jsonl`, with one JSON object per line."""

    def __init__(self, folder: Path, resumed_at: tuple[int, int] | None) -> None:
        """Open the log for appending.

        Args:
            resumed_at: the stage and step from which the run resumes. Later lines are removed, because they will be
                written again. None starts a new log.
        """
        self._file = folder / LOG_FILE
        kept = []
        if resumed_at is not None and self._file.exists():
            lines = read_regular(self._file, DATA_LIMIT_BYTES).decode().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and _moment(line) <= resumed_at]
        write_durably(self._file, "".join(kept).encode())

    def write(self, stage: int, step: int, values: Mapping[str, object]) -> None:
        """Append a line with `stage`, `step` and the values."""
        append_line(self._file, json.dumps({"stage": stage, "step": step, **values}))


def _moment(line: str) -> tuple[int, int]:
    entry = json.loads(line)
    return entry["stage"], entry["step"]
