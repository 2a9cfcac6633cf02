"""Random sampling of pixels (section 3.3): a step reads some of a picture's pixels, to spare time and regularise."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_pixels(grid: Tensor, pixel_mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """At most `count` pixels of each picture, a random set for each; of a picture that has fewer, all.

    Args:
        grid: [pictures, pixels, channels].
        pixel_mask: [pictures, pixels], True where a pixel stands.

    Returns:
        [pictures, min(count, pixels), channels] and its mask.
    """
    order = torch.rand(pixel_mask.shape, device=grid.device).masked_fill(~pixel_mask, 2.0)  # padding comes last
    chosen = order.argsort(1)[:, :count]
    return grid.gather(1, chosen[..., None].expand(-1, -1, grid.shape[2])), pixel_mask.gather(1, chosen)


def sample_for_pretraining(grid: Tensor, pixel_mask: Tensor, count: int = 100) -> tuple[Tensor, Tensor]:
    """The paper's 100 pixels of each picture, or half of them where there are fewer than 200.

    The paper's grids have some 240 pixels. Ours may have 49, of which 100 would be all, and nothing sampled.
    Arguments and result as of `sample_pixels`.
    """
    wanted = ((pixel_mask.sum(1) + 1) // 2).clamp(max=count)  # [pictures]
    sampled, mask = sample_pixels(grid, pixel_mask, int(wanted.max()))
    return sampled, mask & (torch.arange(mask.shape[1], device=mask.device) < wanted[:, None])
