"""Pixel-BERT (Huang et al., 2020, arXiv 2004.00849) with a dual stream for the first stage of a search.

    picture -> CNN -> grid -> 1x1 conv -> + s_v -> pixels v1..vk -+
                                                                  +-> one BERT encoder -> [CLS] -> ITM logit
    sentence -> WordPiece -> LayerNorm(word + position) ----------+

The same Transformer reads words alone (text stream), pixels alone (image stream) or both (joint stream, the paper's).
Departures from the paper are named where they happen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import BertConfig, BertModel  # isort: skip

from pixsearch.model.backbones import build_backbone
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.late_interaction import LateInteraction


class Standardise(nn.Module):
    """Brings each channel to mean 0 and deviation 1 by statistics of the training pictures, fixed once fitted.

    A departure: a frozen CNN's channels differ in scale by orders of magnitude, which starves small maps upon them.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(self, features: Tensor) -> None:
        """Take the statistics of features [samples, channels]."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0) + 1e-4)

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation


class PixelBertModel(nn.Module):
    """The CNN, the embeddings of pixels and words, and the Transformer that reads them (section 3.2)."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)
        self.frozen_statistics = True
        """Whether the CNN's batch norms keep their statistics while all else is in training mode."""
        self.recompute = False
        """Whether a layer's activations are computed again for the gradient: less memory, a third more time."""
        self.standardise = Standardise(self.backbone.channels)
        self.pixel_projection = nn.Linear(self.backbone.channels, config.width)  # the 1x1 conv, on a flattened grid
        self.semantic_embedding = nn.Parameter(torch.zeros(config.width))  # s_v
        self.pixel_positions = (
            nn.Parameter(torch.zeros(config.pixels(1, 1), config.width)) if config.pixel_positions else None
        )
        # The paper adds s_v and no more; a norm as the words have lets pixels enter a language model at its own scale.
        self.pixel_norm = nn.LayerNorm(config.width, eps=1e-12)
        bert = BertModel(
            BertConfig(
                vocab_size=config.vocabulary_size,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.feed_forward,
                max_position_embeddings=config.max_words,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
            ),
            add_pooling_layer=False,
        )
        self.word_embedding = bert.embeddings
        self.layers = bert.encoder.layer

    def train(self, mode: bool = True) -> PixelBertModel:
        """As of any module, but batch norms keep their statistics where these are frozen."""
        super().train(mode)
        if self.frozen_statistics:
            self.backbone.eval()
        return self

    def encode_grids(self, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the CNN on normalised pictures of any sizes, each [3, height, width], on any device.

        Pictures of equal size go through together and no other, so the CNN never sees padding: a picture gives the same
        grid alone and in any company.

        Returns:
            Grids [batch, pixels, channels], padded with zeros behind, and the pixel mask [batch, pixels], True where a
            pixel stands.
        """
        device = self.semantic_embedding.device
        by_size: dict[torch.Size, list[int]] = {}
        for place, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(place)
        encoded: dict[int, Tensor] = {}
        for places in by_size.values():
            pixels = torch.stack([pictures[place] for place in places])
            grids = self.encode_grid(pixels.to(device, memory_format=torch.channels_last))
            encoded.update(zip(places, grids, strict=True))
        return pad_grids([encoded[place] for place in range(len(pictures))])

    def encode_grid(self, pixels: Tensor) -> Tensor:
        """Run the CNN: pixels [batch, 3, height, width], normalised -> grid [batch, pixels, channels]."""
        grid = self.backbone(pixels)  # [batch, channels, rows, columns]
        if self.config.pool:
            grid = F.max_pool2d(grid, 2, ceil_mode=True)
        flat: Tensor = grid.flatten(2).transpose(1, 2)
        return flat

    def embed_pixels(self, grid: Tensor, dropout: float = 0.0) -> Tensor:
        """Grid [batch, pixels, channels] -> Transformer input [batch, pixels, width]; `dropout` is of features."""
        features = F.dropout(self.standardise(grid), dropout, training=dropout > 0)
        embedded = self.pixel_projection(features) + self.semantic_embedding
        if self.pixel_positions is not None:
            embedded = embedded + self.pixel_positions
        return F.dropout(self.pixel_norm(embedded), self.config.dropout, self.training)

    def embed_words(self, ids: Tensor) -> Tensor:
        """WordPiece ids [batch, words] -> Transformer input [batch, words, width]."""
        embedded: Tensor = self.word_embedding(input_ids=ids)
        return embedded

    def encode(self, hidden: Tensor, mask: Tensor, first_layer: int = 0, last_layer: int | None = None) -> Tensor:
        """Run layers first..last (exclusive) on hidden [batch, length, width]; mask [batch, length], True is read."""
        for layer in self.layers[first_layer:last_layer]:
            if self.recompute and self.training:
                hidden = checkpoint(layer, hidden, mask[:, None, None, :], use_reentrant=False)
            else:
                hidden = layer(hidden, mask[:, None, None, :])
        return hidden

    def read_words_alone(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The words' states [batch, words, width] before they meet pixels (layers below `joint_from_layer`)."""
        return self.encode(self.embed_words(ids), mask, last_layer=self.config.joint_from_layer)

    def read_pixels_alone(self, grid: Tensor, dropout: float = 0.0) -> Tensor:
        """The pixels' states [batch, pixels, width] before they meet words; `dropout` falls on their features."""
        return self.embed_pixels(grid, dropout)

    def read_jointly(self, words: Tensor, mask: Tensor, pixels: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """[CLS] w1..wn [SEP] v1..vk through the joint stream (section 3.2): [batch, words + pixels, width].

        Args:
            words, mask: [batch, words, width] from `read_words_alone`, [batch, words].
            pixels, pixel_mask: [batch, pixels, width] from `read_pixels_alone`, [batch, pixels]; without a mask all are
                read.
        """
        if pixel_mask is None:
            pixel_mask = mask.new_ones(pixels.shape[:2])
        joint_mask = torch.cat([mask, pixel_mask], dim=1)
        return self.encode(torch.cat([words, pixels], dim=1), joint_mask, first_layer=self.config.joint_from_layer)

    def attention_to_pixels(self, ids: Tensor, mask: Tensor, grid: Tensor) -> Tensor:
        """How much each word attends to each pixel in every joint layer, the mean over the heads.

        Args:
            ids, mask: [batch, words].
            grid: [batch, pixels, channels], without padding.

        Returns:
            [layers, batch, words, pixels]; what a word attends to in other words makes up the rest of its 1.
        """
        words, pixels = self.read_words_alone(ids, mask), self.read_pixels_alone(grid)
        hidden = torch.cat([words, pixels], dim=1)
        joint_mask = torch.cat([mask, mask.new_ones(pixels.shape[:2])], dim=1)[:, None, None, :]
        maps = []
        for layer in self.layers[self.config.joint_from_layer :]:
            attention: Any = layer.attention.self  # type: ignore[union-attr]
            query, key = (
                states.unflatten(-1, (self.config.heads, -1)).transpose(1, 2)  # [batch, heads, length, width of a head]
                for states in (attention.query(hidden), attention.key(hidden))
            )
            scores = (query @ key.transpose(-1, -2) * attention.scaling).float()
            weights = scores.masked_fill(~joint_mask, -torch.inf).softmax(-1).mean(1)
            maps.append(weights[:, : words.shape[1], words.shape[1] :])
            hidden = layer(hidden, joint_mask)
        return torch.stack(maps)

    def read(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Sentences and pictures, pair by pair, through the joint stream: [batch, words + pixels, width], [CLS] first.

        Args:
            ids, mask: [batch, words].
            grid, pixel_mask: [batch, pixels, channels], [batch, pixels]; without a mask all pixels are read.
        """
        words, pixels = self.read_words_alone(ids, mask), self.read_pixels_alone(grid)
        return self.read_jointly(words, mask, pixels, pixel_mask)


def pad_grids(grids: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Grids [pixels, channels] of any numbers of pixels -> [batch, most pixels, channels] and its mask."""
    padded = nn.utils.rnn.pad_sequence(list(grids), batch_first=True)
    counts = torch.tensor([len(grid) for grid in grids], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < counts[:, None]


def pool_grid(grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """The mean and the largest of each channel over a picture's pixels.

    Args:
        grid: [batch, pixels, channels].
        pixel_mask: [batch, pixels], True where a pixel stands; None where all do.

    Returns:
        [batch, 2 * channels].
    """
    if pixel_mask is None:
        return torch.cat([grid.mean(1), grid.amax(1)], dim=-1)
    missing = ~pixel_mask[..., None]
    mean = grid.masked_fill(missing, 0).sum(1) / pixel_mask.sum(1, keepdim=True)
    return torch.cat([mean, grid.masked_fill(missing, -torch.inf).amax(1)], dim=-1)


class EmbeddingMaps(nn.Module):
    """From what each side has read of its own to the shared space of the first stage.

    Small on purpose: on top of a frozen CNN and a frozen sentence encoder these maps alone, trained with a strong
    dropout of the picture's features, retrieve better than anything larger does from a few thousand pictures.
    """

    def __init__(self, config: PixelBertConfig, channels: int) -> None:
        super().__init__()
        hidden = config.image_map_hidden
        self.standardise = Standardise(2 * channels)
        self.image_hidden = nn.Linear(2 * channels, hidden)
        self.image_map = nn.Linear(hidden, config.embedding_size)
        self.text_map = nn.Linear(config.width, config.embedding_size)
        if config.width == config.embedding_size:
            nn.init.eye_(self.text_map.weight)  # a sentence encoder's own space is a good place to start from
            nn.init.zeros_(self.text_map.bias)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))  # of similarities: 1 / temperature

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied by before a softmax; at most 100, as in CLIP."""
        return self.log_scale.exp().clamp(max=100)

    def image(self, pooled: Tensor, feature_dropout: float = 0.0, hidden_dropout: float = 0.0) -> Tensor:
        """Pooled grids [batch, 2 * channels] -> [batch, embedding_size]; the dropouts are for training only."""
        features = F.dropout(self.standardise(pooled), feature_dropout, training=feature_dropout > 0)
        hidden = F.dropout(F.gelu(self.image_hidden(features)), hidden_dropout, training=hidden_dropout > 0)
        embedding: Tensor = self.image_map(hidden)
        return embedding

    def text(self, sentences: Tensor) -> Tensor:
        """Sentences [batch, width] -> unit vectors [batch, embedding_size]; only their direction counts."""
        scaled = F.normalize(sentences, dim=-1) * math.sqrt(sentences.shape[-1])
        return F.normalize(self.text_map(scaled).float(), dim=-1)


class PixelBertForRetrieval(nn.Module):
    """Pixel-BERT with embeddings for a first stage (ITC) and a matching score for re-ranking (ITM)."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.model = PixelBertModel(config)
        self.maps = EmbeddingMaps(config, self.model.backbone.channels)
        # Closed at the start: with few pairs the map of the pooled grid retrieves best, with many the Transformer.
        self.image_gate = nn.Parameter(torch.zeros(()))
        self.image_projection = nn.Linear(config.width, config.embedding_size)
        score = nn.Linear(config.width, 1)
        # The ITM logit starts as the first stage's similarity and learns the difference; the paper's is the head alone.
        nn.init.zeros_(score.weight)
        nn.init.zeros_(score.bias)
        self.itm_head = nn.Sequential(nn.Linear(config.width, config.width), nn.Tanh(), score)
        self.similarity_weight = nn.Parameter(torch.tensor(20.0))
        self.late_weight = nn.Parameter(torch.zeros(()))
        self.late_interaction = LateInteraction(config, self.model.backbone.channels)

    def encode_grid(self, pixels: Tensor) -> Tensor:
        """Normalised pictures [batch, 3, height, width] -> pixel grids [batch, pixels, channels], kept by the index."""
        return self.model.encode_grid(pixels)

    def embed_image(self, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Image stream: grids [batch, pixels, channels] -> unit vectors [batch, embedding_size].

        `pixel_mask` [batch, pixels] is True where a pixel stands; without it all are read.
        """
        embedding = self.maps.image(pool_grid(grid, pixel_mask))
        if self.training or self.image_gate.item() != 0:
            read = self.read_pixels(grid, pixel_mask=pixel_mask)
            embedding = embedding + self.image_gate * self.image_projection(read)
        return F.normalize(embedding.float(), dim=-1)

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Text stream: ids, mask [batch, words] -> unit vectors [batch, embedding_size]."""
        return self.embed_words(self.read_each_word(ids, mask), mask)

    def embed_words(self, words: Tensor, mask: Tensor) -> Tensor:
        """The same of words that `read_each_word` made, [batch, words, width]."""
        return self.maps.text(_mean(words, mask))

    def read_words(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The mean of the words as the Transformer leaves them, [batch, width]; [CLS] and [SEP] count as words."""
        return _mean(self.read_each_word(ids, mask), mask)

    def read_each_word(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The words as the Transformer leaves them, [batch, words, width]."""
        return self.model.encode(self.model.embed_words(ids), mask)

    def read_pixels(self, grid: Tensor, dropout: float = 0.0, pixel_mask: Tensor | None = None) -> Tensor:
        """[CLS] v1..vk through the Transformer, the mean of the outputs, [batch, width]; `dropout` is of features."""
        start = torch.full((grid.shape[0], 1), CLS, device=grid.device)  # as below, not len()
        hidden = torch.cat([self.model.embed_words(start), self.model.read_pixels_alone(grid, dropout)], dim=1)
        mask = torch.ones(hidden.shape[:2], dtype=torch.bool, device=grid.device)
        if pixel_mask is not None:
            mask[:, 1:] = pixel_mask
        return _mean(self.model.encode(hidden, mask), mask)

    def match(
        self, ids: Tensor, mask: Tensor, grid: Tensor, similarity: Tensor, pixel_mask: Tensor | None = None
    ) -> Tensor:
        """ITM logits [batch] of sentences with pictures, pair by pair; one sentence or one picture goes with all.

        Args:
            ids, mask: [batch or 1, words].
            grid: [batch or 1, pixels, channels].
            similarity: [batch], the dot product of the pair's two embeddings.
            pixel_mask: [batch or 1, pixels], True where a pixel stands; without it all are read.
        """
        words, pixels = self.model.read_words_alone(ids, mask), self.model.read_pixels_alone(grid)
        apart = self.match_apart(ids, mask, grid, similarity, pixel_mask)
        return self.match_states(words, mask, pixels, apart, pixel_mask)

    def match_apart(
        self, ids: Tensor, mask: Tensor, grid: Tensor, similarity: Tensor, pixel_mask: Tensor | None = None
    ) -> Tensor:
        """What the two streams say of pairs, each read alone [batch]: their similarity, and late interaction.

        Late interaction gives logits; divided by what makes logits of similarities, the two add up without a weight to
        choose. Arguments as of `match`.
        """
        if self.late_interaction.closed:
            return similarity
        words = self.read_each_word(ids, mask)
        found: Tensor = self.late_interaction(words, mask, self.model.standardise(grid), pixel_mask)
        return similarity + found / self.maps.scale

    def match_states(
        self, words: Tensor, mask: Tensor, pixels: Tensor, apart: Tensor, pixel_mask: Tensor | None = None
    ) -> Tensor:
        """The joint stream's part of `match`, on states that `read_words_alone` and `read_pixels_alone` made.

        `apart` [batch] is what the two streams say, from `match_apart` or another first stage.
        """
        pairs = apart.shape[0]  # not len(), which a trace takes for a constant
        words, mask, pixels = words.expand(pairs, -1, -1), mask.expand(pairs, -1), pixels.expand(pairs, -1, -1)
        if pixel_mask is not None:
            pixel_mask = pixel_mask.expand(pairs, -1)
        joint = self.model.read_jointly(words, mask, pixels, pixel_mask)
        with torch.autocast(joint.device.type, enabled=False):  # bf16 would give candidates the same logit by the dozen
            joint = joint.float()
            head: Tensor = self.itm_head(joint[:, 0]).squeeze(-1)
            likeness = words_found(joint[:, : words.shape[1]], mask, joint[:, words.shape[1] :], pixel_mask)
            return head + self.late_weight * likeness + self.similarity_weight * apart


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of the states that the mask lets through: [batch, length, width], [batch, length] -> [batch, width]."""
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def words_found(words: Tensor, mask: Tensor, pixels: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """How well each word finds a pixel: the cosine with its nearest one, the mean over the words, [batch].

    Args:
        words, mask: [batch, words, width], [batch, words], as the joint stream leaves them.
        pixels, pixel_mask: [batch, pixels, width], [batch, pixels].
    """
    cosine = F.normalize(words.float(), dim=-1) @ F.normalize(pixels.float(), dim=-1).transpose(1, 2)
    if pixel_mask is not None:
        cosine = cosine.masked_fill(~pixel_mask[:, None, :], -torch.inf)
    nearest = cosine.amax(2) * mask  # [batch, words]
    return nearest.sum(1) / mask.sum(1)


CLS = 101
"""The id of [CLS] in bert-base-uncased's WordPiece vocabulary, which every checkpoint here uses."""
