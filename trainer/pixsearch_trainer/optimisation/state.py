"""A run's state on disk: enough to go on from the last saved step as if nothing had happened."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid, UsageError

FOLDER = "run"
_OPTIONS_FILE, _STATE_FILE = "options.json", "state.pt"


class RunFolder:
    """The folder `run` in a checkpoint's folder; gone when the run has ended."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / FOLDER

    @property
    def unfinished(self) -> bool:
        """Whether there is work here of a run that has not ended."""
        return any(self.folder.glob("*.pt"))

    def refuse_unfinished(self) -> None:
        """Raises UsageError where a run has not ended."""
        if self.unfinished:
            raise UsageError(
                f"{self.out} holds a run that has not ended",
                f"Go on with it by --resume, give another --out, or delete {self.folder}",
            )

    def begin(self, options: Mapping[str, object]) -> None:
        """Raises UsageError where another run has not ended."""
        self.refuse_unfinished()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self.folder / _OPTIONS_FILE, json.dumps(dict(options), indent=1).encode())

    def options(self) -> dict[str, Any]:
        """What `begin` was given. Raises UsageError where there is nothing to go on from."""
        try:
            read: dict[str, Any] = json.loads((self.folder / _OPTIONS_FILE).read_bytes())
        except FileNotFoundError:
            raise UsageError(
                f"there is no run in {self.out} to go on with", "Leave --resume out to begin one"
            ) from None
        except ValueError as error:
            raise CheckpointInvalid(f"{self.folder / _OPTIONS_FILE} is damaged ({error})", "Begin anew") from error
        return read

    def save(self, state: Mapping[str, object]) -> None:
        """Replace the saved state, atomically."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_durably(self.folder / _STATE_FILE, buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        """The state saved last, on the CPU; None where the run was cut before the first.

        Raises:
            CheckpointInvalid: the file is damaged.
        """
        if not (self.folder / _STATE_FILE).exists():
            return None
        return _load(self.folder / _STATE_FILE, self.folder)

    def save_beginning(self, stage: int, state: Mapping[str, object]) -> None:
        """What the run knew when a stage began, in a run of several; replaces that of the stage before the last."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_durably(self._beginning(stage), buffer.getvalue())
        # That of the last one stays until this stage has a state of its own.
        self._beginning(stage - 2).unlink(missing_ok=True)

    def load_beginning(self, stage: int) -> dict[str, Any]:
        """As saved. Raises CheckpointInvalid where it is damaged or missing."""
        return _load(self._beginning(stage), self.folder)

    def _beginning(self, stage: int) -> Path:
        return self.folder / f"stage-{stage}.pt"

    def end(self) -> None:
        """The run is over: its state is of no more use."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _load(file: Path, folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointInvalid(f"{file} is damaged ({reason})", f"Delete {folder} and begin anew") from error
    return state
