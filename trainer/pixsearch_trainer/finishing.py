"""Finish the checkpoint of a run: add CPU graphs, choose the default order of results, and calibrate on val."""

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
_FEWEST_CAPTIONS = 50  # a curve fitted on fewer captions is unreliable


def give_graphs(checkpoint: Path, start: Path, on_message: Callable[[str], None]) -> None:
    """Add the graphs that a CPU needs to search with a checkpoint.

    The graphs of this checkpoint or of the starting one are used if they fit. Otherwise, new ones are created. If that
    fails, for example because OpenVINO is missing, `on_message` is called with the reason.
    """
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    if (fitting := fitting_graphs(checkpoint, config) or fitting_graphs(start, config)) is not None:
        write_durably(checkpoint / GRAPHS_FILE, fitting)
        return
    try:
        from pixsearch.model.tracing import add_graphs  # imported here because a machine with a GPU may lack OpenVINO

        add_graphs(checkpoint)
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        on_message(f"could not create CPU graphs ({reason}). Create them later with: {command_to_add(checkpoint)}")


def finish(
    checkpoint: Path,
    val: Sequence[CaptionedPicture],
    on_message: Callable[[str], None],
    on_progress: ProgressCallback,
    load: Callable[[Path], Runtime] = PixelBertRuntime,
) -> None:
    """Choose on val whether results are re-ranked by default, and calibrate the checkpoint on val.

    Captions stand in for judged queries (see `caption_pairs`). If val is too small or cannot be used to calibrate, the
    checkpoint keeps its previous calibration.

    Args:
        val: packed pictures.
    """
    if sum(len(picture.captions) for picture in val) < _FEWEST_CAPTIONS:
        return
    runtime = load(checkpoint)
    encoded = encode(runtime, val, on_progress)
    found = evaluate(runtime, encoded, EvaluationOptions(sample=_QUERIES), on_progress).text_to_image
    first_stage, reranked = found.first_stage, found.reranked[DEFAULT_CANDIDATES]
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    config = dataclasses.replace(config, rerank=reranked.r1 >= first_stage.r1)
    on_message(f"val, final: text-to-image R@1 {first_stage.r1:.1f} in the first stage, {reranked.r1:.1f} re-ranked")
    try:
        reports = calibrate(caption_pairs(runtime, _album_of(encoded), on_progress))
        config = dataclasses.replace(config, calibration=calibration_of(reports))
    except UsageError as error:
        on_message(f"not calibrated: {error.message}")
    config.save(checkpoint / CONFIG_FILE)


def _album_of(encoded: EncodedPictures) -> EncodedPictures:
    """Return a sample of the pictures, at most as many as one album has."""
    indices = {id(picture): index for index, picture in enumerate(encoded.pictures)}
    chosen = [indices[id(picture)] for picture in choose_pictures(encoded.pictures, ALBUM)]
    pictures = [encoded.pictures[index] for index in chosen]
    return EncodedPictures(
        pictures, encoded.embeddings[chosen], [encoded.grids[index] for index in chosen], encoded.texts
    )
