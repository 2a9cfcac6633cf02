"""What is measured on val while a run goes on, and what of the network val chooses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pixsearch.durable import write_durably
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import ProgressCallback
from pixsearch_trainer.bridge.gate import open_gate
from pixsearch_trainer.bridge.weighing import weigh_similarity
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.evaluation.measure import evaluate
from pixsearch_trainer.evaluation.recall import Evaluation
from pixsearch_trainer.features import GridStore, encode_sentences, read_grids
from pixsearch_trainer.starting_weights.other_task import Fresh

FIGURES_FILE = "figures.json"


class Validation:
    """Held-out pictures and the figures that they gave so far; without any nothing is measured, and nothing chosen."""

    def __init__(
        self,
        network: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        pictures: Sequence[CaptionedPicture],
        grids: Callable[[Sequence[CaptionedPicture]], GridStore],
        *,
        sample: int,
        candidates: int,
        out: Path,
        writes: bool,
        say: Callable[[str], None],
        on_progress: ProgressCallback,
    ) -> None:
        """
        Args:
            grids: what the CNN, as it is, sees in pictures.
            sample: captions a look at the re-rank asks by.
            candidates: that each of them re-ranks.
            out: the run's folder, where the figures are written.
            writes: whether this process is the one that writes them.
        """
        self._network, self._processor = network, processor
        self._pictures, self._grids_of = pictures, grids
        self._sample, self._candidates = sample, candidates
        self._file, self._writes = out / FIGURES_FILE, writes
        self._say, self._on_progress = say, on_progress
        self._figures: list[dict[str, Any]] = []

    def go_on(self, moment: tuple[int, int]) -> None:
        """Take up the figures of a run that is gone on with, up to a moment: stage and step."""
        if self._file.exists():
            measured = json.loads(self._file.read_bytes())
            self._figures = [figure for figure in measured if (figure["stage"], figure["step"]) <= moment]

    def measure_first_stage(self, moment: tuple[int, int]) -> None:
        """Measure the first stage on all of val."""
        self._measure("first stage", moment, None, ())

    def measure_rerank(self, name: str, moment: tuple[int, int]) -> Evaluation | None:
        """Measure both stages on a sample of val."""
        return self._measure(name, moment, self._sample, (self._candidates,))

    @torch.no_grad()
    def open_gate(self, fresh: Fresh) -> None:
        """Let the Transformer's reading of pixels into the image embedding as far as val gains.

        Without val it stays as it is in a checkpoint that is gone on with, and is closed elsewhere.
        """
        if not self._pictures:
            if fresh != "nothing":
                self._network.image_gate.zero_()
            return
        captions, grids = Captions.of(self._pictures), self._grids_of(self._pictures)
        sentences = encode_sentences(self._network, self._processor, captions.sentences, self._on_progress)
        read = read_grids(self._network, grids)
        reached = open_gate(
            self._network,
            self._network.maps.text(sentences.to(read.device)),
            self._network.maps.image(grids.pooled().to(read.device)),
            read,
            captions.matches().to(read.device),
        )
        self._say(f"val, R@1 of the first stage by the image stream's gate {_in_words(reached)}")

    def weigh_similarity(self) -> None:
        """Let the first stage's similarity count in the ITM logit as much as val likes it to."""
        if not self._pictures:
            return
        grids = self._grids_of(self._pictures)
        reached = weigh_similarity(
            self._network, self._processor, self._pictures, grids, self._candidates, self._sample
        )
        self._say(f"val, R@1 of the re-rank by how much similarity counts {_in_words(reached)}")

    def choose_order(self, evaluation: Evaluation) -> None:
        """Let the re-rank order results by default if it does so better on val."""
        direction = evaluation.text_to_image
        reranked = direction.reranked[self._candidates]
        config = dataclasses.replace(self._network.config, rerank=reranked.r1 >= direction.first_stage.r1)
        self._network.config = self._processor.config = config

    def _measure(
        self, name: str, moment: tuple[int, int], sample: int | None, candidates: Sequence[int]
    ) -> Evaluation | None:
        """Evaluate, and add the figures to those that go beside the checkpoint."""
        if not self._pictures:
            return None
        training = self._network.training
        self._network.eval()
        grids = self._grids_of(self._pictures)
        evaluation = evaluate(
            self._network, self._processor, self._pictures, grids, candidates, sample, on_progress=self._on_progress
        )
        self._network.train(training)
        stage, step = moment
        self._figures.append({"moment": name, "stage": stage, "step": step, "sample": sample} | evaluation.as_json())
        if self._writes:
            write_durably(self._file, (json.dumps(self._figures, indent=1) + "\n").encode())
        first, reranked = evaluation.text_to_image.first_stage, evaluation.text_to_image.reranked
        figures = [f"first stage {first.r1:.1f}"] + [f"re-ranked {recall.r1:.1f}" for recall in reranked.values()]
        self._say(f"val, {name}: text to image R@1 {', '.join(figures)}")
        return evaluation


def _in_words(reached: dict[float, float]) -> str:
    return ", ".join(f"{value:g}: {recall:.1f}" for value, recall in reached.items())
