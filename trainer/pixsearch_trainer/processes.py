"""A batch spread over processes, as one."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def gathered(local: Tensor) -> Tensor:
    """Rows [batch, ...] of this process -> rows of all processes, in the order of their ranks; gradients flow back.

    Each process's gradient of its own loss is averaged over processes afterwards (data-parallel training), so the mean
    of the processes' losses over the gathered rows is trained as if one process had the whole batch.
    """
    if not spread():
        return local
    if local.is_floating_point():
        return torch.cat(all_gather(local))
    pieces = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(pieces, local)
    return torch.cat(pieces)


def spread() -> bool:
    """Whether there is more than this process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def mean_over_processes(count: int, device: torch.device) -> float:
    """The mean of a number that each process has."""
    return gathered(torch.tensor([count], device=device)).float().mean().item()


def own_rows(count: int) -> slice:
    """Where this process's `count` rows stand among the gathered ones."""
    rank = dist.get_rank() if spread() else 0
    return slice(rank * count, (rank + 1) * count)
