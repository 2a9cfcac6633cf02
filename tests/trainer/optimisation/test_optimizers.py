"""Which parameters are optimised by what, and how fast."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions, build_optimizers


@pytest.fixture
def network(tiny_start: Path) -> PixelBertForRetrieval:
    """Two layers; a layer's rate is counted from the heads above it."""
    return load_checkpoint(tiny_start)[0].requires_grad_(True)


def group_of(optimizers: list[torch.optim.Optimizer], parameter: Tensor) -> tuple[int, float, float]:
    """Which optimiser has a parameter, and its learning rate and weight decay there."""
    [found] = [
        (number, group["lr"], group["weight_decay"])
        for number, optimizer in enumerate(optimizers)
        for group in optimizer.param_groups
        if any(parameter is one for one in group["params"])
    ]
    return found


def test_the_papers_numbers_are_the_defaults(network: PixelBertForRetrieval) -> None:
    options = OptimizerOptions(kind="sgd+adamw")

    optimizers = build_optimizers(network, network.model, options)

    assert group_of(optimizers, network.maps.text_map.weight) == (0, 1e-4, 1e-2)
    assert group_of(optimizers, next(network.model.backbone.parameters())) == (1, 1e-2, 5e-4)


def test_sgd_has_the_cnn_and_adamw_all_else(network: PixelBertForRetrieval) -> None:
    optimizers = build_optimizers(network, network.model, OptimizerOptions(kind="sgd+adamw"))

    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.AdamW, torch.optim.SGD]
    sgd = {id(parameter) for group in optimizers[1].param_groups for parameter in group["params"]}
    assert sgd == {id(parameter) for parameter in network.model.backbone.parameters()}
    assert optimizers[1].param_groups[0]["momentum"] == 0.9
    every = [parameter for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]]
    assert len(every) == len({id(parameter) for parameter in every}) == len(list(network.parameters()))


def test_one_adamw_may_have_all_with_the_cnns_own_rate(network: PixelBertForRetrieval) -> None:
    [adamw] = build_optimizers(network, network.model, OptimizerOptions(cnn_learning_rate=1e-5))

    assert group_of([adamw], next(network.model.backbone.parameters()))[1:] == (1e-5, 5e-4)
    [adamw] = build_optimizers(network, network.model, OptimizerOptions(learning_rate=1e-3))
    assert group_of([adamw], next(network.model.backbone.parameters()))[1] == pytest.approx(1e-4)


def test_what_is_frozen_is_in_no_optimiser(network: PixelBertForRetrieval) -> None:
    network.model.backbone.requires_grad_(False)

    [adamw] = build_optimizers(network, network.model, OptimizerOptions(kind="sgd+adamw"))

    frozen = {id(parameter) for parameter in network.model.backbone.parameters()}
    assert not any(id(parameter) in frozen for group in adamw.param_groups for parameter in group["params"])


def test_matrices_decay_and_biases_and_norms_do_not(network: PixelBertForRetrieval) -> None:
    optimizers = build_optimizers(network, network.model, OptimizerOptions())

    for parameter, decay in (
        (network.maps.text_map.weight, 1e-2),
        (network.maps.text_map.bias, 0),
        (network.model.pixel_norm.weight, 0),
        (network.similarity_weight, 0),
    ):
        assert group_of(optimizers, parameter)[2] == decay


def test_each_layer_learns_so_many_times_as_fast_as_the_one_above(network: PixelBertForRetrieval) -> None:
    optimizers = build_optimizers(network, network.model, OptimizerOptions(learning_rate=1.0, layer_decay=0.5))

    lower, upper = network.model.layers
    for parameter, rate in (
        (network.maps.text_map.weight, 1.0),
        (next(upper.parameters()), 0.5),
        (next(lower.parameters()), 0.25),
        (network.model.word_embedding.word_embeddings.weight, 0.125),
        (network.model.pixel_projection.weight, 0.125),
        (network.model.semantic_embedding, 0.125),
    ):
        assert group_of(optimizers, parameter)[1] == pytest.approx(rate)
