"""Odd checkpoints: whatever their files contain, they are used or refused with a one-line message."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from pixsearch.errors import CheckpointInvalid, PixsearchError
from pixsearch.model.checkpoints import find_checkpoint, load_checkpoint
from pixsearch.model.compiled_forwards import CompiledForwards
from pixsearch.model.number_formats import NumberFormats
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.runtime import PixelBertRuntime
from tests.unsuitable_files import in_time

CONFIGS = [
    *("", "{", "[]", "1", '"a"', "null", "[" * 100_000, '{"a":' * 100_000, "{}" * 1000, "\ufeff{}"),
]
ODD_VALUES: list[object] = [None, -1, 0, 1, 7, 2**40, 10**400, 1e308, "a", [], [[]], {}, [1], True]
ODD_VALUES += [
    {name: {"slope": slope, "intercept": intercept} for name in ("joint", "late")}
    for slope, intercept in ((1e308, 1e308), (-1e38, 1), (1, -1e300), (float("nan"), 1), ("1", 1), (None, 1))
]
ODD_VALUES += [
    {"joint": "a", "late": "b"},
    *(
        {"joint": {"slope": slope, "intercept": "1"}, "late": {"slope": 1, "intercept": 1}}
        for slope in (1, "1", 10**400)
    ),
]


def use(folder: Path) -> None:
    """Do everything with a checkpoint that commands do. Raises PixsearchError if it is invalid."""
    found = find_checkpoint(str(folder))
    runtime = PixelBertRuntime(found)
    runtime.prepare_for_pictures()
    texts = runtime.read_texts(["red", "red " * 300])
    embeddings, grids = runtime.encode_pictures([Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")])
    scores = runtime.late_scores(texts, grids, embeddings)
    runtime.probability(scores, "late")
    runtime.probability(runtime.match(texts, grids, scores[0]), "joint")
    runtime.locate_words("a cat", grids[0], 64, 48)
    runtime.likeness(*grids)
    load_checkpoint(found)


@pytest.fixture
def odd_checkpoint(active_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        "pixsearch.model.runtime.forwards_of", lambda folder, name, gpu: CompiledForwards(folder, name, NumberFormats())
    )
    return Path(shutil.copytree(active_checkpoint, tmp_path / "checkpoint"))


def is_refused_or_used(folder: Path) -> bool:
    try:
        use(folder)
    except PixsearchError as error:
        return "\n" not in str(error)
    return True


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_whatever_the_config_of_a_checkpoint_is(text: str, odd_checkpoint: Path) -> None:
    (odd_checkpoint / "config.json").write_text(text)

    assert is_refused_or_used(odd_checkpoint)


@pytest.mark.filterwarnings("error")
def test_whatever_the_config_of_a_checkpoint_says(odd_checkpoint: Path) -> None:
    sound = json.loads((odd_checkpoint / "config.json").read_text())
    for name in sound:
        for value in ODD_VALUES:
            (odd_checkpoint / "config.json").write_text(json.dumps(sound | {name: value}))

            assert is_refused_or_used(odd_checkpoint), (name, value)


def odd_tokenizers(sound: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield tokenizers that the tokenizers package accepts, but whose tokens no model can read."""
    vocabulary = sound["model"]["vocab"]
    shifted = {word: number + 2**31 for word, number in vocabulary.items()}
    yield sound | {"model": sound["model"] | {"vocab": shifted}}
    yield sound | {"model": sound["model"] | {"vocab": {**vocabulary, "red": max(vocabulary.values()) + 1}}}
    without_unknown = {word: number for word, number in vocabulary.items() if word != "[UNK]"}
    yield sound | {"model": sound["model"] | {"vocab": without_unknown}, "added_tokens": []}
    yield sound | {"model": sound["model"] | {"unk_token": "no such"}}
    yield sound | {"post_processor": None, "normalizer": {"type": "Replace", "pattern": {"Regex": "."}, "content": ""}}
    yield sound | {"post_processor": None, "pre_tokenizer": None}


def test_a_tokenizer_that_does_not_fit_the_weights_is_refused(odd_checkpoint: Path) -> None:
    file = odd_checkpoint / "tokenizer.json"
    refused = []
    for odd in odd_tokenizers(json.loads(file.read_text())):
        file.write_text(json.dumps(odd))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert is_refused_or_used(odd_checkpoint)
            try:
                PixelBertProcessor.from_pretrained(odd_checkpoint).words(["red"])
                refused.append(False)
            except CheckpointInvalid:
                refused.append(True)

    assert refused[:2] == [True, True]


def test_weights_of_any_size_give_no_warning(odd_checkpoint: Path) -> None:
    file = odd_checkpoint / "model.safetensors"
    sound = load_file(file)
    chance = random.Random(0)
    of_heads = [name for name in sound if "backbone" not in name and sound[name].dtype.kind == "f"]
    for name in chance.sample(of_heads, 12):
        value = chance.choice([np.nan, np.inf, -np.finfo(sound[name].dtype).max])
        save_file(sound | {name: np.full_like(sound[name], value)}, file)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert is_refused_or_used(odd_checkpoint), (name, value)


def test_a_long_text_is_tokenised_no_further_than_the_model_reads(odd_checkpoint: Path) -> None:
    (odd_checkpoint / "words.txt").write_text("red\t1\n")
    runtime = PixelBertRuntime(odd_checkpoint, gpu=False)
    long = "red " * 10_000

    with in_time(5):
        [whole] = runtime.read_texts([long * 1000])
        assert runtime.unknown_words(long * 1000) == ()
    [cut] = runtime.read_texts([long])

    assert np.array_equal(whole.ids, cut.ids)
    assert np.array_equal(whole.embedding, cut.embedding)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors", "graphs.zip", "words.txt", "config.json"])
def test_whatever_bytes_the_files_of_a_checkpoint_have(name: str, odd_checkpoint: Path) -> None:
    chance = random.Random(name)
    sound = (odd_checkpoint / name).read_bytes() if (odd_checkpoint / name).exists() else b"{}"
    for number in range(12):
        at = chance.randrange(min(len(sound), 2000) if number % 2 else len(sound))
        damaged = [sound[:at], sound[:at] + chance.randbytes(8) + sound[at + 8 :], chance.randbytes(200), b""][
            number % 4
        ]
        (odd_checkpoint / name).write_bytes(damaged)

        assert is_refused_or_used(odd_checkpoint), (name, number, at)
