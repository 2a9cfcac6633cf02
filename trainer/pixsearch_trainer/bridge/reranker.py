"""The re-ranker's training: image-text matching (ITM) in the joint stream, on pairs that the first stage finds hard.

Three things make it learn from a few thousand pictures, where binary ITM on in-batch negatives stays at the base rate:

- *Blocks of neighbours.* A batch is a handful of pictures that the first stage takes for one another, each with one
  of its captions. Every caption is matched with every picture of the block, and the loss is a softmax over each row
  (which picture?) and each column (which caption?): the paper's ranking loss (section 4.2), both ways.
- *Cross-fitting.* The similarity that a logit starts from, and by which neighbours are chosen, comes from first stages
  that were trained without these very pictures; on pictures that it knows by heart it would leave nothing to learn.
- *Captions that say the same* are soft targets of each other, so that a false negative is not punished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import torch
from torch import Tensor

from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval
from pixsearch_trainer.batches.draws import generator_of
from pixsearch_trainer.bridge.first_stage import CaptionTable, embed_pooled
from pixsearch_trainer.bridge.pixel_stream import pixel_parameters
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.losses import contrastive_loss, drift_loss, shared_captions, soft_targets
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.optimisation.loop import Stage
from pixsearch_trainer.optimisation.schedules import cosine


@dataclass(frozen=True)
class RerankerOptions:
    """How the joint stream is trained; the defaults are first choices, not screened yet (docs/experiments.md)."""

    steps: int = 1000
    block: int = 12
    """Pictures a block: block x block pairs go through the Transformer at once."""
    neighbours: int = 48
    """A block is drawn from this many of the first stage's nearest to its seed caption."""
    learning_rate: float = 1e-4
    head_learning_rate: float = 5e-4
    weight_learning_rate: float = 5e-2
    """Of the two numbers that weigh the first stage's similarity and the words' likeness to pixels."""
    weight_decay: float = 0.01
    pixel_dropout: float = 0.3
    sampled_pixels: int = 24
    """Pixels of each picture that a step reads, another random set each time (section 3.3); all when searching."""
    softness: float = 0.2
    drift_weight: float = 1.0


@dataclass(frozen=True)
class Fold:
    """Pictures that a first stage has not been trained on, and what it says of them."""

    members: Tensor
    """Places of the pictures [n]."""
    images: Tensor
    """Their unit embeddings [n, embedding_size]."""
    maps: EmbeddingMaps


def fold_of_each(pictures: int, folds: int, seed: int) -> Tensor:
    """Which fold each picture belongs to [pictures]; the folds are of one size, but for one picture."""
    order = torch.randperm(pictures, generator=generator_of(seed, 5))
    return order % folds


def fold_of(number: int, folds: Tensor, maps: EmbeddingMaps, pooled: Tensor) -> Fold:
    """The pictures of a fold as a first stage sees them that has been trained on the others.

    Args:
        folds: [all pictures], from `fold_of_each`.
        pooled: [all pictures, 2 * channels].
    """
    members = (folds == number).nonzero()[:, 0].to(pooled.device)
    with torch.no_grad():
        return Fold(members, embed_pooled(maps, pooled[members]), maps)


@dataclass(frozen=True)
class Block:
    """Pictures that look alike to the first stage, with a caption each."""

    pictures: Tensor
    """Places [block]."""
    captions: Tensor
    """Places [block]."""
    similarity: Tensor
    """The first stage's, [block captions, block pictures]."""
    names: list[str]
    """The pictures' files."""

    def __len__(self) -> int:
        return len(self.pictures)


def draw_blocks(
    folds: list[Fold],
    sentences: Tensor,
    captions: CaptionTable,
    weights: Tensor,
    from_label: Tensor,
    options: RerankerOptions,
    files: Sequence[str],
    first: int = 0,
) -> Iterator[Block]:
    """Blocks from the `first`-th on, the folds in turn: a seed, and pictures at random from the nearest to its caption.

    A block is captioned by people throughout or by labels throughout; else the style of a caption would give away which
    pictures it cannot belong to.

    Args:
        weights: how often each picture is a seed, relative to the others, [all pictures].
        from_label: [all pictures], True where the captions come from a label.
        files: of the pictures, for messages.
    """
    for fold in islice(cycle(folds), first % len(folds), None):
        seed = torch.multinomial(weights[fold.members], 1)  # a place among the members
        with torch.no_grad():
            query = fold.maps.text(sentences[captions.draw(fold.members[seed])])
            alike = from_label[fold.members] == from_label[fold.members[seed]]
            similarity = (query @ fold.images.T)[0].masked_fill(~alike, -torch.inf)
            nearest = similarity.topk(min(options.neighbours, int(alike.sum()))).indices
            others = nearest[nearest != seed]
            others = others[torch.randperm(len(others), device=others.device)[: options.block - 1]]
            chosen = torch.cat([seed, others])
            drawn = captions.draw(fold.members[chosen])
            similarity = fold.maps.text(sentences[drawn]) @ fold.images[chosen].T
        pictures = fold.members[chosen]
        yield Block(pictures, drawn, similarity, [files[place] for place in pictures.tolist()])


class RerankerObjective(Objective):
    """In a block each caption is to find its picture and each picture its caption; sentences stay where they were.

    Losses: `ranking`, `drift`, and for comparison `by_similarity`: what the first stage's similarity alone would have.
    """

    network: PixelBertForRetrieval

    def __init__(
        self,
        network: PixelBertForRetrieval,
        words_of: Callable[[Tensor], tuple[Tensor, Tensor]],
        grids: GridStore,
        sentences: Tensor,
        options: RerankerOptions,
    ) -> None:
        """Args:
        words_of: places of captions -> ids and mask [n, words].
        sentences: what the text stream said before, unit vectors [captions, width]; it is held there.
        """
        super().__init__()
        self.network, self.options = network, options
        self._words_of, self._grids, self._sentences = words_of, grids, sentences

    def forward(self, block: Block) -> dict[str, Tensor]:
        network, options = self.network, self.options
        ids, mask = self._words_of(block.captions)
        read = self._sentences[block.captions]
        targets = soft_targets(shared_captions(block.captions), read @ read.T, options.softness)
        grid, pixel_mask = sample_pixels(*self._grids.read(block.pictures.tolist()), options.sampled_pixels)
        pixels = network.model.read_pixels_alone(grid.to(read.device), options.pixel_dropout)
        logits = match_all(network, ids, mask, pixels, pixel_mask.to(read.device), block.similarity)
        ranking = contrastive_loss(logits, targets)
        drift = drift_loss(network.read_words(ids, mask).float(), read)
        with torch.no_grad():
            by_similarity = contrastive_loss(network.maps.scale * block.similarity, targets)
        loss = ranking + options.drift_weight * drift
        return {"loss": loss, "ranking": ranking, "drift": drift, "by_similarity": by_similarity}


def reranker(
    number: int,
    network: PixelBertForRetrieval,
    words_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    grids: GridStore,
    sentences: Tensor,
    blocks: Callable[[int], Iterator[Block]],
    options: RerankerOptions,
) -> Stage:
    """The stage that trains the joint stream in place; CNN, word embeddings and embedding maps stay as they are.

    Args:
        words_of, sentences: see `RerankerObjective`.
        blocks: from the n-th on, see `draw_blocks`.
    """
    network.requires_grad_(False)
    joint = [parameter for layer in network.model.layers for parameter in layer.parameters()]
    groups = [
        {"params": [*joint, *pixel_parameters(network)], "lr": options.learning_rate},
        {"params": list(network.itm_head.parameters()), "lr": options.head_learning_rate},
        {
            "params": [network.similarity_weight, network.late_weight],
            "lr": options.weight_learning_rate,
            "weight_decay": 0.0,
        },
    ]
    for group in groups:
        for parameter in group["params"]:  # type: ignore[attr-defined]
            parameter.requires_grad_(True)
    network.train()
    objective = RerankerObjective(network, words_of, grids, sentences, options)
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
    schedule = cosine(options.steps, round(0.05 * options.steps))
    return Stage(number, "re-ranker", objective, blocks, [optimizer], schedule, options.steps)


def match_all(
    model: PixelBertForRetrieval, ids: Tensor, mask: Tensor, pixels: Tensor, pixel_mask: Tensor, similarity: Tensor
) -> Tensor:
    """ITM logits of every caption with every picture, [captions, pictures].

    Args:
        ids, mask: [captions, words].
        pixels, pixel_mask: [pictures, pixels, width], from `read_pixels_alone`, and [pictures, pixels].
        similarity: [captions, pictures].
    """
    captions, pictures = similarity.shape
    logits = model.match_states(
        model.model.read_words_alone(ids, mask).repeat_interleave(pictures, dim=0),
        mask.repeat_interleave(pictures, dim=0),
        pixels.repeat(captions, 1, 1),
        similarity.flatten(),
        pixel_mask.repeat(captions, 1),
    )
    return logits.view(captions, pictures)
