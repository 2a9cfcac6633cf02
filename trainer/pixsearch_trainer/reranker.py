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

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval
from pixsearch.model.runtime import autocast
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.first_stage import CaptionTable, embed_pooled
from pixsearch_trainer.losses import contrastive_loss, drift_loss, shared_captions, soft_targets
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.pixel_stream import pixel_parameters


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


def cross_fit(
    train: Callable[[EmbeddingMaps, Tensor], None],
    fresh_maps: Callable[[], EmbeddingMaps],
    pooled: Tensor,
    pictures: Tensor,
    folds: int,
) -> list[Fold]:
    """Train a first stage for each fold on the pictures of all the others.

    Args:
        train: trains maps in place on the pictures (places [n]) it is given.
        fresh_maps: makes untrained maps with their statistics fitted.
        pooled: [all pictures, 2 * channels].
        pictures: places of the training pictures.
        folds: how many; 1 trains on all and judges the same, for data sets too small to be split.
    """
    fold_of = torch.randperm(len(pictures), device=pictures.device) % folds
    fitted = []
    for fold in range(folds):
        members = pictures[fold_of == fold]
        maps = fresh_maps()
        train(maps, pictures[fold_of != fold] if folds > 1 else pictures)
        with torch.no_grad():
            images = embed_pooled(maps, pooled[members])
        fitted.append(Fold(members, images, maps))
    return fitted


@dataclass(frozen=True)
class Block:
    """Pictures that look alike to the first stage, with a caption each."""

    pictures: Tensor
    """Places [block]."""
    captions: Tensor
    """Places [block]."""
    similarity: Tensor
    """The first stage's, [block captions, block pictures]."""


def draw_blocks(
    folds: list[Fold],
    sentences: Tensor,
    captions: CaptionTable,
    weights: Tensor,
    from_label: Tensor,
    options: RerankerOptions,
) -> Iterator[Block]:
    """Blocks without end, the folds in turn: a seed, then pictures at random from the nearest to its caption.

    A block is captioned by people throughout or by labels throughout; else the style of a caption would give away which
    pictures it cannot belong to.

    Args:
        weights: how often each picture is a seed, relative to the others, [all pictures].
        from_label: [all pictures], True where the captions come from a label.
    """
    while True:
        for fold in folds:
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
            yield Block(fold.members[chosen], drawn, similarity)


def train_reranker(
    model: PixelBertForRetrieval,
    words_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    grids: GridStore,
    sentences: Tensor,
    blocks: Iterator[Block],
    options: RerankerOptions,
    every: Callable[[int], None],
    on_progress: ProgressCallback = silent,
) -> None:
    """Train the joint stream in place; the CNN, the word embeddings and the embedding maps stay as they are.

    Args:
        words_of: places of captions -> ids and mask [n, words].
        sentences: what the text stream said before, unit vectors [captions, width]; it is held there.
        every: called after each step with its number, to measure or save.
    """
    device = sentences.device
    joint = [parameter for layer in model.model.layers for parameter in layer.parameters()]
    head = list(model.itm_head.parameters())
    weights = [model.similarity_weight, model.late_weight]
    optimizer = torch.optim.AdamW(
        [
            {"params": joint, "lr": options.learning_rate},
            {"params": pixel_parameters(model), "lr": options.learning_rate},
            {"params": head, "lr": options.head_learning_rate},
            {"params": weights, "lr": options.weight_learning_rate, "weight_decay": 0.0},
        ],
        weight_decay=options.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=options.steps + 1,
        pct_start=0.05,
    )
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    model.train()
    model.model.backbone.eval()
    plain = gained = 0.0  # running means of the loss of the similarity alone, and of what the joint stream takes off it
    for step in range(1, options.steps + 1):
        block = next(blocks)
        ids, mask = words_of(block.captions)
        read = sentences[block.captions]
        targets = soft_targets(shared_captions(block.captions), read @ read.T, options.softness)
        with autocast(device):
            grid, pixel_mask = sample_pixels(*grids.read(block.pictures.tolist()), options.sampled_pixels)
            pixels = model.model.read_pixels_alone(grid.to(device), options.pixel_dropout)
            logits = match_all(model, ids, mask, pixels, pixel_mask.to(device), block.similarity)
            drift = drift_loss(model.read_words(ids, mask).float(), read)
        loss = contrastive_loss(logits, targets)
        (loss + options.drift_weight * drift).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        with torch.no_grad():
            before = contrastive_loss(model.maps.scale * block.similarity, targets).item()
        weight = max(0.01, 1 / step)
        plain += weight * (before - plain)
        gained += weight * (before - loss.item() - gained)
        note = f"loss {plain - gained:.3f}, by similarity alone {plain:.3f}"
        on_progress(Progress("re-ranker", step, options.steps, note))
        every(step)
    model.eval()


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
