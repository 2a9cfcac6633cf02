"""What is done with the checkpoint that a run leaves: graphs for a CPU, the default order and a calibration by val."""

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
from pixsearch_trainer.evaluation.measure import evaluate

_QUERIES = 200
_FEWEST_CAPTIONS = 50  # a curve fitted on fewer says little


def give_graphs(checkpoint: Path, start: Path, say: Callable[[str], None]) -> None:
    """Give a checkpoint the graphs that a CPU needs to search with it: those of its start if they fit, else new ones.

    Where they cannot be made, as on machines with a GPU and without OpenVINO, that is said and the checkpoint has none.
    """
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    if (fitting := fitting_graphs(checkpoint, config) or fitting_graphs(start, config)) is not None:
        write_durably(checkpoint / GRAPHS_FILE, fitting)
        return
    try:
        from pixsearch.model.tracing import add_graphs  # not at the top: a machine with a GPU need not have OpenVINO

        add_graphs(checkpoint)
    except (ImportError, OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        say(f"no graphs for CPUs were made ({reason}). Make them with: {command_to_add(checkpoint)}")


def finish(
    checkpoint: Path,
    val: Sequence[CaptionedPicture],
    say: Callable[[str], None],
    on_progress: ProgressCallback,
    load: Callable[[Path], Runtime] = PixelBertRuntime,
) -> None:
    """Let val choose whether the re-rank orders results by default, and fit the curves of its probabilities on it.

    The curves mean what those of judged queries do, as far as captions can tell (`caption_pairs`). A checkpoint keeps
    the calibration that it had where val is too small, or gives no curves.

    Args:
        val: pictures in a pack.
    """
    if sum(len(picture.captions) for picture in val) < _FEWEST_CAPTIONS:
        return
    runtime = load(checkpoint)
    encoded = encode(runtime, val, on_progress)
    found = evaluate(runtime, encoded, (DEFAULT_CANDIDATES,), _QUERIES, on_progress=on_progress).text_to_image
    first_stage, reranked = found.first_stage, found.reranked[DEFAULT_CANDIDATES]
    config = PixelBertConfig.load(checkpoint / CONFIG_FILE)
    config = dataclasses.replace(config, rerank=reranked.r1 >= first_stage.r1)
    say(f"val, end: text to image R@1 first stage {first_stage.r1:.1f}, re-ranked {reranked.r1:.1f}")
    try:
        reports = calibrate(caption_pairs(runtime, _an_album_of(encoded), on_progress))
        config = dataclasses.replace(config, calibration=calibration_of(reports))
    except UsageError as error:
        say(f"not calibrated: {error.message}")
    config.save(checkpoint / CONFIG_FILE)


def _an_album_of(encoded: EncodedPictures) -> EncodedPictures:
    """As many of the pictures as are searched together."""
    indices = {id(picture): index for index, picture in enumerate(encoded.pictures)}
    chosen = [indices[id(picture)] for picture in choose_pictures(encoded.pictures, ALBUM)]
    pictures = [encoded.pictures[index] for index in chosen]
    return EncodedPictures(
        pictures, encoded.embeddings[chosen], [encoded.grids[index] for index in chosen], encoded.texts
    )
