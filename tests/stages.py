"""Runs a single stage of a training, without a run around it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from pixsearch.progress import silent
from pixsearch_trainer.optimisation.accelerator import make_accelerator
from pixsearch_trainer.optimisation.log import LOG_FILE, RunLog
from pixsearch_trainer.optimisation.loop import LoopOptions, Stage, train_stage
from pixsearch_trainer.optimisation.state import RunFolder


def finish(stage: Stage, seed: int = 0, clip: float | None = None) -> list[dict[str, Any]]:
    """Train to the end in fp32; gives back what was logged, a dictionary a step."""
    options = LoopOptions(seed=seed, clip=clip, log_every=1)
    with tempfile.TemporaryDirectory() as out:
        folder = RunFolder(Path(out))
        folder.begin({})
        train_stage(stage, options, make_accelerator("no"), folder, RunLog(Path(out), None, False), None, silent)
        return [json.loads(line) for line in (Path(out) / LOG_FILE).read_text().splitlines()]
