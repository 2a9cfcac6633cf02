"""A run of the recipe for few pairs: what is trained on what, in which order, and what is written when."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixsearch.errors import DatasetError
from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.batches.augmentation import mirrored_caption
from pixsearch_trainer.batches.draws import generator_of
from pixsearch_trainer.bridge.first_stage import CaptionTable, FirstStageOptions, first_stage, mix_in
from pixsearch_trainer.bridge.late_interaction import LateInteractionOptions, late_interaction
from pixsearch_trainer.bridge.pixel_start import start_pixels_as_words
from pixsearch_trainer.bridge.pixel_stream import PixelStreamOptions, pixel_stream
from pixsearch_trainer.bridge.reranker import (
    Block,
    RerankerOptions,
    draw_blocks,
    fold_of,
    fold_of_each,
    reranker,
)
from pixsearch_trainer.bridge.validation import Validation
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split
from pixsearch_trainer.evaluation.recall import Evaluation
from pixsearch_trainer.features import GridStore, encode_grids, encode_sentences
from pixsearch_trainer.optimisation.accelerator import Precision, make_accelerator
from pixsearch_trainer.optimisation.log import RunLog
from pixsearch_trainer.optimisation.loop import LoopOptions, Stage, train_stage
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights.other_task import Fresh

_FEWEST_A_FOLD = 50  # pictures; with fewer a first stage trained on the rest says little


@dataclass(frozen=True)
class BridgeOptions:
    """What a user chooses of a run; see the stages' own options for the rest."""

    first_stage: FirstStageOptions = field(default_factory=FirstStageOptions)
    pixel_stream: PixelStreamOptions = field(default_factory=PixelStreamOptions)
    reranker: RerankerOptions = field(default_factory=RerankerOptions)
    late_interaction: LateInteractionOptions = field(default_factory=LateInteractionOptions)
    folds: int = 4
    precision: Precision | None = None
    """None is bf16 where the hardware has it."""
    tensorboard: bool = False
    measure_every: int = 500
    """Steps of what re-ranks between two looks at val (and two checkpoints)."""
    measure_sample: int = 300
    """Queries of val a look; `pixsearch evaluate` takes all."""
    candidates: int = 32
    cache_gb: float = 50.0
    """Largest cache of the pictures' grids on the disk, and of those of their mirror images."""
    loop: LoopOptions = field(default_factory=LoopOptions)


@dataclass(frozen=True)
class BridgeReport:
    """What came of a run."""

    folder: Path
    pictures: int
    captions: int
    minutes: float
    """Of this process; a run that was gone on with took longer."""
    evaluation: Evaluation | None
    """On the split val; None where the data has none."""


def train_bridge(
    network: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    out: Path,
    options: BridgeOptions,
    fresh: Fresh,
    resume: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback = silent,
) -> BridgeReport:
    """Fine-tune for retrieval and write a checkpoint to `out`: after the first stage, then every some steps.

    The first stage's maps are fitted first; then, where they are new to the Transformer, pixels learn to be read; then
    the joint stream learns to re-rank, on first stages that have not seen the pictures they are asked about; then the
    maps are fitted again, because the Transformer that reads sentences has moved a little; last, words learn to find
    pixels.

    What a stage trains on follows from the network at its beginning, which is saved; so a run is gone on with exactly.

    Args:
        pictures: of the splits train and val; val is measured on and never trained on.
        fresh: what of the network starts here; with "all", pixels are taught to be read too.
        resume: go on from the state in `out`, which the caller has begun (`RunFolder.begin`) or checked.
        say: called with a line for people whenever val was measured.

    Raises:
        DatasetError: fewer than two training pictures, or one cannot be decoded.
        Interrupted, TrainingFailed: see `train_stage`.
    """
    started = time.monotonic()
    run = _Run(network, processor, pictures, out, options, say, on_progress)
    saved = run.folder.load() if resume else None
    first = 0 if saved is None else saved["stage"]
    log = RunLog(out, None if saved is None else (first, saved["step"]), options.tensorboard)
    if saved is not None:
        run.restore(run.folder.load_beginning(first), (first, saved["step"]))
    elif fresh != "nothing":
        run.fit_statistics(fresh)
    parts = run.parts(fresh)
    for number, part in enumerate(parts):
        if number < first:
            continue
        if number > first or saved is None:
            run.save_beginning(number)
        run.train(part(number), log, saved if number == first else None, fresh)
    run.validation.open_gate(fresh)
    run.validation.weigh_similarity()
    evaluation = run.validation.measure_rerank("end", (len(parts), 0))
    if evaluation is not None:
        run.validation.choose_order(evaluation)
    run.save()
    if run.accelerator.is_main_process:
        run.folder.end()
    minutes = (time.monotonic() - started) / 60
    return BridgeReport(out, len(run.training), len(run.captions.sentences), minutes, evaluation)


class _Run:
    """The network in training and what is known of its data."""

    def __init__(
        self,
        network: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        pictures: Sequence[CaptionedPicture],
        out: Path,
        options: BridgeOptions,
        say: Callable[[str], None],
        on_progress: ProgressCallback,
    ) -> None:
        self.training = of_split(pictures, "train")
        if len(self.training) < 2:
            raise DatasetError(
                f"{len(self.training)} captioned pictures are too few", "Give two or more in the split train"
            )
        self.accelerator = make_accelerator(options.precision)
        self.device = self.accelerator.device
        self.network, self.processor, self.options = network.to(self.device).eval(), processor, options
        self.folder = RunFolder(out)
        is_main = self.accelerator.is_main_process
        self.on_progress = on_progress if is_main else silent
        self.validation = Validation(
            self.network,
            processor,
            of_split(pictures, "val"),
            self._grids,
            sample=options.measure_sample,
            candidates=options.candidates,
            out=out,
            writes=is_main,
            say=say if is_main else _mute,
            on_progress=self.on_progress,
        )
        self.files = [str(picture.file) for picture in self.training]
        self.captions = Captions.of(self.training)
        self.table = CaptionTable(self.captions.of_picture, self.device)
        self.from_label = torch.tensor([picture.from_label for picture in self.training], device=self.device)
        label_weight = 1.0 if self.from_label.all() else options.first_stage.label_weight
        weights = torch.tensor([picture.weight for picture in self.training], device=self.device)
        self.weights = torch.where(self.from_label, label_weight, 1.0) * weights / weights.max()
        folds = max(1, min(options.folds, len(self.training) // _FEWEST_A_FOLD))
        self.folds = fold_of_each(len(self.training), folds, options.loop.seed).to(self.device)
        self.fold_maps: list[EmbeddingMaps] = []
        self._sentences: Tensor | None = None
        self.grids = self._grids(self.training)
        self.stores = [self.grids, self._grids(self.training, mirror=True)]
        self.views = torch.stack([store.pooled() for store in self.stores], dim=1).to(self.device)
        self.pooled = self.views[:, 0]
        one_sided = [mirrored_caption(sentence) != sentence for sentence in self.captions.sentences]
        self.one_sided = torch.tensor(one_sided, device=self.device)
        self.initial_maps = copy.deepcopy(network.maps)

    def fit_statistics(self, fresh: Fresh) -> None:
        """Standardise features by this data's statistics, and let pixels that are fresh too start out as words."""
        self.network.maps.standardise.fit(self.pooled)
        self.initial_maps = copy.deepcopy(self.network.maps)
        if fresh == "maps":
            return
        sample = torch.randperm(len(self.grids), generator=generator_of(self.options.loop.seed, 6))[:1000].tolist()
        grid, pixel_mask = self.grids.read(sample)
        self.network.model.standardise.fit(grid[pixel_mask].to(self.device))
        channels = self.pooled.shape[1] // 2
        start_pixels_as_words(self.network.model.cpu(), self.pooled[:, :channels].cpu(), self._word_counts())
        self.network.to(self.device)

    def parts(self, fresh: Fresh) -> list[Callable[[int], Stage]]:
        """What makes each stage, in their order, given its number; a stage without steps is left out."""
        options = self.options
        parts: list[Callable[[int], Stage]] = []
        if options.first_stage.epochs:
            parts.append(self.maps_stage)
        if options.pixel_stream.steps and fresh == "all":
            parts.append(self.pixel_stage)
        if options.reranker.steps:
            parts += [self.fold_stage] * int(self.folds.max() + 1)
            parts.append(lambda number: self.reranker_stage(number, fresh))
            if options.first_stage.epochs:
                parts.append(self.maps_stage)
        if options.late_interaction.steps:
            parts.append(self.late_interaction_stage)
        return parts

    def train(self, stage: Stage, log: RunLog, saved: dict[str, object] | None, fresh: Fresh) -> None:
        """Train a stage, and what is to be done with what came of it."""
        loop = self.options.loop
        if stage.name == "re-ranker" and loop.clip is None:
            loop = dataclasses.replace(loop, clip=1.0)
        train_stage(stage, loop, self.accelerator, self.folder, log, saved, self.on_progress)
        self.network.requires_grad_(True).eval()
        if stage.name == "first stage":
            if fresh == "nothing":
                mix_in(self.network.maps, self.initial_maps, self.options.first_stage.kept)
            self.save()
            if stage.number == 0:
                self.validation.measure_first_stage((1, 0))
        elif stage.name == "re-ranker":
            self._sentences = None  # the Transformer reads them a little otherwise now

    def maps_stage(self, number: int) -> Stage:
        """The first stage on all training pictures."""
        self.network.maps.load_state_dict(self.initial_maps.state_dict())
        return self._maps_stage(number, self.network.maps, self.weights, "first stage")

    def pixel_stage(self, number: int) -> Stage:
        """The pixels' way into the Transformer."""
        sentences, options = self._read_sentences(), self.options.pixel_stream
        return pixel_stream(number, self.network, self.grids, sentences, self.table, self.weights, options, self.files)

    def fold_stage(self, number: int) -> Stage:
        """A first stage on all folds but the next one that has none."""
        fold = len(self.fold_maps)
        maps = copy.deepcopy(self.initial_maps)
        self.fold_maps.append(maps)
        several = self.folds.max() > 0  # a data set too small to be split is judged by a first stage that knows it
        weights = self.weights * (self.folds != fold) if several else self.weights
        return self._maps_stage(number, maps, weights, f"first stage without fold {fold + 1}")

    def reranker_stage(self, number: int, fresh: Fresh) -> Stage:
        """The joint stream, on first stages that have not seen the pictures they are asked about."""
        options, sentences = self.options, self._read_sentences()
        folds = [fold_of(fold, self.folds, maps, self.pooled) for fold, maps in enumerate(self.fold_maps)]
        if fresh != "nothing":
            self.network.similarity_weight.data = torch.stack([fold.maps.scale for fold in folds]).mean().detach()

        def blocks(first: int) -> Iterator[Block]:
            kinds = self.weights, self.from_label
            return draw_blocks(folds, sentences, self.table, *kinds, options.reranker, self.files, first)

        stage = reranker(number, self.network, self._words_of, self.grids, sentences, blocks, options.reranker)

        return self._looked_at(stage)

    def late_interaction_stage(self, number: int) -> Stage:
        """Words that find pixels, each read by what the stages before have left."""
        data = self.captions.sentences, self._read_sentences(), self.table, self.one_sided, self.weights
        options, seed = self.options.late_interaction, self.options.loop.seed
        stage = late_interaction(number, self.network, self.processor, self.stores, *data, options, seed, self.files)
        return self._looked_at(stage)

    def _looked_at(self, stage: Stage) -> Stage:
        """The stage, with a look at val and a checkpoint every some steps."""

        def look(step: int) -> None:
            self.validation.measure_rerank(f"{stage.name}, step {step}", (stage.number, step))
            self.save()

        stage.measure_every, stage.measure = self.options.measure_every, look
        return stage

    def save_beginning(self, number: int) -> None:
        """Keep all that stage depends on beside data and options, in place of what the one before did."""
        if self.accelerator.is_main_process:
            beginning = {
                "network": self.network.state_dict(),
                "initial_maps": self.initial_maps.state_dict(),
                "fold_maps": [maps.state_dict() for maps in self.fold_maps],
            }
            self.folder.save_beginning(number, beginning)

    def restore(self, snapshot: dict[str, Any], moment: tuple[int, int]) -> None:
        """Be where a stage began of which so many steps were done."""
        self.network.load_state_dict(snapshot["network"])
        self.initial_maps.load_state_dict(snapshot["initial_maps"])
        self.fold_maps = [copy.deepcopy(self.initial_maps) for _ in snapshot["fold_maps"]]
        for maps, state in zip(self.fold_maps, snapshot["fold_maps"], strict=True):
            maps.load_state_dict(state)
        self.validation.go_on(moment)

    def save(self) -> None:
        """Write the checkpoint as it is now."""
        if self.accelerator.is_main_process:
            save_checkpoint(self.folder.out, self.network, self.processor)

    def _grids(self, pictures: Sequence[CaptionedPicture], mirror: bool = False) -> GridStore:
        with self.accelerator.main_process_first():
            cache, limit = self.folder.folder / "cache", 1e9 * self.options.cache_gb
            return encode_grids(self.network, self.processor, pictures, cache, self.on_progress, limit, mirror)

    def _read_sentences(self) -> Tensor:
        if self._sentences is None:
            read = encode_sentences(self.network, self.processor, self.captions.sentences, self.on_progress)
            self._sentences = read.to(self.device)
        return self._sentences

    def _maps_stage(self, number: int, maps: EmbeddingMaps, weights: Tensor, name: str) -> Stage:
        options, seed = self.options.first_stage, self.options.loop.seed
        sentences = self._read_sentences()
        data = self.views, sentences, self.table, self.one_sided, weights
        return first_stage(number, maps, *data, options, seed, self.files, name)

    def _words_of(self, places: Tensor) -> tuple[Tensor, Tensor]:
        ids, mask = word_tensors(self.processor, [self.captions.sentences[place] for place in places.tolist()])
        return ids.to(self.device), mask.to(self.device)

    def _word_counts(self) -> Tensor:
        """Sparse [pictures, vocabulary]: how often a word stands in a picture's captions, [CLS] and [SEP] left out."""
        tokenizer = self.processor.tokenizer
        encodings = [tokenizer.encode(text, add_special_tokens=False).ids for text in self.captions.sentences]
        rows, columns = [], []
        for picture, places in enumerate(self.captions.of_picture):
            for place in places:
                rows += [picture] * len(encodings[place])
                columns += encodings[place]
        shape = (len(self.training), self.network.config.vocabulary_size)
        counts = torch.sparse_coo_tensor(
            torch.tensor([rows, columns]), torch.ones(len(rows)), shape, check_invariants=True
        )
        return counts.coalesce()


def _mute(_line: str) -> None:
    """What the other processes say."""
