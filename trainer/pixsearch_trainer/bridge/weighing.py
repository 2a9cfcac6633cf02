"""How much what the streams say apart counts in the ITM logit."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch_trainer.bridge.choosing import best_value
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.evaluation.scoring import PairScorer
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.losses import rank_of_first_match

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


@torch.no_grad()
def weigh_similarity(
    model: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    grids: GridStore,
    candidates: int,
    sample: int,
) -> dict[float, float]:
    """Multiply `similarity_weight` in place by the factor that re-ranks best on held-out captions.

    In training the weight is bound to the soft targets' temperature, and it was learned beside first stages that had
    seen fewer pictures than the final one. With a large factor the joint stream has no say.

    Returns:
        For each factor that was tried R@1 of text->image after the re-rank, percent.
    """
    captions = Captions.of(pictures)
    scorer = PairScorer(model, processor, captions.sentences, grids)
    # Not the seed of `evaluate`: other captions are to judge what is chosen here.
    queries = random.Random(1).sample(range(len(captions.sentences)), min(sample, len(captions.sentences)))
    near = scorer.similarity()[queries].topk(min(candidates, len(pictures)))
    asked = torch.tensor(queries)[:, None].expand_as(near.indices)
    pairs = asked.flatten(), near.indices.flatten()
    logits, apart = (score(*pairs).view(asked.shape) for score in (scorer.match, scorer.match_apart))
    matches = captions.matches()[queries].gather(1, near.indices)
    found = matches.any(1)
    weight = model.similarity_weight.item()
    reached = {}
    for factor in FACTORS:
        scores = logits + (factor - 1) * weight * apart
        first = rank_of_first_match(scores[found], matches[found]) == 1
        reached[factor] = 100 * first.sum().item() / len(queries)
    model.similarity_weight.mul_(best_value(reached, 1.0))
    return reached
