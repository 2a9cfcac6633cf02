"""Build the retrieval stages from the material and their options."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.draws import Draw
from pixsearch_trainer.batches.sources import Augmentation, Source, pooled_grids
from pixsearch_trainer.objectives.joint import JointObjective, JointOptions, blocks_of_neighbours, nearest_pictures
from pixsearch_trainer.objectives.streams import (
    ClassOptions,
    MapsObjective,
    MapsOptions,
    PixelsObjective,
    PixelsOptions,
    StreamsObjective,
    StreamsOptions,
)
from pixsearch_trainer.recipes.material import Material, fit_missing_statistics
from pixsearch_trainer.run.stage import Judge, Objective, Stage, StageOptions, adamw, train_only

_FIRST_SCALE = 20.0  # the initial scale of late interaction, which is closed at a scale of 0


@dataclass(frozen=True, kw_only=True)
class LateOptions(StreamsOptions):
    """The options for training late interaction. The defaults were the best on Flickr8k's val (docs/history.md)."""

    steps: int | None = 1500
    batch: int = 192
    weight_decay: float = 0.05
    scale_learning_rate: float = 5e-2
    channel_dropout: float = 0.7
    itc_weight: float = 0.0
    looks: int = 3


@dataclass(frozen=True, kw_only=True)
class CnnOptions(StreamsOptions, ClassOptions):
    """The options for training the CNN together with the parts that use it (see docs/history.md)."""

    batch: int = 512
    weight_decay: float = 0.02
    cnn_learning_rate: float = 2e-4
    layers_learning_rate: float = 0.0
    """The learning rate of the Transformer's layers; 0 leaves the text stream unchanged."""
    warm_up: float = 0.15
    clip: float | None = 5.0
    looks: int = 4
    smallest_crop: float = 0.5
    stretch: float = 1.3
    light: float = 0.25


def maps_stage(material: Material, options: MapsOptions) -> Stage:
    """Build the stage that trains the embedding maps on the outputs of a frozen CNN and a frozen text stream."""
    network = _prepared(material)
    pooled = torch.stack([store.pooled() for store in material.views()], dim=1).to(material.run.device)
    rates = train_only(network, (options.learning_rate, [network.maps]))
    teachers = material.teacher, material.classes(options)
    objective = MapsObjective(network, material.texts(), options, *teachers)
    return _stage(material, objective, options, rates, pooled_grids(pooled), material.judge_streams(), words=False)


def late_stage(material: Material, options: LateOptions) -> Stage:
    """Build the stage that trains late interaction on the outputs of a frozen CNN and a frozen text stream.

    Late interaction is trained independently of the similarity. If it were trained to correct the similarity's errors,
    it would memorise the errors on the training pictures (docs/history.md).
    """
    network = _prepared(material)
    _open(network, options)
    late = network.late_interaction
    rates = train_only(network, (options.learning_rate, [late]), (options.scale_learning_rate, [late.scale]))
    objective = StreamsObjective(network, material.texts(), options)
    return _stage(material, objective, options, rates, material.cached(), material.judge_streams())


def cnn_stage(material: Material, options: CnnOptions) -> Stage:
    """Build the stage that trains the CNN, the maps and late interaction, with soft ITC on augmented pictures.

    The Transformer's layers are also trained if their learning rate is not 0. A cosine loss then keeps the
    embeddings of sentences from drifting.
    """
    network = _prepared(material)
    _open(network, options)
    texts = material.texts()
    layers = [network.model.layers] if options.layers_learning_rate else []
    rates = train_only(
        network,
        (options.cnn_learning_rate, [network.model.backbone]),
        (options.learning_rate, [network.maps, network.late_interaction]),
        (options.layers_learning_rate, layers),
    )
    network.model.layers.train(bool(layers))
    teachers = material.teacher, material.classes(options)
    objective = StreamsObjective(network, texts, options, *teachers)
    augmentation = Augmentation(options.smallest_crop, options.stretch, options.light)
    source = material.pixels(material.training.pictures, augmentation)
    return _stage(material, objective, options, rates, source, material.judge_streams())


def pixels_stage(material: Material, options: PixelsOptions) -> Stage:
    """Build the stage that trains the projection of pixels into a frozen Transformer."""
    network = _prepared(material)
    objective = PixelsObjective(network, material.texts(), options)
    rates = train_only(
        network,
        (options.learning_rate, pixel_parts(network)),
        (options.scale_learning_rate, [objective.log_scale]),
    )
    return _stage(material, objective, options, rates, material.cached(), judge=None)


def joint_stage(material: Material, options: JointOptions) -> Stage:
    """Build the stage that trains the joint stream on grids of a frozen CNN.

    The text and image streams are also trained, but are kept from drifting.
    """
    network = _prepared(material)
    texts = material.texts()
    network.similarity_weight.data.fill_(options.similarity_weight)
    neighbours = _neighbours(material, texts.vectors, options)
    late_weight = 0.0 if network.late_interaction.closed else options.late_weight
    options = replace(options, block=min(options.block, neighbours.shape[1] + 1), late_weight=late_weight)
    objective = JointObjective(network, texts, options)
    rates = train_only(
        network,
        (options.learning_rate, [network.model.layers]),
        (options.head_learning_rate, [network.itm_head, *pixel_parts(network), objective.mlm_head]),
        (options.maps_learning_rate, [network.maps, network.late_interaction]),
        (options.scalar_learning_rate, [network.late_weight]),
    )
    network.model.layers.train()
    draw = blocks_of_neighbours(material.draws(options), neighbours, options.block)
    return _stage(material, objective, options, rates, material.cached(), material.judge_match(), draw)


def pixel_parts(network: PixelBertForRetrieval) -> tuple[nn.Module | nn.Parameter, ...]:
    """Return the parts of the network between a pixel feature and the Transformer."""
    return network.model.pixel_projection, network.model.pixel_norm, network.model.semantic_embedding


def _prepared(material: Material) -> PixelBertForRetrieval:
    network = material.network
    fit_missing_statistics(material, network.maps, network.model)
    return network


def _open(network: PixelBertForRetrieval, options: StreamsOptions) -> None:
    """Open late interaction if it is closed, and set the weight of its scores in a match."""
    network.similarity_weight.data.fill_(options.similarity_weight)
    if network.late_interaction.closed:
        network.late_interaction.scale.data.fill_(_FIRST_SCALE)


def _stage(
    material: Material,
    objective: Objective,
    options: StageOptions,
    rates: dict[nn.Parameter, float],
    source: Source,
    judge: Judge | None,
    draw: Draw | None = None,
    words: bool = True,
) -> Stage:
    """Build a stage that trains on pairs with AdamW. The pairs are drawn by weight unless `draw` is given."""
    draws = material.draws(options)
    batches = material.batches(draw or draws.at, source, mirror=True, words=words)
    return Stage(objective, [adamw(options, rates)], batches, options, judge, draws.steps_an_epoch)


@torch.no_grad()
def _neighbours(material: Material, sentences: Tensor, options: JointOptions) -> Tensor:
    pooled = material.views()[0].pooled().to(sentences.device)
    images = F.normalize(material.network.maps.image(pooled).float(), dim=-1)
    means = torch.stack([sentences[own].mean(0) for own in material.training.captions.of_picture])
    return nearest_pictures(images, means, options.caption_likeness, options.neighbours)
