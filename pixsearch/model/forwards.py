"""What a search asks of a Pixel-BERT, one module for each question: a GPU runs them as they are, a CPU compiled.

Each takes tensors and gives one tensor, and decides nothing by their values, so that tracing it sees all there is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixsearch.model.pixel_bert import PixelBertForRetrieval


class Forward(nn.Module):
    """One question to a network."""

    def __init__(self, network: PixelBertForRetrieval) -> None:
        super().__init__()
        self.network = network

    def example(self) -> tuple[Tensor, ...]:
        """Inputs to trace it with; where a size may vary it is neither 1 nor like another one."""
        raise NotImplementedError

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The sizes of its inputs, -1 for those that vary."""
        raise NotImplementedError

    def _words(self) -> tuple[Tensor, Tensor]:
        ids = torch.zeros(2, 7, dtype=torch.int64)
        return ids, torch.ones_like(ids, dtype=torch.bool)

    def _grids(self, count: int) -> Tensor:
        return torch.rand(count, self.network.config.pixels(1, 1), self.network.model.backbone.channels)

    @property
    def _grid_size(self) -> tuple[int, int]:
        """Pixels and channels of every grid."""
        config = self.network.config
        return config.pixels(1, 1) if config.resize == "squash" else -1, self.network.model.backbone.channels


class EncodePictures(Forward):
    """RGB pictures of one size, uint8 [batch, height, width, 3] -> grids [batch, pixels, channels]."""

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
    """Grids [batch, pixels, channels] -> unit vectors [batch, embedding_size]."""

    def forward(self, grids: Tensor) -> Tensor:
        return self.network.embed_image(grids)

    def example(self) -> tuple[Tensor, ...]:
        return (self._grids(2),)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return ((-1, *self._grid_size),)


class ReadTexts(Forward):
    """Ids and mask [batch, words] -> all that later stages need of texts, [batch, 1 + words, embedding_size + 1].

    The first row is the embedding and the offset of late interaction, the others are each word's vector and weight
    (`LateInteraction.map_words`, `weigh`); offset and weights are divided by the scale of similarities, as in
    `PixelBertForRetrieval.late_score`. A word that the mask hides weighs 0.
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
    """Grids [batch, pixels, channels], their mask [batch, pixels] and the vectors of words [words, embedding_size] ->
    the cosine of each word and the pixel that is nearest to it, [batch, words]."""

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
    """`PixelBertForRetrieval.match`: ITM logits [batch]; one sentence or picture goes with all."""

    def forward(self, ids: Tensor, mask: Tensor, grids: Tensor, pixel_mask: Tensor, late_score: Tensor) -> Tensor:
        return self.network.match(ids, mask, grids, late_score, pixel_mask)

    def example(self) -> tuple[Tensor, ...]:
        grids = self._grids(2)
        return *self._words(), grids, torch.ones(grids.shape[:2], dtype=torch.bool), torch.rand(2)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return (-1, -1), (-1, -1), (-1, *self._grid_size), (-1, self._grid_size[0]), (-1,)


class LocateWords(Forward):
    """A grid [1, pixels, channels] and the vectors of words [words, embedding_size] -> the cosine of each word and each
    pixel, [words, pixels]."""

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
