"""Models with a matching head and random weights, one per family in transformers, saved like their repositories."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import transformers as hf  # isort: skip

EDGE = 32
_SIZE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_VILT_PIXELS: dict[str, Any] = {"size": {"shortest_edge": EDGE}, "size_divisor": 8}
_LETTERS = string.ascii_lowercase + ",.!?:"


def make_tiny_matching_model(folder: Path, family: str, seed: int = 0, kind: str | None = None) -> Path:
    """Save a tiny model of a family and its processor to `folder`. Its weights depend only on the seed.

    Args:
        kind: the transformers class to use instead of the one with the matching head.
    """
    usual, config, processor = _FAMILIES[family]
    tokens = processor()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(hf, kind or usual)(config(len(tokens.tokenizer)))
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "position" not in name:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def _bert_tokenizer(most: int) -> Any:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    return hf.BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, model_max_length=most)


def _roberta_tokenizer() -> Any:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    return hf.RobertaTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=64
    )


def _blip_config(tokens: int) -> Any:
    text = {
        "vocab_size": tokens,
        "max_position_embeddings": 64,
        "encoder_hidden_size": 32,
        "intermediate_size": 64,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
        **_SIZE,
    }
    vision = {"image_size": EDGE, "patch_size": 8, "intermediate_size": 64, **_SIZE}
    return hf.BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=16, projection_dim=16)


def _bridgetower_config(tokens: int) -> Any:
    text = {"vocab_size": tokens, "max_position_embeddings": 66, "intermediate_size": 64, **_SIZE}
    vision = {"image_size": EDGE, "patch_size": 8, "hidden_size": 64, "num_hidden_layers": 3}
    return hf.BridgeTowerConfig(text_config=text, vision_config=vision, **_SIZE)


def _vilt_config(tokens: int) -> Any:
    return hf.ViltConfig(
        vocab_size=tokens, max_position_embeddings=40, image_size=EDGE, patch_size=8, intermediate_size=64, **_SIZE
    )


_Make = Callable[[], Any]
_FAMILIES: Mapping[str, tuple[str, Callable[[int], Any], _Make]] = {
    "BLIP": (
        "BlipForImageTextRetrieval",
        _blip_config,
        lambda: hf.BlipProcessor(hf.BlipImageProcessor(size={"height": EDGE, "width": EDGE}), _bert_tokenizer(10**30)),
    ),
    "BridgeTower": (
        "BridgeTowerForImageAndTextRetrieval",
        _bridgetower_config,
        lambda: hf.BridgeTowerProcessor(
            hf.BridgeTowerImageProcessor(
                size={"shortest_edge": EDGE}, crop_size={"shortest_edge": EDGE}, size_divisor=8
            ),
            _roberta_tokenizer(),
        ),
    ),
    "ViLT": (
        "ViltForImageAndTextRetrieval",
        _vilt_config,
        lambda: hf.ViltProcessor(hf.ViltImageProcessor(**_VILT_PIXELS), _bert_tokenizer(40)),
    ),
}
MATCHING_FAMILIES = tuple(_FAMILIES)
