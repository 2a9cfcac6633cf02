"""Saved checkpoints load unchanged, and invalid ones are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from safetensors.torch import load_file, save_file

from pixsearch.errors import CheckpointInvalid, ModelNotFound
from pixsearch.model.checkpoints import (
    SHIPPED,
    checkpoint_name,
    find_checkpoint,
    fingerprint,
    load_checkpoint,
    mean_pixel,
    save_calibration,
    save_checkpoint,
)
from pixsearch.model.config import Calibration, Curve
from pixsearch.model.filling import filled_graph
from pixsearch.model.graphs import load_graphs
from tests.tiny_checkpoint import make_tiny_checkpoint
from tests.unsuitable_files import UNSUITABLE, in_time

CURVE = {"slope": 2.0, "intercept": -1.0}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Return a copy of a checkpoint for a test to damage."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def change_config(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_checkpoint_loads_as_saved_within_half_precision(folder: Path, tmp_path: Path) -> None:
    model, processor = load_checkpoint(folder)
    save_checkpoint(tmp_path / "again", model, processor)
    again, _ = load_checkpoint(tmp_path / "again")

    for name, tensor in model.state_dict().items():
        assert torch.allclose(again.state_dict()[name], tensor, rtol=2e-3, atol=1e-4), name
    assert not model.training
    assert {file.name for file in (tmp_path / "again").iterdir()} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    }


def test_matrices_are_stored_as_halves_word_embeddings_as_bytes_and_vectors_whole(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")

    assert tensors["maps.text_map.weight"].dtype == torch.float16
    assert tensors["maps.text_map.bias"].dtype == torch.float32
    assert tensors["model.word_embedding.word_embeddings.weight.int8"].dtype == torch.int8


def test_a_tokenizer_is_saved_without_indentation_and_means_the_same(saved: Path) -> None:
    text = (saved / "tokenizer.json").read_text()

    assert "\n" not in text
    assert load_checkpoint(saved)[1].tokenizer.encode("a cat").ids == [101, 104, 106, 130, 149, 102]


def test_the_words_of_a_model_are_saved_and_are_not_part_of_its_fingerprint(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder)
    (folder / "words.txt").write_text("a\t7\ncat\t3\n")

    save_checkpoint(tmp_path / "again", *load_checkpoint(folder))

    assert fingerprint(folder) == before
    assert (tmp_path / "again" / "words.txt").read_text() == "a\t7\ncat\t3\n"
    assert fingerprint(tmp_path / "again") == fingerprint(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_checkpoint_with_a_file_missing_or_cut_is_refused_in_one_line(folder: Path, name: str) -> None:
    file = folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointInvalid) as cut:
        load_checkpoint(folder)
    file.unlink()
    with pytest.raises(CheckpointInvalid) as missing:
        load_checkpoint(folder)

    assert name in str(cut.value)
    assert name in str(missing.value)
    assert "\n" not in str(cut.value) + str(missing.value)


def test_weights_with_a_tensor_too_few_too_many_or_of_another_shape_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = load_file(file)
    few = {name: tensor for name, tensor in whole.items() if name != "late_weight"}
    for spoilt in (few, whole | {"extra": torch.zeros(1)}, whole | {"late_weight": torch.zeros(2)}):
        save_file(spoilt, file)
        with pytest.raises(CheckpointInvalid):
            load_checkpoint(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 48},
        {"resize": "crop"},
        {"unknown": 1},
        {"layers": "many"},
        {"layers": True},
        {"layers": -1},
        {"backbone": "vgg16"},
        {"heads": 0},
        {"heads": 5},
        {"input_size": 0},
        {"dropout": 1.5},
        {"calibration": "steep"},
        {"calibration": [1.0, 0.0]},
        {"calibration": {"slope": 1.0}},
        {"calibration": {"joint": {"slope": 1.0, "intercept": "a"}, "late": {"slope": 1.0, "intercept": 0.0}}},
        {"calibration": {"joint": {"slope": 1.0, "intercept": 0.0}, "late": {"slope": float("nan"), "intercept": 0.0}}},
        {"calibration": {"joint": None, "late": None}},
        {"calibration": {"joint": {"slope": 1.0, "intercept": 0.0}}},
    ],
    ids=lambda change: ", ".join(f"{name} {value}" for name, value in change.items()),
)
def test_a_config_that_is_invalid_or_does_not_fit_the_weights_is_refused_in_one_line(
    folder: Path, change: dict[str, object]
) -> None:
    change_config(folder, **change)

    with pytest.raises(CheckpointInvalid) as refusal:
        load_checkpoint(folder)
    assert "\n" not in str(refusal.value)


def add_removed_fields(folder: Path, gate: float = 0.0) -> None:
    """Add the fields and tensors of older checkpoints that have since been removed."""
    change_config(folder, pixel_positions=False, joint_from_layer=0)
    file = folder / "model.safetensors"
    projection = {"image_projection.weight": torch.ones(16, 32).half(), "image_projection.bias": torch.ones(16)}
    save_file(load_file(file) | projection | {"image_gate": torch.tensor(gate)}, file)


def test_removed_fields_with_neutral_values_do_not_change_the_results_of_a_checkpoint(
    folder: Path, saved: Path
) -> None:
    add_removed_fields(folder)

    old, new = (load_checkpoint(checkpoint)[0] for checkpoint in (folder, saved))

    assert old.config == new.config
    assert old.state_dict().keys() == new.state_dict().keys()
    ids, grid = torch.tensor([[101, 104, 105, 102]]), torch.rand(1, 4, 1280)
    with torch.no_grad():
        assert torch.equal(old.embed_text(ids, ids > 0), new.embed_text(ids, ids > 0))
        assert torch.equal(old.embed_image(grid), new.embed_image(grid))
        assert torch.equal(*(model.match(ids, ids > 0, grid, torch.tensor([0.5])) for model in (old, new)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"joint_from_layer": 1}, "joint_from_layer to 1, which is no longer supported"),
        ({"pixel_positions": True}, "pixel_positions to True, which is no longer supported"),
        ({"task": "pretrain"}, "the task 'pretrain', which is no longer supported"),
    ],
)
def test_removed_fields_with_other_values_are_refused_in_one_line(
    folder: Path, change: dict[str, object], reason: str
) -> None:
    add_removed_fields(folder)
    change_config(folder, **change)

    for read in (load_checkpoint, fingerprint):
        with pytest.raises(CheckpointInvalid, match=reason) as refusal:
            read(folder)
        assert str(refusal.value).endswith("Train the checkpoint again with this version of pixsearch")
        assert "\n" not in str(refusal.value)


def test_an_open_gate_is_refused_in_one_line(folder: Path) -> None:
    add_removed_fields(folder, gate=0.5)

    with pytest.raises(CheckpointInvalid, match=r"open image gate \(0.5\), which is no longer") as refusal:
        load_checkpoint(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["[]", "3", "{}", "null"])
def test_a_config_that_is_not_an_object_with_its_fields_is_refused_in_one_line(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)

    with pytest.raises(CheckpointInvalid, match="is not a valid Pixel-BERT config") as refusal:
        load_checkpoint(folder)
    assert "\n" not in str(refusal.value)


def test_the_fingerprint_differs_between_models_but_not_calibrations(folder: Path, saved: Path, tmp_path: Path) -> None:
    original = fingerprint(saved)

    change_config(folder, calibration={"joint": CURVE, "late": CURVE}, rerank=False)
    assert fingerprint(folder) == original
    change_config(folder, input_size=96)
    assert fingerprint(folder) != original
    assert fingerprint(make_tiny_checkpoint(tmp_path / "other", seed=1)) != original
    other_words = Path(shutil.copytree(saved, tmp_path / "other words"))
    tokenizer = other_words / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"a"', '"A"'))
    assert fingerprint(other_words) != original


def test_the_built_in_model_keeps_the_fingerprint_that_libraries_store() -> None:
    assert fingerprint(SHIPPED) == "423a737fbca9819dde1730fc0c50993c"


def test_a_calibration_does_not_change_the_fingerprint_of_a_checkpoint_with_removed_fields(folder: Path) -> None:
    add_removed_fields(folder)
    before = fingerprint(folder)

    save_calibration(folder, Calibration(Curve(2.0, -1.0), Curve(10.0, -5.0)))

    assert load_checkpoint(folder)[1].config.calibration == Calibration(Curve(2.0, -1.0), Curve(10.0, -5.0))
    assert fingerprint(folder) == before


@pytest.mark.parametrize("older", [{"temperature": 7.6, "bias": -11.4}, {"slope": 2.0, "intercept": -1.0}])
def test_an_older_calibration_is_dropped_and_does_not_change_the_fingerprint(
    folder: Path, older: dict[str, float]
) -> None:
    """Older calibrations are for a caption's only picture, or for the joint stream alone."""
    before = fingerprint(folder)

    change_config(folder, calibration=older)

    assert load_checkpoint(folder)[1].config.calibration is None
    assert fingerprint(folder) == before


def test_a_model_is_found_by_its_folder_and_by_its_name(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch.model.checkpoints.models_folder", lambda: tmp_path)
    named = Path(shutil.copytree(saved, tmp_path / "mine"))

    assert find_checkpoint(str(saved)) == saved
    assert find_checkpoint("mine") == named
    assert find_checkpoint(checkpoint_name(named)) == named
    with pytest.raises(ModelNotFound, match="no model 'yours'"):
        find_checkpoint("yours")


def test_the_built_in_model_has_a_name_that_does_not_depend_on_its_folder(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "behind a link"
    installed.symlink_to(saved)
    monkeypatch.setattr("pixsearch.model.checkpoints.SHIPPED", installed)

    assert find_checkpoint(None) == find_checkpoint("shipped") == saved
    assert checkpoint_name(find_checkpoint(None)) == "shipped"


def test_a_config_may_have_an_integer_for_a_float(folder: Path) -> None:
    change_config(folder, dropout=0)

    assert load_checkpoint(folder)[0].config.dropout == 0


@pytest.mark.parametrize("kind", UNSUITABLE)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "words.txt"])
def test_a_part_that_is_not_a_file_or_is_endless_is_refused_at_once(folder: Path, name: str, kind: str) -> None:
    UNSUITABLE[kind](folder / name)

    with in_time(), pytest.raises(CheckpointInvalid, match=rf"{name}.*\((not a regular file|larger than \d+ [MG]iB)\)"):
        load_checkpoint(folder)


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_weights_that_are_not_a_file_or_are_endless_have_no_fingerprint_or_mean(folder: Path, kind: str) -> None:
    UNSUITABLE[kind](folder / "model.safetensors")

    for read in (fingerprint, mean_pixel):
        with in_time(), pytest.raises(CheckpointInvalid, match=r"not a regular file|larger than 4 GiB"):
            read(folder)


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_graphs_that_are_not_a_file_or_are_endless_count_as_missing(folder: Path, kind: str) -> None:
    UNSUITABLE[kind](folder / "graphs.zip")

    with in_time(), pytest.raises(CheckpointInvalid, match="has no CPU graphs"):
        load_graphs(folder)


def test_a_graph_that_would_unpack_to_a_gigabyte_is_refused(folder: Path) -> None:
    with ZipFile(folder / "graphs.zip") as archive:
        about = archive.read("about.json")
    with ZipFile(folder / "graphs.zip", "w", ZIP_DEFLATED) as bomb:
        bomb.writestr("about.json", about)
        with bomb.open("match.xml", "w") as member:
            for _ in range(65):
                member.write(bytes(1 << 20))
        bomb.writestr("match.bin", b"")

    with pytest.raises(CheckpointInvalid, match=r"graphs\.zip is damaged"):
        filled_graph(load_graphs(folder), "match", folder)
