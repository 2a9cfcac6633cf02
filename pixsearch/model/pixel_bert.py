"""Pixel-BERT (Huang et al., 2020, arXiv 2004.00849) with a dual stream for the first stage of a search.

    picture -> CNN -> grid -> 1x1 conv -> + s_v -> pixels v1..vk -+
                                                                  +-> one BERT encoder -> [CLS] -> ITM logit
    sentence -> WordPiece -> LayerNorm(word + position) ----------+

A single Transformer reads words alone (text stream) or words and pixels together (joint stream, as in the paper). The
image stream maps the pooled grid to an embedding. Departures from the paper are marked as such in the code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import BertConfig, BertModel  # isort: skip

from pixsearch.model.backbones import build_backbone
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.late_interaction import LateInteraction


class Standardise(nn.Module):
    """Scales each channel to mean 0 and standard deviation 1, using fixed statistics of the training pictures.

    A departure from the paper: the channels of a frozen CNN differ in scale by orders of magnitude. Without scaling,
    small maps on top of the CNN would hardly learn from most channels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    @property
    def fitted(self) -> bool:
        """True if `fit` or a checkpoint has set the statistics."""
        return bool(self.mean.any()) or bool((self.deviation != 1).any())

    def fit(self, features: Tensor) -> None:
        """Compute the statistics from features [samples, channels]."""
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
        self.standardise = Standardise(self.backbone.channels)
        self.pixel_projection = nn.Linear(self.backbone.channels, config.width)  # the 1x1 conv, on a flattened grid
        self.semantic_embedding = nn.Parameter(torch.zeros(config.width))  # s_v
        # A departure: the paper only adds s_v. A layer norm like the one for words brings pixels to the scale of the
        # language model.
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
        """Like Module.train, but the backbone stays in eval mode: its batch norms keep their statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def encode_grids(self, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the CNN on normalised pictures of any size, each [3, height, width], on any device.

        Only pictures of the same size are batched. The CNN therefore never sees padding, and a picture's grid does not
        depend on the other pictures.

        Returns:
            Grids [batch, pixels, channels], padded with zeros at the end, and the pixel mask [batch, pixels], which is
            False for padding.
        """
        device = self.semantic_embedding.device
        by_size: dict[torch.Size, list[int]] = {}
        for index, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(index)
        encoded: dict[int, Tensor] = {}
        for indices in by_size.values():
            pixels = torch.stack([pictures[index] for index in indices])
            grids = self.encode_grid(pixels.to(device, memory_format=torch.channels_last))
            encoded.update(zip(indices, grids, strict=True))
        return pad_grids([encoded[index] for index in range(len(pictures))])

    def encode_grid(self, pixels: Tensor) -> Tensor:
        """Run the CNN on normalised pictures [batch, 3, height, width]; return grids [batch, pixels, channels]."""
        grid = self.backbone(pixels)  # [batch, channels, rows, columns]
        if self.config.pool:
            grid = F.max_pool2d(grid, 2, ceil_mode=True)
        flat: Tensor = grid.flatten(2).transpose(1, 2)
        return flat

    def embed_pixels(self, grid: Tensor, dropout: float = 0.0) -> Tensor:
        """Map grids [batch, pixels, channels] to Transformer input [batch, pixels, width], with dropout on features."""
        features = F.dropout(self.standardise(grid), dropout, training=dropout > 0)
        embedded = self.pixel_projection(features) + self.semantic_embedding
        return F.dropout(self.pixel_norm(embedded), self.config.dropout, self.training)

    def embed_words(self, ids: Tensor) -> Tensor:
        """Map WordPiece ids [batch, words] to Transformer input [batch, words, width]."""
        embedded: Tensor = self.word_embedding(input_ids=ids)
        return embedded

    def encode(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Run the Transformer on states [batch, length, width], ignoring states where the mask is False."""
        for layer in self.layers:
            hidden = layer(hidden, mask[:, None, None, :])
        return hidden

    def read_jointly(self, words: Tensor, mask: Tensor, pixels: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the joint stream's states for [CLS] w1..wn [SEP] v1..vk (section 3.2): [batch, words + pixels, width].

        Args:
            words, mask: the output of `embed_words` [batch, words, width] and its mask [batch, words].
            pixels, pixel_mask: the output of `embed_pixels` [batch, pixels, width] and its mask [batch, pixels];
                without a mask, all pixels are read.
        """
        if pixel_mask is None:
            pixel_mask = mask.new_ones(pixels.shape[:2])
        return self.encode(torch.cat([words, pixels], dim=1), torch.cat([mask, pixel_mask], dim=1))

    def read(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the joint stream's states for sentences with pictures: [batch, words + pixels, width], [CLS] first.

        Args:
            ids, mask: the sentences [batch, words].
            grid, pixel_mask: [batch, pixels, channels], [batch, pixels]; without a mask, all pixels are read.
        """
        return self.read_jointly(self.embed_words(ids), mask, self.embed_pixels(grid), pixel_mask)


def pad_grids(grids: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pad grids [pixels, channels] to [batch, most pixels, channels] and return them with their mask."""
    padded = nn.utils.rnn.pad_sequence(list(grids), batch_first=True)
    counts = torch.tensor([len(grid) for grid in grids], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < counts[:, None]


def pool_grid(grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the mean and the maximum of each channel over the pixels of each picture [batch, 2 * channels].

    Args:
        grid: [batch, pixels, channels].
        pixel_mask: [batch, pixels], False for padding; None if there is no padding.
    """
    if pixel_mask is None:
        return torch.cat([grid.mean(1), grid.amax(1)], dim=-1)
    missing = ~pixel_mask[..., None]
    mean = grid.masked_fill(missing, 0).sum(1) / pixel_mask.sum(1, keepdim=True)
    return torch.cat([mean, grid.masked_fill(missing, -torch.inf).amax(1)], dim=-1)


class EmbeddingMaps(nn.Module):
    """Maps pooled grids and encoded sentences into the shared space of the first stage.

    The maps are small on purpose. If they are trained on a few thousand pictures, on top of a frozen CNN and a frozen
    sentence encoder and with strong dropout on picture features, they retrieve better than anything larger.
    """

    def __init__(self, config: PixelBertConfig, channels: int) -> None:
        super().__init__()
        hidden = config.image_map_hidden
        self.standardise = Standardise(2 * channels)
        self.image_hidden = nn.Linear(2 * channels, hidden)
        self.image_map = nn.Linear(hidden, config.embedding_size)
        self.text_map = nn.Linear(config.width, config.embedding_size)
        if config.width == config.embedding_size:
            nn.init.eye_(self.text_map.weight)  # the sentence encoder's own space is a good starting point
            nn.init.zeros_(self.text_map.bias)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))  # the scale is 1 / temperature

    @property
    def scale(self) -> Tensor:
        """The factor for similarities before a softmax, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100)

    def image(self, pooled: Tensor, feature_dropout: float = 0.0, hidden_dropout: float = 0.0) -> Tensor:
        """Map pooled grids [batch, 2 * channels] to [batch, embedding_size]; the dropouts are for training only."""
        features = F.dropout(self.standardise(pooled), feature_dropout, training=feature_dropout > 0)
        hidden = F.dropout(F.gelu(self.image_hidden(features)), hidden_dropout, training=hidden_dropout > 0)
        embedding: Tensor = self.image_map(hidden)
        return embedding

    def text(self, sentences: Tensor) -> Tensor:
        """Map sentence vectors [batch, width] of any norm to unit vectors [batch, embedding_size]."""
        scaled = F.normalize(sentences, dim=-1) * math.sqrt(sentences.shape[-1])
        return F.normalize(self.text_map(scaled).float(), dim=-1)


class PixelBertForRetrieval(nn.Module):
    """Pixel-BERT with embeddings for the first stage (ITC) and a matching score for re-ranking (ITM)."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.model = PixelBertModel(config)
        self.maps = EmbeddingMaps(config, self.model.backbone.channels)
        score = nn.Linear(config.width, 1)
        # A departure: the ITM logit starts as the first stage's similarity, and the head learns a correction. In the
        # paper, the logit comes from the head alone.
        nn.init.zeros_(score.weight)
        nn.init.zeros_(score.bias)
        self.itm_head = nn.Sequential(nn.Linear(config.width, config.width), nn.Tanh(), score)
        self.similarity_weight = nn.Parameter(torch.tensor(20.0))
        self.late_weight = nn.Parameter(torch.zeros(()))
        self.late_interaction = LateInteraction(config, self.model.backbone.channels)

    def encode_grid(self, pixels: Tensor) -> Tensor:
        """Encode normalised pictures [batch, 3, height, width] as grids [batch, pixels, channels] for the index."""
        return self.model.encode_grid(pixels)

    def embed_image(self, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Map grids [batch, pixels, channels] to unit vectors [batch, embedding_size] with the image stream.

        This is a departure: the paper has no image stream. The Transformer is not used. `pixel_mask` [batch, pixels] is
        False for padding; without a mask, all pixels are read.
        """
        return F.normalize(self.maps.image(pool_grid(grid, pixel_mask)).float(), dim=-1)

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map ids and mask [batch, words] to unit vectors [batch, embedding_size] with the text stream."""
        return self.embed_words(self.read_each_word(ids, mask), mask)

    def embed_words(self, words: Tensor, mask: Tensor) -> Tensor:
        """Map words [batch, words, width] from `read_each_word` to unit vectors [batch, embedding_size]."""
        return self.maps.text(masked_mean(words, mask))

    def read_words(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of the Transformer's outputs over all words [batch, width], including [CLS] and [SEP]."""
        return masked_mean(self.read_each_word(ids, mask), mask)

    def read_each_word(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the Transformer's output for each word [batch, words, width]."""
        return self.model.encode(self.model.embed_words(ids), mask)

    def read_pixels(self, grid: Tensor, dropout: float = 0.0, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the mean of the Transformer's outputs for [CLS] v1..vk [batch, width], with dropout on features."""
        start = torch.full((grid.shape[0], 1), CLS, device=grid.device)  # len() would be a constant in a trace
        hidden = torch.cat([self.model.embed_words(start), self.model.embed_pixels(grid, dropout)], dim=1)
        mask = torch.ones(hidden.shape[:2], dtype=torch.bool, device=grid.device)
        if pixel_mask is not None:
            mask[:, 1:] = pixel_mask
        return masked_mean(self.model.encode(hidden, mask), mask)

    def late_score(
        self, ids: Tensor, mask: Tensor, grid: Tensor, similarity: Tensor, pixel_mask: Tensor | None = None
    ) -> Tensor:
        """Return the late scores of pairs [batch], which are similarity + late interaction / scale.

        Late interaction returns logits. Dividing them by the factor that turns similarities into logits makes it
        possible to add them to similarities without a weight. If late interaction is untrained, the late score equals
        the similarity. A search computes late scores with `late_scores` instead.

        Args:
            ids, mask: [batch or 1, words]; a single sentence is paired with every picture.
            grid: [batch or 1, pixels, channels]; a single picture is paired with every sentence.
            similarity: [batch], the dot product of the two embeddings of each pair.
            pixel_mask: [batch or 1, pixels], False for padding; without a mask, all pixels are read.
        """
        words = self.read_each_word(ids, mask)
        found: Tensor = self.late_interaction(words, mask, self.model.standardise(grid), pixel_mask)
        return similarity + found / self.maps.scale

    def match(
        self, ids: Tensor, mask: Tensor, grid: Tensor, late_score: Tensor, pixel_mask: Tensor | None = None
    ) -> Tensor:
        """Return the ITM logits of pairs [batch]: joint_logit + similarity_weight * late_score.

        This is a departure: in the paper, the logit comes from the head alone. The argument `late_score` [batch]
        is the result of the method `late_score`. The other arguments are the same as for that method.
        """
        pairs = late_score.shape[0]  # len() would be a constant in a trace
        words, pixels = self.model.embed_words(ids).expand(pairs, -1, -1), self.model.embed_pixels(grid)
        return self.joint_logit(words, mask, pixels, pixel_mask) + self.similarity_weight * late_score

    def joint_logit(self, words: Tensor, mask: Tensor, pixels: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the joint stream's part of the ITM logits of pairs [batch]: head([CLS]) + late_weight * words_found.

        Args:
            words, mask: the output of `PixelBertModel.embed_words` [batch or 1, words, width] and its mask
                [batch or 1, words].
            pixels, pixel_mask: the output of `PixelBertModel.embed_pixels` [batch or 1, pixels, width] and its mask
                [batch or 1, pixels]; without a mask, all pixels are read.
        """
        # If both sizes are equal, max returns the first one, and a trace records that choice. It is the right one,
        # because `match` has expanded the words to all pairs.
        pairs = max(words.shape[0], pixels.shape[0])
        words, mask, pixels = words.expand(pairs, -1, -1), mask.expand(pairs, -1), pixels.expand(pairs, -1, -1)
        if pixel_mask is not None:
            pixel_mask = pixel_mask.expand(pairs, -1)
        joint = self.model.read_jointly(words, mask, pixels, pixel_mask)  # [batch, words + pixels, width]
        with torch.autocast(joint.device.type, enabled=False):  # in bf16, dozens of candidates would have equal logits
            joint = joint.float()
            head: Tensor = self.itm_head(joint[:, 0]).squeeze(-1)
            found = words_found(joint[:, : words.shape[1]], mask, joint[:, words.shape[1] :], pixel_mask)
            return head + self.late_weight * found


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Return the mean [batch, width] of states [batch, length, width] where the mask [batch, length] is True."""
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def words_found(words: Tensor, mask: Tensor, pixels: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Return the mean over all words of each word's cosine with its nearest pixel [batch].

    Args:
        words, mask: the joint stream's outputs for words [batch, words, width] and their mask [batch, words].
        pixels, pixel_mask: the joint stream's outputs for pixels [batch, pixels, width] and their mask [batch, pixels].
    """
    cosine = F.normalize(words.float(), dim=-1) @ F.normalize(pixels.float(), dim=-1).transpose(1, 2)
    if pixel_mask is not None:
        cosine = cosine.masked_fill(~pixel_mask[:, None, :], -torch.inf)
    nearest = cosine.amax(2) * mask  # [batch, words]
    return nearest.sum(1) / mask.sum(1)


CLS = 101
"""The id of [CLS] in the WordPiece vocabulary of bert-base-uncased, which all checkpoints use."""
