"""The forward passes of a Pixel-BERT during a search, one module each. torch runs them on a GPU, OpenVINO on a CPU.

Each module takes tensors and returns one tensor. It never branches on tensor values, so a trace captures it completely.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixsearch.model.pixel_bert import PixelBertForRetrieval


class Forward(nn.Module):
    """The base class for a forward pass through a network."""

    def __init__(self, network: PixelBertForRetrieval) -> None:
        super().__init__()
        self.network = network

    def example(self) -> tuple[Tensor, ...]:
        """Return example inputs for tracing. Each size that may vary differs from 1 and from all other sizes."""
        raise NotImplementedError

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each input, with -1 for sizes that may vary."""
        raise NotImplementedError

    def _words(self) -> tuple[Tensor, Tensor]:
        ids = torch.zeros(2, 7, dtype=torch.int64)
        return ids, torch.ones_like(ids, dtype=torch.bool)

    def _grids(self, count: int) -> Tensor:
        return torch.rand(count, self.network.config.pixels(1, 1), self.network.model.backbone.channels)

    @property
    def _grid_size(self) -> tuple[int, int]:
        """The number of pixels and channels in a grid, with -1 if the number of pixels varies."""
        config = self.network.config
        return config.pixels(1, 1) if config.resize == "squash" else -1, self.network.model.backbone.channels


class EncodePictures(Forward):
    """Encode equally sized RGB pictures, uint8 [batch, height, width, 3], as grids [batch, pixels, channels]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: PixelBertForRetrieval) -> None:
        super().__init__(network)
        backbone = network.model.backbone
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(backbone.std), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network.encode_grid(((pictures - self.mean) / self.std).permute(0, 3, 1, 2))

    def example(self) -> tuple[Tensor, ...]:
        edge = self.network.config.input_size
        return (torch.zeros(2, edge, edge, 3, dtype=torch.uint8),)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        edge = self.network.config.input_size if self.network.config.resize == "squash" else -1
        return ((-1, edge, edge, 3),)


class EmbedPictures(Forward):
    """Map grids [batch, pixels, channels] to unit vectors [batch, embedding_size]."""

    def forward(self, grids: Tensor) -> Tensor:
        return self.network.embed_image(grids)

    def example(self) -> tuple[Tensor, ...]:
        return (self._grids(2),)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return ((-1, *self._grid_size),)


class ReadTexts(Forward):
    """Encode texts, given as ids and mask [batch, words], for all stages: [batch, 1 + words, embedding_size + 1].

    The first row of each text is its embedding and its late interaction offset. Each of the other rows is the vector
    and the weight of a word (`LateInteraction.map_words`, `weigh`). The offset and the weights are divided by the scale
    of similarities, as in `PixelBertForRetrieval.late_score`. Masked words have a weight of 0.
    """

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        network = self.network
        words = network.read_each_word(ids, mask)
        weight, offset = network.late_interaction.weigh(words, mask)
        factors = torch.cat([offset[:, None], weight], dim=1) / network.maps.scale  # [batch, 1 + words]
        embedding = network.embed_words(words, mask)
        vectors = torch.cat([embedding[:, None], network.late_interaction.map_words(words)], dim=1)
        return torch.cat([vectors, factors[..., None]], dim=2)

    def example(self) -> tuple[Tensor, ...]:
        return self._words()

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return (-1, -1), (-1, -1)


class FindWords(Forward):
    """Compute the cosine of each word with its nearest pixel in each picture [batch, words].

    The inputs are grids [batch, pixels, channels], their mask [batch, pixels], and word vectors
    [words, embedding_size].
    """

    def forward(self, grids: Tensor, pixel_mask: Tensor, vectors: Tensor) -> Tensor:
        pixels = self.network.late_interaction.map_pixels(self.network.model.standardise(grids))
        cosines = pixels @ vectors.T  # [batch, pixels, words]
        return cosines.masked_fill(~pixel_mask[..., None], -2.0).amax(1)

    def example(self) -> tuple[Tensor, ...]:
        grids = self._grids(2)
        return grids, torch.ones(grids.shape[:2], dtype=torch.bool), torch.rand(7, self.network.config.embedding_size)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return (-1, *self._grid_size), (-1, self._grid_size[0]), (-1, self.network.config.embedding_size)


class Match(Forward):
    """Compute the ITM logits of pairs [batch] with `PixelBertForRetrieval.match`.

    All pairs may share a single sentence or picture.
    """

    def forward(self, ids: Tensor, mask: Tensor, grids: Tensor, pixel_mask: Tensor, late_score: Tensor) -> Tensor:
        return self.network.match(ids, mask, grids, late_score, pixel_mask)

    def example(self) -> tuple[Tensor, ...]:
        grids = self._grids(2)
        return *self._words(), grids, torch.ones(grids.shape[:2], dtype=torch.bool), torch.rand(2)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return (-1, -1), (-1, -1), (-1, *self._grid_size), (-1, self._grid_size[0]), (-1,)


class LocateWords(Forward):
    """Compute the cosine of each word with each pixel of one picture [words, pixels].

    The inputs are a grid [1, pixels, channels] and word vectors [words, embedding_size].
    """

    def forward(self, grid: Tensor, vectors: Tensor) -> Tensor:
        pixels = self.network.late_interaction.map_pixels(self.network.model.standardise(grid))
        return vectors @ pixels[0].T

    def example(self) -> tuple[Tensor, ...]:
        return self._grids(1), torch.rand(7, self.network.config.embedding_size)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return (1, *self._grid_size), (-1, self.network.config.embedding_size)


FORWARDS: dict[str, type[Forward]] = {
    "encode_pictures": EncodePictures,
    "embed_pictures": EmbedPictures,
    "read_texts": ReadTexts,
    "find_words": FindWords,
    "match": Match,
    "locate_words": LocateWords,
}
