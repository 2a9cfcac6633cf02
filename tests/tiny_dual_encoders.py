"""Dual encoders with random weights, one for each family in transformers, saved like their repositories on the Hub."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import Lowercase, Replace, Sequence, Strip
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.processors import TemplateProcessing

import pixsearch.model.transformers_offline
import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import transformers as hf  # isort: skip

EDGE = 32
_LETTERS = string.ascii_lowercase + "äöüßéçï一只狗在雪地里"
_SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {"image_size": EDGE, "patch_size": 8, **_SIZE}


def make_tiny_dual_encoder(folder: Path, family: str, seed: int = 0) -> Path:
    """Save a tiny model with its image processor and tokenizer to `folder`. Its weights depend only on the seed."""
    tokenizer = _TOKENIZERS[family]()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _MODELS[family](len(tokenizer))
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "position" not in name:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            if re.search(r"^text.*\b(q_proj|k_proj|query|key)\.weight$", name):
                parameter.data *= 4  # else attention is nearly uniform, and all texts score alike
    model.save_pretrained(folder)
    _IMAGE_PROCESSORS[family]().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if family == "OpenCLIP":
        _as_older_transformers_saved_it(folder)
    return folder


def _as_older_transformers_saved_it(folder: Path) -> None:
    """Rewrite a CLIP model's files like those in OpenAI's and OpenCLIP's repositories.

    The end-of-text id is not the tokenizer's, so transformers uses the highest id instead. Sizes are plain numbers, and
    the tokenizer is a vocabulary with merges.
    """
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    del processor["image_processor_type"], processor["do_rescale"], processor["rescale_factor"]
    processor |= {"feature_extractor_type": "CLIPFeatureExtractor", "size": EDGE, "crop_size": EDGE}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def _clip_tokenizer() -> Any:
    letters = sorted(ByteLevel.alphabet())  # its order differs between processes
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return hf.CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=77
    )


def _bert_tokenizer() -> Any:
    letters = _LETTERS + ",.!?:"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    ids = {token: number for number, token in enumerate(tokens)}
    return hf.BertTokenizer(vocab=ids, model_max_length=52)


def _xlm_roberta_tokenizer() -> Any:
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [(letter, -2.0) for letter in "▁" + _LETTERS + string.ascii_uppercase + "!?,"]
    words = [(word, -1.5) for word in ("▁photo", "▁dog", "▁cat", "▁of")]
    return hf.XLMRobertaTokenizer(vocab=[*special, *pieces, *words, ("<mask>", 0.0)], model_max_length=77)


def _siglip_tokenizer() -> Any:
    """Return a tokenizer like SigLIP's tokenizer.json: lower case, no punctuation, and padded with the end-of-text
    token.
    """
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in _LETTERS), ("▁dog", -1.0)]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=0))
    tokenizer.normalizer = Sequence(
        [Lowercase(), Replace(Regex(r"[!-/:-@\[-`{-~]"), ""), Replace(Regex(r"\s+"), " "), Strip()]
    )
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=64
    )


def _gemma_tokenizer() -> Any:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = [*special, "▁", *_LETTERS, "do", "dog"]
    return hf.Siglip2Tokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=[("d", "o"), ("do", "g")],  # type: ignore[list-item]
        model_max_length=64,
        padding_side="right",
        add_eos_token=True,
    )


def _clip_model(tokens: int, activation: str = "quick_gelu") -> Any:
    special = {"bos_token_id": tokens - 2, "eos_token_id": tokens - 1, "pad_token_id": tokens - 1}
    text = {"vocab_size": tokens, "max_position_embeddings": 77, "hidden_act": activation, **_SIZE, **special}
    vision = {**_VISION, "hidden_act": activation}
    return hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))


def _siglip_model(tokens: int) -> Any:
    special = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1}
    text = {"vocab_size": tokens, "max_position_embeddings": 64, **_SIZE, **special}
    model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=_VISION))
    model.logit_scale.data.fill_(2.0)
    model.logit_bias.data.fill_(-4.0)
    return model


def _metaclip2_model(tokens: int) -> Any:
    special = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = {"vocab_size": tokens, "max_position_embeddings": 77, **_SIZE, **special}
    return hf.MetaClip2Model(hf.MetaClip2Config(text_config=text, vision_config=_VISION, projection_dim=16))


def _altclip_model(tokens: int) -> Any:
    text = {"vocab_size": tokens, "max_position_embeddings": 79, "project_dim": 32, **_SIZE}
    return hf.AltCLIPModel(hf.AltCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=16))


def _chinese_clip_model(tokens: int) -> Any:
    text = {"vocab_size": tokens, "max_position_embeddings": 512, **_SIZE}
    return hf.ChineseCLIPModel(hf.ChineseCLIPConfig(text_config=text, vision_config=_VISION, projection_dim=16))


def _align_model(tokens: int) -> Any:
    text = {"vocab_size": tokens, "max_position_embeddings": 512, **_SIZE}
    vision = {"image_size": 64, "width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 32}
    return hf.AlignModel(hf.AlignConfig(text_config=text, vision_config=vision, projection_dim=32))


def _shorter_edge(kind: Any) -> Callable[[], Any]:
    return lambda: kind(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE})


def _efficient_net_processor() -> Any:
    return hf.EfficientNetImageProcessor(
        size={"height": 72, "width": 72},
        do_center_crop=True,
        crop_size={"height": 64, "width": 64},
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
    )


_MODELS: Mapping[str, Callable[[int], Any]] = {
    "CLIP": _clip_model,
    "OpenCLIP": lambda tokens: _clip_model(tokens, "gelu"),
    "SigLIP": _siglip_model,
    "SigLIP 2": _siglip_model,
    "MetaCLIP 2": _metaclip2_model,
    "AltCLIP": _altclip_model,
    "Chinese-CLIP": _chinese_clip_model,
    "ALIGN": _align_model,
}
_TOKENIZERS: Mapping[str, Callable[[], Any]] = {
    "CLIP": _clip_tokenizer,
    "OpenCLIP": _clip_tokenizer,
    "SigLIP": _siglip_tokenizer,
    "SigLIP 2": _gemma_tokenizer,
    "MetaCLIP 2": _xlm_roberta_tokenizer,
    "AltCLIP": _xlm_roberta_tokenizer,
    "Chinese-CLIP": _bert_tokenizer,
    "ALIGN": _bert_tokenizer,
}
_IMAGE_PROCESSORS: Mapping[str, Callable[[], Any]] = {
    "CLIP": _shorter_edge(hf.CLIPImageProcessor),
    "OpenCLIP": _shorter_edge(hf.CLIPImageProcessor),
    "SigLIP": lambda: hf.SiglipImageProcessor(size={"height": EDGE, "width": EDGE}, image_mean=[0.5] * 3),
    "SigLIP 2": lambda: hf.SiglipImageProcessor(size={"height": EDGE, "width": EDGE}, resample=2),
    "MetaCLIP 2": _shorter_edge(hf.CLIPImageProcessor),
    "AltCLIP": _shorter_edge(hf.CLIPImageProcessor),
    "Chinese-CLIP": lambda: hf.ChineseCLIPImageProcessor(size={"height": EDGE, "width": EDGE}, do_center_crop=False),
    "ALIGN": _efficient_net_processor,
}
FAMILIES = tuple(_MODELS)
