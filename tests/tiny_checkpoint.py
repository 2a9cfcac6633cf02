"""A checkpoint with random weights: small and fast, and like a real one except that it has learned nothing."""

from __future__ import annotations

import string
import tempfile
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import nn

from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.graphs import GRAPHS_FILE
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tracing import add_graphs

# The same ids as in bert-base-uncased.
SPECIAL_TOKENS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}


def make_tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Save a tiny Pixel-BERT model to `folder`. Its weights depend only on the seed.

    Its tokenizer splits words into letters.
    """
    make_checkpoint_without_graphs(folder, seed)
    (folder / GRAPHS_FILE).write_bytes(_graphs())
    return folder


def make_checkpoint_without_graphs(folder: Path, seed: int = 0) -> Path:
    """Save the same checkpoint without graphs, for tests that do not search on a CPU."""
    tokenizer = _spelling_tokenizer()
    config = PixelBertConfig(
        backbone="efficientnet_lite0",
        input_size=64,
        vocabulary_size=max(tokenizer.get_vocab().values()) + 1,
        width=32,
        layers=2,
        heads=2,
        feed_forward=64,
        embedding_size=16,
        image_map_hidden=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PixelBertForRetrieval(config)
        _measure_batch_norms(model.model.backbone, torch.randn(8, 3, 64, 64))
    save_checkpoint(folder, model, PixelBertProcessor(config, tokenizer))
    return folder


@cache
def _graphs() -> bytes:
    """Return the graphs for every tiny checkpoint. They depend only on the config, which is always the same."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_checkpoint_without_graphs(Path(scratch))
        add_graphs(folder)
        return (folder / GRAPHS_FILE).read_bytes()


def _spelling_tokenizer() -> Tokenizer:
    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    vocabulary = SPECIAL_TOKENS | {letter: number for number, letter in enumerate(letters, start=104)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, SPECIAL_TOKENS[token]) for token in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def _measure_batch_norms(backbone: nn.Module, pixels: torch.Tensor) -> None:
    """Measure batch norm statistics. Without them, outputs fade to zero and all pictures have the same embedding."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        backbone.train()(pixels)
    backbone.eval()
