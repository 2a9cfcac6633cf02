"""Measure a network on val during training: R@1 of the two streams, or of the joint stream on a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixsearch.model.devices import autocast
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.evaluation.recall import Recall, rank_of_first_match
from pixsearch_trainer.grids import GridStore
from pixsearch_trainer.losses import cosines
from pixsearch_trainer.run.stage import Judge

_CAPTIONS_AT_ONCE = 64
_PICTURES_AT_ONCE = 64
_QUERIES = 200  # the number of text-to-image queries whose results the joint stream re-ranks
_CANDIDATES = 16


class ValStreams:
    """The scores of a network's two streams for every pair of a caption and a picture in val."""

    def __init__(
        self,
        network: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        pictures: Sequence[CaptionedPicture],
        grids: GridStore,
    ) -> None:
        self.network, self.grids, self.captions = network, grids, Captions.of(pictures)
        device = network.model.semantic_embedding.device
        read, similarities, scores = list[tuple[Tensor, Tensor]](), list[Tensor](), list[Tensor]()
        with autocast(device):
            for start in range(0, len(self.captions.sentences), _CAPTIONS_AT_ONCE):
                ids, mask = word_tensors(processor, self.captions.sentences[start : start + _CAPTIONS_AT_ONCE])
                read.append((network.read_each_word(ids.to(device), mask.to(device)), mask.to(device)))
            texts = torch.cat([network.embed_words(*one) for one in read])
            for start in range(0, len(grids), _PICTURES_AT_ONCE):
                grid, pixel_mask = grids.read(range(start, min(start + _PICTURES_AT_ONCE, len(grids))))
                grid, pixel_mask = grid.to(device), pixel_mask.to(device)
                similarity = cosines(texts, network.embed_image(grid, pixel_mask))  # in bf16, many would be equal
                similarities.append(similarity)
                if network.late_interaction.closed:
                    scores.append(similarity)
                    continue
                grid = network.model.standardise(grid)
                found = [network.late_interaction.every_pair(*one, grid, pixel_mask) for one in read]
                scores.append(similarity + torch.cat(found) / network.maps.scale)
        self.similarity = torch.cat(similarities, dim=1).cpu()
        """The similarity of each pair [captions, pictures]."""
        self.scores = torch.cat(scores, dim=1).cpu()
        """The sum of similarity and late interaction for each pair [captions, pictures]."""
        self.matches = torch.from_numpy(self.captions.matches())


def judge_streams(val: Callable[[], ValStreams]) -> Judge:
    """Return a judge of the two streams alone. The score is the mean R@1 of both directions."""

    def judge() -> tuple[float, dict[str, object]]:
        streams = val()
        to_image = _recall(streams.scores, streams.matches)
        to_text = _recall(streams.scores.T, streams.matches.T)
        figures = {"text_to_image": to_image.as_json(), "image_to_text": to_text.as_json()}
        return (to_image.r1 + to_text.r1) / 2, {"pictures": len(streams.grids), **figures}

    return judge


def judge_match(val: Callable[[], ValStreams], processor: PixelBertProcessor) -> Judge:
    """Return a judge of the ITM logits of sampled captions with their nearest pictures.

    The judge also sets whether the network re-ranks by default. The score is the better R@1 of the two orders.
    """

    def judge() -> tuple[float, dict[str, object]]:
        streams = val()
        generator = torch.Generator().manual_seed(1)
        queries = torch.randperm(len(streams.similarity), generator=generator)[:_QUERIES]
        similarity, matches = streams.similarity[queries], streams.matches[queries]
        nearest = similarity.topk(min(_CANDIDATES, similarity.shape[1])).indices
        logits = _match(streams, processor, queries, nearest, streams.scores[queries].gather(1, nearest))
        # Pictures that are not candidates rank after all candidates.
        order = (similarity - 1e6).scatter(1, nearest, logits)
        first_stage, reranked = _recall(similarity, matches), _recall(order, matches)
        network = streams.network
        config = dataclasses.replace(network.config, rerank=reranked.r1 >= first_stage.r1)
        network.config = processor.config = config
        figures = {"first_stage": first_stage.as_json(), "reranked": reranked.as_json()}
        return max(first_stage.r1, reranked.r1), {"queries": len(queries), **figures}

    return judge


def _match(
    streams: ValStreams, processor: PixelBertProcessor, queries: Tensor, nearest: Tensor, late_scores: Tensor
) -> Tensor:
    """Return the ITM logits of queries and their candidates [queries, candidates]."""
    network, rows = streams.network, []
    device = network.model.semantic_embedding.device
    for query, candidates, late in zip(queries.tolist(), nearest, late_scores, strict=True):
        ids, mask = word_tensors(processor, [streams.captions.sentences[query]])
        grid, pixel_mask = streams.grids.read(candidates.tolist())
        with autocast(device):
            inputs = ids.to(device), mask.to(device), grid.to(device), late.to(device), pixel_mask.to(device)
            rows.append(network.match(*inputs).float().cpu())
    return torch.stack(rows)


def _recall(scores: Tensor, matches: Tensor) -> Recall:
    return Recall.of(rank_of_first_match(scores.numpy(), matches.numpy()))
