"""Which parameters are optimised by what: as the paper has it, or AdamW with learning rates by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from pixsearch.model.pixel_bert import PixelBertModel


@dataclass(frozen=True)
class OptimizerOptions:
    """The paper's numbers (section 4.1), but for the choice of AdamW for the CNN too."""

    kind: Literal["adamw", "sgd+adamw"] = "adamw"
    """"sgd+adamw" is the paper's: SGD for the CNN, AdamW for all else."""
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    cnn_learning_rate: float | None = None
    """None is the paper's 1e-2 for SGD; for AdamW, to which that is far too much, a tenth of the Transformer's."""
    cnn_weight_decay: float = 5e-4
    cnn_momentum: float = 0.9
    layer_decay: float = 1.0
    """Each Transformer layer learns so many times as fast as the one above; the embeddings below as one layer more."""


def build_optimizers(
    objective: nn.Module, model: PixelBertModel, options: OptimizerOptions
) -> list[torch.optim.Optimizer]:
    """Optimisers of all parameters of the objective that want a gradient.

    Args:
        objective: holds `model` and the heads above it.
    """
    cnn = {id(parameter) for parameter in model.backbone.parameters()}
    depth = _depths(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    below: list[nn.Parameter] = []
    for parameter in objective.parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in cnn:
            below.append(parameter)
            continue
        rate = options.learning_rate * options.layer_decay ** depth.get(id(parameter), 0)
        decay = options.weight_decay if parameter.dim() > 1 else 0.0  # neither biases nor norms decay
        groups.setdefault((rate, decay), []).append(parameter)
    adamw = [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]
    if not below:
        return [torch.optim.AdamW(adamw)]
    cnn_rate = options.cnn_learning_rate
    if cnn_rate is None:
        cnn_rate = 1e-2 if options.kind == "sgd+adamw" else options.learning_rate / 10
    cnn_group = {"params": below, "lr": cnn_rate, "weight_decay": options.cnn_weight_decay}
    if options.kind == "adamw":
        return [torch.optim.AdamW([*adamw, cnn_group])]
    return [torch.optim.AdamW(adamw), torch.optim.SGD([cnn_group], momentum=options.cnn_momentum)]


def _depths(model: PixelBertModel) -> dict[int, int]:
    """How many layers lie between the top of the Transformer and a parameter of its layers or embeddings."""
    count = len(model.layers)
    depths = {id(p): count - place for place, layer in enumerate(model.layers) for p in layer.parameters()}
    embeddings = [*model.word_embedding.parameters(), *model.pixel_projection.parameters()]
    embeddings += [*model.pixel_norm.parameters(), model.semantic_embedding]
    if model.pixel_positions is not None:
        embeddings.append(model.pixel_positions)
    return depths | {id(parameter): count + 1 for parameter in embeddings}
