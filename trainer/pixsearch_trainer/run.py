"""A whole training run: what is trained on what, in which order, and what is written when."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from pixsearch.durable import write_durably
from pixsearch.errors import DatasetError
from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval, pool_grid
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.runtime import autocast, best_device
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split
from pixsearch_trainer.evaluation import Evaluation, evaluate
from pixsearch_trainer.features import GridStore, decode, encode_grids, encode_sentences, read_grids
from pixsearch_trainer.first_stage import CaptionTable, FirstStageOptions, embed_pooled, train_first_stage
from pixsearch_trainer.gate import open_gate
from pixsearch_trainer.pixel_start import start_pixels_as_words
from pixsearch_trainer.pixel_stream import PixelStreamOptions, train_pixel_stream
from pixsearch_trainer.reranker import RerankerOptions, cross_fit, draw_blocks, train_reranker
from pixsearch_trainer.weighing import weigh_similarity

FIGURES_FILE = "figures.json"
_FEWEST_A_FOLD = 50  # pictures; with fewer a first stage trained on the rest says little


@dataclass(frozen=True)
class TrainOptions:
    """What a user chooses of a run; see the stages' own options for the rest."""

    train_cnn: bool = False
    """Train the CNN too, by ITC from pixels; else it stays frozen."""
    first_stage: FirstStageOptions = field(default_factory=FirstStageOptions)
    pixel_stream: PixelStreamOptions = field(default_factory=PixelStreamOptions)
    reranker: RerankerOptions = field(default_factory=RerankerOptions)
    folds: int = 4
    seed: int = 0
    measure_every: int = 500
    """Steps of the re-ranker between two looks at val (and two checkpoints)."""
    measure_sample: int = 300
    """Queries of val a look; `pixsearch evaluate` takes all."""
    candidates: int = 32


@dataclass(frozen=True)
class TrainReport:
    """What came of a run."""

    folder: Path
    pictures: int
    captions: int
    minutes: float
    evaluation: Evaluation | None
    """On the split val; None where the data has none."""


def train(
    model: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    out: Path,
    options: TrainOptions,
    fresh: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback = silent,
) -> TrainReport:
    """Fine-tune for retrieval and write a checkpoint to `out`: after the first stage, then every some steps.

    The first stage's maps are fitted first; then, where they are new to the Transformer, pixels learn to be read; then
    the joint stream learns to re-rank; then the maps are fitted again, because the Transformer that reads sentences has
    moved a little.

    Args:
        pictures: of the splits train and val; val is measured on and never trained on.
        fresh: the model was assembled from parts: its statistics, its maps and its pixel projection start here.
        say: called with a line for people whenever val was measured.

    Raises:
        DatasetError: fewer than two training pictures, or one cannot be decoded.
    """
    torch.manual_seed(options.seed)
    started = time.monotonic()
    training, validation = of_split(pictures, "train"), of_split(pictures, "val")
    if len(training) < 2:
        raise DatasetError(f"{len(training)} captioned pictures are too few", "Give two or more in the split train")
    run = _Run(model.to(best_device()), processor, training, validation, out, options, say, on_progress)
    if fresh:
        run.fit_statistics()
    if options.train_cnn:
        run.train_cnn()
    if options.first_stage.epochs:
        run.train_maps()
        run.measure("first stage", sample=None, candidates=())
    if options.pixel_stream.steps and (fresh or options.train_cnn):
        run.train_pixel_stream()
        run.save()
    if options.reranker.steps:
        run.train_reranker(fresh)
        run.train_maps()
    run.open_gate()
    run.weigh_similarity()
    evaluation = run.measure("end", options.measure_sample, (options.candidates,))
    if evaluation is not None:
        run.choose_order(evaluation)
    run.save()
    shutil.rmtree(run.cache, ignore_errors=True)  # some 60 kB a picture, of use only to a run that was cut
    minutes = (time.monotonic() - started) / 60
    return TrainReport(out, len(training), len(run.captions.sentences), minutes, evaluation)


class _Run:
    """The model in training and what is known of its data."""

    def __init__(
        self,
        model: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        training: list[CaptionedPicture],
        validation: list[CaptionedPicture],
        out: Path,
        options: TrainOptions,
        say: Callable[[str], None],
        on_progress: ProgressCallback,
    ) -> None:
        self.model, self.processor, self.out, self.options = model, processor, out, options
        self.cache = out / "cache"
        self.say, self.on_progress = say, on_progress
        self.device = next(model.parameters()).device
        self.training, self.validation = training, validation
        self.captions = Captions.of(training)
        self.table = CaptionTable(self.captions.of_picture, self.device)
        self.all = torch.arange(len(training), device=self.device)
        self.from_label = torch.tensor([picture.from_label for picture in training], device=self.device)
        label_weight = 1.0 if self.from_label.all() else options.first_stage.label_weight
        self.weights = torch.where(self.from_label, label_weight, 1.0)
        self.figures: list[dict[str, object]] = []
        self.encode()
        self.initial_maps = copy.deepcopy(model.maps)

    def encode(self) -> None:
        """Everything that frozen parts say of the data."""
        self.grids = self._grids(self.training)
        self.pooled = self.grids.pooled().to(self.device)
        self.sentences = self._read_sentences()

    def fit_statistics(self) -> None:
        """Standardise features by this data's statistics, and let pixels start out as words."""
        self.model.maps.standardise.fit(self.pooled)
        self.initial_maps = copy.deepcopy(self.model.maps)
        sample = torch.randperm(len(self.grids))[:1000].tolist()
        grid, pixel_mask = self.grids.read(sample)
        self.model.model.standardise.fit(grid[pixel_mask].to(self.device))
        channels = self.pooled.shape[1] // 2
        start_pixels_as_words(self.model.model.cpu(), self.pooled[:, :channels].cpu(), self._word_counts())
        self.model.to(self.device)

    def train_cnn(self) -> None:
        """ITC from pixels: CNN and maps against frozen sentence vectors; all grids are made anew afterwards."""
        options = dataclasses.replace(self.options.first_stage, batch=self.options.first_stage.cnn_batch)
        backbone, edge = self.model.model.backbone, self.processor.config.input_size

        def embed_pictures(places: Tensor) -> Tensor:
            pixels = self.processor.pixels([decode(self.training[place], edge) for place in places.tolist()])
            with autocast(self.device):
                grid, pixel_mask = self.model.model.encode_grids(pixels)
                pooled = pool_grid(grid.float(), pixel_mask)
                return embed_pooled(self.model.maps, pooled, options.feature_dropout, options.hidden_dropout)

        backbone.eval()  # its batch-norm statistics stay ImageNet's
        self._fit(self.model.maps, embed_pictures, self.all, options, list(backbone.parameters()))
        self.encode()

    def train_maps(self) -> None:
        """The first stage on all training pictures."""
        self.model.maps.load_state_dict(self.initial_maps.state_dict())
        self._fit_maps(self.model.maps, self.all)
        self.save()

    def train_pixel_stream(self) -> None:
        """The pixels' way into the Transformer."""
        train_pixel_stream(
            self.model,
            self.grids,
            self.sentences,
            self.table,
            self.weights,
            self.options.pixel_stream,
            self.on_progress,
        )

    def train_reranker(self, fresh: bool) -> None:
        """The joint stream, on first stages that have not seen the pictures they are asked about."""
        folds = cross_fit(
            self._fit_maps,
            lambda: copy.deepcopy(self.initial_maps),
            self.pooled,
            self.all,
            max(1, min(self.options.folds, len(self.training) // _FEWEST_A_FOLD)),
        )
        if fresh:
            self.model.similarity_weight.data = torch.stack([fold.maps.scale for fold in folds]).mean().detach()
        blocks = draw_blocks(folds, self.sentences, self.table, self.weights, self.from_label, self.options.reranker)
        train_reranker(
            self.model,
            self._words_of,
            self.grids,
            self.sentences,
            blocks,
            self.options.reranker,
            self._look,
            self.on_progress,
        )
        self.sentences = self._read_sentences()

    @torch.no_grad()
    def open_gate(self) -> None:
        """Let the Transformer's reading of pixels into the image embedding as far as val gains; none without val."""
        if not self.validation:
            self.model.image_gate.zero_()
            return
        captions, grids = Captions.of(self.validation), self._grids(self.validation)
        sentences = encode_sentences(self.model, self.processor, captions.sentences, self.on_progress)
        read = read_grids(self.model, grids)
        reached = open_gate(
            self.model,
            self.model.maps.text(sentences.to(self.device)),
            self.model.maps.image(grids.pooled().to(self.device)),
            read,
            captions.matches().to(self.device),
        )
        figures = ", ".join(f"{gate:g}: {recall:.1f}" for gate, recall in reached.items())
        self.say(f"val, R@1 of the first stage by the image stream's gate {figures}")

    def weigh_similarity(self) -> None:
        """Let the first stage's similarity count in the ITM logit as much as val likes it to."""
        if not self.validation:
            return
        options = self.options
        reached = weigh_similarity(
            self.model,
            self.processor,
            self.validation,
            self._grids(self.validation),
            options.candidates,
            options.measure_sample,
        )
        figures = ", ".join(f"{factor:g}: {recall:.1f}" for factor, recall in reached.items())
        self.say(f"val, R@1 of the re-rank by how much similarity counts {figures}")

    def choose_order(self, evaluation: Evaluation) -> None:
        """Let the re-rank order results by default if it does so better on val."""
        direction = evaluation.text_to_image
        reranked = direction.reranked[self.options.candidates]
        config = dataclasses.replace(self.model.config, rerank=reranked.r1 >= direction.first_stage.r1)
        self.model.config = self.processor.config = config

    def measure(self, moment: str, sample: int | None, candidates: Sequence[int]) -> Evaluation | None:
        """Evaluate on val and add the figures to those that go beside the checkpoint."""
        if not self.validation:
            return None
        training = self.model.training
        self.model.eval()
        evaluation = evaluate(
            self.model,
            self.processor,
            self.validation,
            self._grids(self.validation),
            candidates,
            sample,
            on_progress=self.on_progress,
        )
        self.model.train(training)
        self.model.model.backbone.eval()
        self.figures.append({"moment": moment, "sample": sample} | evaluation.as_json())
        first, reranked = evaluation.text_to_image.first_stage, evaluation.text_to_image.reranked
        figures = [f"first stage {first.r1:.1f}"] + [f"re-ranked {recall.r1:.1f}" for recall in reranked.values()]
        self.say(f"val, {moment}: text to image R@1 {', '.join(figures)}")
        return evaluation

    def save(self) -> None:
        """Write the checkpoint as it is now, and the figures measured so far."""
        save_checkpoint(self.out, self.model, self.processor)
        write_durably(self.out / FIGURES_FILE, (json.dumps(self.figures, indent=1) + "\n").encode())

    def _look(self, step: int) -> None:
        if step % self.options.measure_every == 0:
            self.measure(f"step {step}", self.options.measure_sample, (self.options.candidates,))
            self.save()

    def _grids(self, pictures: list[CaptionedPicture]) -> GridStore:
        return encode_grids(self.model, self.processor, pictures, self.cache, self.on_progress)

    def _read_sentences(self) -> Tensor:
        read = encode_sentences(self.model, self.processor, self.captions.sentences, self.on_progress)
        return read.to(self.device)

    def _fit_maps(self, maps: EmbeddingMaps, pictures: Tensor) -> None:
        options = self.options.first_stage
        dropouts = options.feature_dropout, options.hidden_dropout
        self._fit(maps, lambda places: embed_pooled(maps, self.pooled[places], *dropouts), pictures, options)

    def _fit(
        self,
        maps: EmbeddingMaps,
        embed_pictures: Callable[[Tensor], Tensor],
        pictures: Tensor,
        options: FirstStageOptions,
        below: Sequence[torch.nn.Parameter] = (),
    ) -> None:
        train_first_stage(
            maps,
            embed_pictures,
            self.sentences,
            self.table,
            pictures,
            self.weights,
            options,
            below,
            self.on_progress,
        )

    def _words_of(self, places: Tensor) -> tuple[Tensor, Tensor]:
        ids, mask = self.processor.words([self.captions.sentences[place] for place in places.tolist()])
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
        shape = (len(self.training), self.model.config.vocabulary_size)
        counts = torch.sparse_coo_tensor(
            torch.tensor([rows, columns]), torch.ones(len(rows)), shape, check_invariants=True
        )
        return counts.coalesce()
