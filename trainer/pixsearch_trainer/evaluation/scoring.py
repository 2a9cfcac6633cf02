"""Scores of captions with pictures, by both stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixsearch.model.devices import autocast
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.features import GridStore

_PAIRS_A_BATCH = 64
_EMBEDDINGS_A_BATCH = 256


class PairScorer:
    """Scores captions with pictures, both given by their places."""

    def __init__(
        self,
        model: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        sentences: Sequence[str],
        grids: GridStore,
    ) -> None:
        self._model, self._processor, self._sentences, self._grids = model, processor, sentences, grids
        self._device = next(model.parameters()).device
        self._texts = self._in_batches(self.embed_captions, len(sentences))
        self._images = self._in_batches(self.embed_pictures, len(grids))

    def embed_captions(self, places: Sequence[int]) -> Tensor:
        """Unit vectors [captions, embedding_size], fp32."""
        with autocast(self._device):
            return self._model.embed_text(*self._words([self._sentences[place] for place in places])).float()

    def embed_pictures(self, places: Sequence[int]) -> Tensor:
        """Unit vectors [pictures, embedding_size], fp32, from their grids."""
        with autocast(self._device):
            return self._model.embed_image(*self._grid(places)).float()

    def similarity(self) -> Tensor:
        """[captions, pictures] on the CPU."""
        return (self._texts @ self._images.T).cpu()

    def find_pictures(self, caption: int, k: int) -> Tensor:
        """What the first stage does for one caption: the k nearest pictures."""
        return (self.embed_captions([caption]) @ self._images.T).topk(k).indices[0].cpu()

    def find_captions(self, picture: int, k: int) -> Tensor:
        """And for one picture, whose grid is known: the k nearest captions."""
        return (self.embed_pictures([picture]) @ self._texts.T).topk(k).indices[0].cpu()

    def match(self, captions: Tensor, pictures: Tensor) -> Tensor:
        """ITM logits [n] of captions [n] with pictures [n]."""
        return self._of_pairs(self._model.match, captions, pictures)

    def match_apart(self, captions: Tensor, pictures: Tensor) -> Tensor:
        """What the two streams say of them apart [n]."""
        return self._of_pairs(self._model.match_apart, captions, pictures)

    def _of_pairs(self, score: Callable[..., Tensor], captions: Tensor, pictures: Tensor) -> Tensor:
        scores = []
        for texts, images in zip(captions.split(_PAIRS_A_BATCH), pictures.split(_PAIRS_A_BATCH), strict=True):
            ids, mask = self._words([self._sentences[place] for place in texts.tolist()])
            grid, pixel_mask = self._grid(images.tolist())
            similarity = (self._texts[texts] * self._images[images]).sum(1)
            with autocast(self._device):
                scores.append(score(ids, mask, grid, similarity, pixel_mask).float().cpu())
        return torch.cat(scores)

    def _in_batches(self, embed: Callable[[Sequence[int]], Tensor], count: int) -> Tensor:
        size = _EMBEDDINGS_A_BATCH
        return torch.cat([embed(range(start, min(start + size, count))) for start in range(0, count, size)])

    def _grid(self, pictures: Sequence[int]) -> tuple[Tensor, Tensor]:
        grid, pixel_mask = self._grids.read(pictures)
        return grid.to(self._device), pixel_mask.to(self._device)

    def _words(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids, mask = word_tensors(self._processor, sentences)
        return ids.to(self._device), mask.to(self._device)
