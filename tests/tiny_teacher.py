"""A CLIP model with random weights in transformers format: small and fast, in a folder like those on the Hub."""

from __future__ import annotations

import math
import string
from pathlib import Path

import torch

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer  # isort: skip

_START, _END = "<|startoftext|>", "<|endoftext|>"
_EDGE = 32


def make_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Save a tiny CLIP model with a scale of 50 to `folder`. Its weights depend only on the seed.

    Its tokenizer splits words into letters.
    """
    vocabulary = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase), _START, _END]
    ids = {token: number for number, token in enumerate(vocabulary)}
    special = {"bos_token_id": ids[_START], "eos_token_id": ids[_END], "pad_token_id": ids[_END]}
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            "vocab_size": len(ids),
            "max_position_embeddings": 16,
            "initializer_factor": 5.0,
            **size,
            **special,
        },
        vision_config={"image_size": _EDGE, "patch_size": 8, **size},
        projection_dim=16,
        logit_scale_init_value=math.log(50),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(config)
    model.save_pretrained(folder)
    CLIPProcessor(
        CLIPImageProcessor(size={"shortest_edge": _EDGE}, crop_size={"height": _EDGE, "width": _EDGE}),
        CLIPTokenizer(vocab=ids, merges=[], model_max_length=16),
    ).save_pretrained(folder)
    return folder
