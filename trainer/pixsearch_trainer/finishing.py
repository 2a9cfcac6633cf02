"""Finish the checkpoint of a run: add graphs for CPUs, and choose the default order and calibrate it on val."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from pixsearch.durable import write_durably
from pixsearch.errors import UsageError
from pixsearch.model.checkpoints import CONFIG_FILE
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.graphs import GRAPHS_FILE, command_to_add, fitting_graphs
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.progress import ProgressCallback
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch.search.runtime import Runtime
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation.calibration import calibrate, calibration_of
from pixsearch_trainer.evaluation.encoding import EncodedPictures, encode
from pixsearch_trainer.evaluation.known_pairs import ALBUM, caption_pairs, choose_pictures
from pixsearch_trainer.evaluation.measure import EvaluationOptions, evaluate

_QUERIES = 200
_FEWEST_CAPTIONS = 50  # a curve fitted on fewer is unreliable


def give_graphs(checkpoint: Path, start: Path, on_message: Callable[[str], None]) -> None:
    """Give a checkpoint the graphs that a CPU needs to search with it: those of its start if they fit, else new ones.

    If they cannot be created, for instance on a machine with a GPU and without OpenVINO, the checkpoint has none, and
    `on_message` is called with the reason.
    """
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    if (fitting := fitting_graphs(checkpoint, config) or fitting_graphs(start, config)) is not None:
        write_durably(checkpoint / GRAPHS_FILE, fitting)
        return
    try:
        from pixsearch.model.tracing import add_graphs  # not at the top: a machine with a GPU may lack OpenVINO

        add_graphs(checkpoint)
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        on_message(f"no graphs for CPUs were created ({reason}). Create them with: {command_to_add(checkpoint)}")


def finish(
    checkpoint: Path,
    val: Sequence[CaptionedPicture],
    on_message: Callable[[str], None],
    on_progress: ProgressCallback,
    load: Callable[[Path], Runtime] = PixelBertRuntime,
) -> None:
    """Choose by val whether the re-rank orders results by default, and fit the curves of probabilities on val.

    The curves approximate those of judged queries, as far as captions allow (`caption_pairs`). If val is too small or
    yields no curves, the checkpoint keeps the calibration that it had.

    Args:
        val: pictures in a pack.
    """
    if sum(len(picture.captions) for picture in val) < _FEWEST_CAPTIONS:
        return
    runtime = load(checkpoint)
    encoded = encode(runtime, val, on_progress)
    found = evaluate(runtime, encoded, EvaluationOptions(sample=_QUERIES), on_progress).text_to_image
    first_stage, reranked = found.first_stage, found.reranked[DEFAULT_CANDIDATES]
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    config = dataclasses.replace(config, rerank=reranked.r1 >= first_stage.r1)
    on_message(f"val, end: text to image R@1 first stage {first_stage.r1:.1f}, re-ranked {reranked.r1:.1f}")
    try:
        reports = calibrate(caption_pairs(runtime, _album_of(encoded), on_progress))
        config = dataclasses.replace(config, calibration=calibration_of(reports))
    except UsageError as error:
        on_message(f"not calibrated: {error.message}")
    config.save(checkpoint / CONFIG_FILE)


def _album_of(encoded: EncodedPictures) -> EncodedPictures:
    """Return a sample of the pictures, as many as are searched together."""
    indices = {id(picture): index for index, picture in enumerate(encoded.pictures)}
    chosen = [indices[id(picture)] for picture in choose_pictures(encoded.pictures, ALBUM)]
    pictures = [encoded.pictures[index] for index in chosen]
    return EncodedPictures(
        pictures, encoded.embeddings[chosen], [encoded.grids[index] for index in chosen], encoded.texts
    )
