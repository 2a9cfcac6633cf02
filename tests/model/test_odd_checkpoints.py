"""Whatever a checkpoint's files are, it is used or refused in one line."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from pixsearch.errors import PixsearchError
from pixsearch.model.checkpoints import find_checkpoint, load_checkpoint
from pixsearch.model.compiled_forwards import CompiledForwards
from pixsearch.model.number_formats import NumberFormats
from pixsearch.model.runtime import PixelBertRuntime

CONFIGS = [
    *("", "{", "[]", "1", '"a"', "null", "[" * 100_000, '{"a":' * 100_000, "{}" * 1000, "\ufeff{}"),
]
ODD_VALUES: list[object] = [None, -1, 0, 1, 7, 2**40, 10**400, 1e308, "a", [], [[]], {}, [1], True]
ODD_VALUES += [
    {"joint": "a", "late": "b"},
    *(
        {"joint": {"slope": slope, "intercept": "1"}, "late": {"slope": 1, "intercept": 1}}
        for slope in (1, "1", 10**400)
    ),
]


def use(folder: Path) -> None:
    """All that commands do with a checkpoint. Raises PixsearchError where it is none."""
    found = find_checkpoint(str(folder))
    runtime = PixelBertRuntime(found)
    runtime.prepare_for_pictures()
    runtime.read_texts(["a cat", "red " * 300])
    load_checkpoint(found)


@pytest.fixture
def odd_checkpoint(speaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(
        "pixsearch.model.runtime.forwards_of", lambda folder, name, gpu: CompiledForwards(folder, name, NumberFormats())
    )
    return Path(shutil.copytree(speaking, tmp_path / "checkpoint"))


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


def test_whatever_the_config_of_a_checkpoint_says(odd_checkpoint: Path) -> None:
    sound = json.loads((odd_checkpoint / "config.json").read_text())
    for name in sound:
        for value in ODD_VALUES:
            (odd_checkpoint / "config.json").write_text(json.dumps(sound | {name: value}))

            assert is_refused_or_used(odd_checkpoint), (name, value)


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
