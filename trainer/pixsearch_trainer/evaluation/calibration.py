"""What an ITM logit is worth as a probability: Platt's scaling, on the pairs that a search really looks at.

Platt, "Probabilistic outputs for support vector machines" (1999); how well it does is said as in Guo et al., "On
calibration of modern neural networks" (2017, arXiv 1706.04599): by reliability in bins, and the expected calibration
error.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.errors import UsageError
from pixsearch.model.config import Calibration
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.evaluation.measure import nearest_items
from pixsearch_trainer.evaluation.scoring import PairScorer
from pixsearch_trainer.features import GridStore

_BINS = 10
_CAPTIONS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs whose probability lies between two tenths."""

    probability: float
    """Their mean."""
    share: float
    """How many of them match."""
    pairs: int


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    calibration: Calibration
    pairs: int
    matching: int
    expected_error: float
    """Expected calibration error, each half of the pictures by the calibration of the other half."""
    bins: tuple[Bin, ...]
    """The same pairs; empty ones are left out."""


@torch.no_grad()
def calibrate(
    model: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    grids: GridStore,
    candidates: int,
    sample: int | None = None,
    seed: int = 0,
    on_progress: ProgressCallback = silent,
) -> CalibrationReport:
    """Fit temperature and bias on captions, each with its nearest pictures, a right one among them.

    Args:
        grids: of the pictures, in their order.
        candidates: pictures for each caption.
        sample: so many captions at random; None for all.

    Raises:
        UsageError: too little to fit on, or logits that are no higher where a pair matches.
    """
    captions = Captions.of(pictures)
    chosen = list(range(len(captions.sentences)))
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, sample))
    if len(chosen) < 2 or len(pictures) < 2:
        raise UsageError("there is too little to calibrate on", "Give at least two pictures with captions")
    asked = torch.tensor(chosen)
    scorer = PairScorer(model, processor, captions.sentences, grids)
    similarity, matches = scorer.similarity()[asked], captions.matches()[asked]
    logits, labels = [], []
    for rows in torch.arange(len(asked)).split(_CAPTIONS_AT_ONCE):
        order = with_a_match(
            nearest_items(similarity[rows], matches[rows], candidates), similarity[rows], matches[rows]
        )
        logits.append(scorer.match(asked[rows][:, None].expand_as(order).flatten(), order.flatten()).view(order.shape))
        labels.append(matches[rows].gather(1, order))
        on_progress(Progress("matching", int(rows[-1]) + 1, len(asked)))
    return _report(torch.cat(logits).double(), torch.cat(labels))


def with_a_match(order: Tensor, similarity: Tensor, matches: Tensor) -> Tensor:
    """Candidates [queries, k] of which the last gives way to the nearest that matches where none does.

    Args:
        similarity, matches: [queries, items].
    """
    nearest_match = similarity.masked_fill(~matches, -torch.inf).argmax(1)
    has_none = ~matches.gather(1, order).any(1)
    order = order.clone()
    order[has_none, -1] = nearest_match[has_none]
    return order


def fit(logits: Tensor, labels: Tensor) -> Calibration:
    """The temperature and bias under which the labels are most likely, of logits and labels [pairs].

    Raises:
        UsageError: pairs that match have no higher logits than others.
    """
    scale, bias = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    logits, matching = logits.double(), labels.double().sum()
    # Platt's targets: not quite 1 and 0, lest pairs that can be told apart without a mistake make it certain of all.
    targets = torch.where(labels, (matching + 1) / (matching + 2), 1 / (len(labels) - matching + 2))
    spread = logits.std().clamp(min=1e-9)
    standard = (logits - logits.mean()) / spread
    with torch.enable_grad():
        parameters = [scale.requires_grad_(), bias.requires_grad_()]
        optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.binary_cross_entropy_with_logits(scale * standard + bias, targets)
            value.backward()
            return value

        optimizer.step(loss)
    slope = float(scale.detach() / spread)
    if not slope > 1e-6:
        raise UsageError(
            "the match logits are no higher where words and picture belong together",
            "Train the re-ranker first; until then order by similarity",
        )
    return Calibration(temperature=1 / slope, bias=float(bias.detach() - slope * logits.mean()))


def probabilities(logits: Tensor, calibration: Calibration) -> Tensor:
    return torch.sigmoid(logits / calibration.temperature + calibration.bias)


def reliability(predicted: Tensor, labels: Tensor) -> tuple[float, tuple[Bin, ...]]:
    """Expected calibration error and bins of predicted probabilities and labels [pairs]."""
    places = (predicted * _BINS).long().clamp(max=_BINS - 1)
    bins = []
    for place in range(_BINS):
        here = places == place
        if pairs := int(here.sum()):
            bins.append(Bin(float(predicted[here].mean()), float(labels[here].double().mean()), pairs))
    error = sum(abs(one.probability - one.share) * one.pairs for one in bins) / len(predicted)
    return error, tuple(bins)


def _report(logits: Tensor, labels: Tensor) -> CalibrationReport:
    """Of logits and labels [captions, candidates]."""
    half = len(logits) // 2
    halves = (slice(None, half), slice(half, None))
    predicted = torch.cat(
        [
            probabilities(logits[here].flatten(), fit(logits[there].flatten(), labels[there].flatten()))
            for here, there in (halves, halves[::-1])
        ]
    )
    error, bins = reliability(predicted, labels.flatten())
    calibration = fit(logits.flatten(), labels.flatten())
    return CalibrationReport(calibration, labels.numel(), int(labels.sum()), error, bins)
