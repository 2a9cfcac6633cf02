"""The stages of retrieval, each built from the material and its numbers; recipes put them in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.augmentation import Augmentation
from pixsearch_trainer.batches.pairs import pair_batches, pairs_by_weight
from pixsearch_trainer.objectives.joint import JointObjective, JointOptions, blocks_of_neighbours, nearest_pictures
from pixsearch_trainer.objectives.maps import MapsObjective, MapsOptions, pooled_batches
from pixsearch_trainer.objectives.pixels import PixelsObjective, PixelsOptions
from pixsearch_trainer.objectives.streams import StreamsObjective, StreamsOptions
from pixsearch_trainer.recipes.material import Material, fit_missing_statistics, steps_of
from pixsearch_trainer.run.schedules import cosine
from pixsearch_trainer.run.stage import Batches, Judge, Objective, Stage, StageOptions, adamw, train_only

_FIRST_SCALE = 20.0  # of late interaction, which is closed at 0


@dataclass(frozen=True, kw_only=True)
class LateOptions(StreamsOptions):
    """How words are taught to find pixels; the defaults won on Flickr8k's val (docs/experiments.md)."""

    steps: int | None = 1500
    batch: int = 192
    weight_decay: float = 0.05
    scale_learning_rate: float = 5e-2
    channel_dropout: float = 0.7
    itc_weight: float = 0.0
    looks: int = 3


@dataclass(frozen=True, kw_only=True)
class CnnOptions(StreamsOptions):
    """How the CNN is trained with what stands on it (docs/experiments.md, "A CNN that is trained too")."""

    batch: int = 512
    weight_decay: float = 0.02
    cnn_learning_rate: float = 2e-4
    layers_learning_rate: float = 0.0
    """Of the Transformer's layers; 0 leaves the text stream as it is."""
    warm_up: float = 0.15
    clip: float | None = 5.0
    looks: int = 4
    smallest_crop: float = 0.5
    stretch: float = 1.3
    light: float = 0.25


def maps_stage(material: Material, options: MapsOptions) -> Stage:
    """The embedding maps, on what a frozen CNN and a frozen text stream see; statistics first, where there are none."""
    network = material.network
    views = material.views()
    pooled = torch.stack([store.pooled() for store in views], dim=1).to(material.run.device)
    fit_missing_statistics(material)
    [maps] = train_only(network, network.maps)
    objective = MapsObjective(network.maps, material.sentences(), options, material.teacher)
    pairs_at = pairs_by_weight(material.training, material.draws(options), mirror=True, **material.place)
    optimizer = adamw(options, (maps, options.learning_rate))
    batches = pooled_batches(material.training, pairs_at, pooled)
    return _stage(material, objective, optimizer, batches, options, material.judge_streams())


def late_stage(material: Material, options: LateOptions) -> Stage:
    """Late interaction, on grids of a frozen CNN and words of a frozen text stream.

    It is trained beside the similarity, not on top of it: what is trained to mend the similarity's errors learns those
    of the training pictures by heart (docs/experiments.md).
    """
    network = material.network
    fit_missing_statistics(material)
    _open(network)
    late = network.late_interaction
    train_only(network, late)
    objective = StreamsObjective(network, material.sentences(), options)
    optimizer = adamw(
        options,
        ([p for p in late.parameters() if p is not late.scale], options.learning_rate),
        ([late.scale], options.scale_learning_rate),
    )
    batches = material.pair_batches(options, material.cached(), mirror=True)
    return _stage(material, objective, optimizer, batches, options, material.judge_streams())


def cnn_stage(material: Material, options: CnnOptions) -> Stage:
    """CNN, maps and late interaction by soft ITC on augmented pictures, and the Transformer's layers where they have a
    learning rate, held by a cosine to the sentences that they made before.
    """
    network = material.network
    fit_missing_statistics(material)
    _open(network)
    sentences = material.sentences()
    cnn, maps, late, layers = train_only(
        network, network.model.backbone, network.maps, network.late_interaction, network.model.layers
    )
    groups = [(cnn, options.cnn_learning_rate), ([*maps, *late], options.learning_rate)]
    if options.layers_learning_rate:
        groups.append((layers, options.layers_learning_rate))
        network.model.layers.train()
    else:
        network.model.layers.requires_grad_(False)
    objective = StreamsObjective(network, sentences, options, material.teacher)
    augmentation = Augmentation(options.smallest_crop, options.stretch, options.light)
    batches = material.pair_batches(options, material.pixels(material.training.pictures, augmentation), mirror=True)
    return _stage(material, objective, adamw(options, *groups), batches, options, material.judge_streams())


def pixels_stage(material: Material, options: PixelsOptions) -> Stage:
    """The pixels' way into a frozen Transformer."""
    network = material.network
    fit_missing_statistics(material)
    [*parts] = train_only(network, *pixel_parts(network))
    objective = PixelsObjective(network, material.sentences(), options)
    optimizer = adamw(
        options,
        ([p for part in parts for p in part], options.learning_rate),
        ([objective.log_scale], options.scale_learning_rate),
    )
    batches = material.pair_batches(options, material.cached(), mirror=True)
    return _stage(material, objective, optimizer, batches, options, judge=None)


def joint_stage(material: Material, options: JointOptions) -> Stage:
    """The joint stream, on grids of a frozen CNN; the streams are trained along, and held."""
    network = material.network
    fit_missing_statistics(material)
    views, sentences = material.views(), material.sentences()
    network.similarity_weight.data.fill_(options.similarity_weight)
    neighbours = _neighbours(material, views[0].pooled().to(sentences.device), sentences, options)
    options = replace(options, block=min(options.block, neighbours.shape[1] + 1))
    layers, maps, late, head, *pixels = train_only(
        network,
        network.model.layers,
        network.maps,
        network.late_interaction,
        network.itm_head,
        *pixel_parts(network),
    )
    network.late_weight.requires_grad_(True)
    network.model.layers.train()
    objective = JointObjective(network, sentences, options)
    optimizer = adamw(
        options,
        (layers, options.learning_rate),
        ([*head, *(p for part in pixels for p in part), *objective.mlm_head.parameters()], options.head_learning_rate),
        ([*maps, *late], options.maps_learning_rate),
        ([network.late_weight], options.scalar_learning_rate),
    )
    blocks = blocks_of_neighbours(material.training, neighbours, options, mirror=True, **material.place)
    source = material.cached()
    batches = pair_batches(material.training, blocks, source, material.run.processor, material.run.device)
    return _stage(material, objective, optimizer, batches, options, material.judge_match())


def pixel_parts(network: PixelBertForRetrieval) -> tuple[torch.nn.Module | torch.nn.Parameter, ...]:
    """What a pixel feature passes on its way into the Transformer."""
    return network.model.pixel_projection, network.model.pixel_norm, network.model.semantic_embedding


def _stage(
    material: Material,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    options: StageOptions,
    judge: Judge | None,
) -> Stage:
    steps = steps_of(options, material.draws(options))
    schedule = cosine(options.warm_up)
    return Stage(objective, [optimizer], batches, steps, schedule, options.clip, judge, options.looks, options.kept)


def _open(network: PixelBertForRetrieval) -> None:
    """Give late interaction a say, where it had none."""
    if network.late_interaction.closed:
        network.late_interaction.scale.data.fill_(_FIRST_SCALE)


@torch.no_grad()
def _neighbours(material: Material, pooled: Tensor, sentences: Tensor, options: JointOptions) -> Tensor:
    images = F.normalize(material.network.maps.image(pooled).float(), dim=-1)
    means = torch.stack([sentences[places].mean(0) for places in material.training.captions.of_picture])
    return nearest_pictures(images, means, options.caption_likeness, options.neighbours)
