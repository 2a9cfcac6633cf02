"""`pixsearch model` with a local hub server."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixsearch.model.checkpoints import find_checkpoint, hub_folder
from pixsearch.model.hub_source import unfinished_folder
from tests.cli.conftest import Run
from tests.hub_server import COMMIT, HubServer, hub_server
from tests.tiny_checkpoint import make_checkpoint_without_graphs, make_tiny_checkpoint
from tests.tiny_dual_encoders import make_tiny_dual_encoder
from tests.unsuitable_files import in_time

NAME = "hub:org/tiny-clip"


class Terminal(io.StringIO):
    """The text typed at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dual_encoder(tmp_path_factory.mktemp("clip"), "CLIP")


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    with in_time(60):
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path, library: Path) -> Iterator[HubServer]:
    """A hub with a tiny CLIP model. Models are saved below `tmp_path`, and no library exists yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        server.add("org/tiny-clip", clip)
        yield server


def type_in(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def names(run: Run) -> dict[str, str]:
    return {one["name"]: one["kind"] for one in json.loads(run("model", "list", "--json").stdout)["models"]}


def test_a_model_is_downloaded_converted_found_shown_and_removed(run: Run, hub: HubServer) -> None:
    got = run("model", "get", "org/tiny-clip", "--yes")

    folder = hub_folder(NAME)
    size = sum(len(data) for data in hub.repositories["org/tiny-clip"].values())
    assert got.exit_code == 0, got.stderr
    assert got.stdout.splitlines() == [
        f"{folder}: {NAME}",
        f"To search with this model, run: pixsearch index --model {NAME} FOLDER",
    ]
    assert got.stderr.splitlines()[:4] == [
        f"model     {NAME} (revision {COMMIT[:12]})",
        "licence   apache-2.0",
        f"size      {size / 1e3:,.0f} kB in {len(hub.repositories['org/tiny-clip'])} files",
        f"folder    {folder}",
    ]
    assert find_checkpoint(NAME) == folder
    listed = json.loads(run("model", "list", "--json").stdout)["models"]
    assert [one["name"] for one in listed] == ["shipped", NAME]
    assert {key: listed[1][key] for key in ("kind", "licence", "languages", "revision", "indexed_with")} == {
        "kind": "clip",
        "licence": "apache-2.0",
        "languages": ["en", "de"],
        "revision": COMMIT,
        "indexed_with": False,
    }
    shown = json.loads(run("model", "show", "org/tiny-clip", "--json").stdout)
    assert (shown["input_size"], shown["embedding_size"], shown["reads_pairs"], shown["calibrated"]) == (
        32,
        16,
        False,
        False,
    )
    assert run("model", "remove", NAME, "--yes").stdout == f"{folder} deleted\n"
    assert names(run) == {"shipped": "Pixel-BERT"}


def test_a_model_that_is_there_is_not_downloaded_again(run: Run, hub: HubServer, clip: Path) -> None:
    run("model", "get", NAME, "--yes")
    hub.requests.clear()

    again, same = run("model", "get", NAME, "--yes"), run("model", "get", NAME, "--revision", COMMIT[:8])
    other = run("model", "get", NAME, "--yes", "--revision", "other")

    assert [(one.exit_code, one.stderr) for one in (again, same)] == [
        (0, f"pixsearch: {NAME} is already on this machine\n")
    ] * 2
    assert other.exit_code == 2
    assert (
        f"is already on this machine at the revision {COMMIT[:12]}. To replace it, first run: pixsearch model remove"
        in other.stderr
    )
    assert hub.requests == []


def test_without_a_yes_nothing_is_downloaded(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = run("model", "get", NAME)
    answers = []
    for answer in ("n\n", "\n", ""):
        type_in(answer, monkeypatch)
        answers.append(run("model", "get", NAME))

    assert nobody.exit_code == 2
    assert nobody.stderr.splitlines()[4:] == [
        "pixsearch: cannot ask for confirmation without a terminal. Add --yes to skip the prompt"
    ]
    assert [one.exit_code for one in answers] == [1, 1, 1]
    assert all(one.stderr.endswith("Download it? [y/N] pixsearch: nothing was downloaded\n") for one in answers)
    assert set(hub.sent_bytes) == {"config.json"}
    assert not hub_folder(NAME).parent.exists()


def test_a_yes_at_the_terminal_downloads(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in("y\n", monkeypatch)

    assert run("model", "get", NAME).exit_code == 0
    assert (hub_folder(NAME) / "pictures.xml").is_file()


def test_what_a_card_says_cannot_write_to_the_terminal(run: Run, hub: HubServer) -> None:
    hub.card = {"license": "\x1b[2Jmit\nfolder    /"}

    shown = run("model", "get", NAME).stderr

    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "bert"}, "is not a dual encoder: bert does not embed both"),
        ({"model_type": "siglip2"}, "takes pictures of any size"),
        ({"model_type": "new"}, "transformers does not support the model type in config.json"),
        ({}, "transformers does not support the model type in config.json"),
        ([], "transformers does not support the model type in config.json"),
    ],
)
def test_what_is_no_dual_encoder_is_refused_before_its_weights_are_downloaded(
    run: Run, hub: HubServer, config: object, message: str
) -> None:
    hub.repositories["org/tiny-clip"]["config.json"] = json.dumps(config).encode()

    outcome = run("model", "get", NAME, "--yes")

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert message in outcome.stderr
    assert NAME in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert set(hub.sent_bytes) == {"config.json"}
    assert not hub_folder(NAME).parent.exists()


def test_a_model_whose_files_cannot_be_converted_is_refused_and_not_kept(run: Run, hub: HubServer) -> None:
    del hub.repositories["org/tiny-clip"]["tokenizer.json"]

    outcome = run("model", "get", NAME, "--yes")

    assert outcome.exit_code == 1
    assert "has no tokenizer. Download" in outcome.stderr.splitlines()[-1]
    assert list(hub_folder(NAME).parent.iterdir()) == []


def test_what_goes_wrong_is_one_line_and_leaves_nothing_that_a_command_takes_for_a_model(
    run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.repositories["org/tiny-clip"]
    hub.repositories["org/empty"] = {"config.json": files["config.json"]}
    hub.repositories["org/pickled"] = {"config.json": files["config.json"], "pytorch_model.bin": b"pickle"}
    hub.sent_instead["model.safetensors"] = files["model.safetensors"][:-1] + b"?"

    outcomes = {name: run("model", "get", f"hub:org/{name}", "--yes") for name in ("empty", "pickled", "tiny-clip")}
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    outcomes["no network"] = run("model", "get", NAME, "--yes")

    messages = {
        "empty": "hub:org/empty has no weights in safetensors: there is no model.safetensors",
        "pickled": "hub:org/pickled has no weights in safetensors: only pytorch_model.bin, a pickle",
        "tiny-clip": f"model.safetensors from {NAME} did not match its checksum and was discarded",
        "no network": "http://127.0.0.1:9 cannot be reached ([Errno 111] Connection refused)",
    }
    for name, outcome in outcomes.items():
        assert (outcome.exit_code, outcome.stdout) == (1, "")
        assert outcome.stderr.splitlines()[-1].startswith(f"pixsearch: {messages[name]}")
        assert outcome.stderr.count("\n") == (5 if name == "tiny-clip" else 1)  # the prompt and the error
    assert not hub_folder(NAME).exists()
    assert not list(unfinished_folder(NAME).glob("model.safetensors*"))


def test_a_language_model_is_downloaded_as_it_is(run: Run, hub: HubServer) -> None:
    hub.repositories["org/bert"] = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}

    got = run("model", "get", "hub:org/bert", "--language-model", "--yes")
    refused = run("model", "get", NAME, "--language-model", "--yes")

    assert got.exit_code == 0, got.stderr
    assert got.stdout.endswith(
        "To train with this model, run: pixsearch train --set start.language_model=hub:org/bert\n"
    )
    assert names(run)["hub:org/bert"] == "bert"
    assert "input_size" in json.loads(run("model", "show", "hub:org/bert", "--json").stdout)
    assert refused.stderr == f"pixsearch: {NAME} is not a BERT model (model type: clip). Choose a BERT model\n"


def test_a_download_that_was_given_up_is_listed_continued_and_can_be_removed(run: Run, hub: HubServer) -> None:
    hub.cut_after = [10_000, 0]

    first = run("model", "get", NAME, "--yes")

    assert (first.exit_code, first.stderr.splitlines()[4:]) == (1, first.stderr.splitlines()[4:5])
    assert first.stderr.endswith("run the command again to continue\n")
    assert names(run)[NAME] == "incomplete"
    assert run("index", "--model", NAME, ".").stderr.endswith(f"Download it with: pixsearch model get {NAME}\n")
    assert run("model", "remove", NAME, "--yes").exit_code == 0
    assert not unfinished_folder(NAME).exists()


def test_the_users_own_models_are_listed_by_name_and_removed_by_it(run: Run, hub: HubServer, tmp_path: Path) -> None:
    models = tmp_path / "data/pixsearch/models"
    make_checkpoint_without_graphs(models / "mine")
    elsewhere = make_checkpoint_without_graphs(tmp_path / "elsewhere")
    (models / "linked").symlink_to(elsewhere)
    (models / "mine/link").symlink_to(elsewhere)

    assert names(run) == {"shipped": "Pixel-BERT", "linked": "Pixel-BERT", "mine": "Pixel-BERT"}
    assert run("model", "show", "mine").stdout.splitlines()[0] == "model       mine"
    for name in ("mine", "linked"):
        assert run("model", "remove", name, "--yes").exit_code == 0

    assert list(models.iterdir()) == []
    assert (elsewhere / "config.json").is_file()


@pytest.mark.parametrize("name", ["..", ".", "hub", "", "../models", "shipped", "/etc", "./mine", "hub:a/..", "hub:x"])
def test_only_what_lies_in_the_models_folder_is_removed(run: Run, hub: HubServer, tmp_path: Path, name: str) -> None:
    kept = make_checkpoint_without_graphs(tmp_path / "data/pixsearch/models/mine")

    outcome = run("model", "remove", name, "--yes")

    assert outcome.exit_code in (1, 2)
    assert outcome.stderr.count("\n") == 1
    assert (kept / "config.json").is_file()


def test_a_models_folder_that_leads_elsewhere_is_not_emptied(run: Run, hub: HubServer, tmp_path: Path) -> None:
    elsewhere = make_checkpoint_without_graphs(tmp_path / "elsewhere/org--model").parent
    models = tmp_path / "data/pixsearch/models"
    models.mkdir(parents=True)
    (models / "hub").symlink_to(elsewhere)

    outcome = run("model", "remove", "hub:org/model", "--yes")

    assert "is outside your models folder" in outcome.stderr
    assert (elsewhere / "org--model/config.json").is_file()


def test_the_model_that_the_library_is_indexed_with_is_named(
    run: Run, hub: HubServer, library: Path, photos: Path
) -> None:
    run("model", "get", NAME, "--yes")
    run("index", photos, "--model", NAME)

    listed = {one["name"]: one["indexed_with"] for one in json.loads(run("model", "list", "--json").stdout)["models"]}
    table = run("model", "list").stdout
    removed = run("model", "remove", NAME)

    assert listed == {"shipped": False, NAME: True}
    assert f"{NAME} (the library's)" in table
    assert (
        f"the library {library} is indexed with this model. To search by words afterwards, download it again"
        in removed.stderr
    )
    assert removed.exit_code == 2  # there is no terminal at which to confirm
    assert hub_folder(NAME).is_dir()


def test_the_librarys_model_is_listed_from_wherever_it_lies(
    run: Run, hub: HubServer, library: Path, photos: Path, tmp_path: Path
) -> None:
    elsewhere = make_tiny_checkpoint(tmp_path / "elsewhere")
    run("index", photos, "--model", elsewhere)

    listed = names(run)
    shutil.rmtree(elsewhere)

    assert listed == {"shipped": "Pixel-BERT", str(elsewhere): "Pixel-BERT"}
    assert names(run) == {"shipped": "Pixel-BERT"}


def test_a_library_that_cannot_be_read_does_not_hide_the_models(run: Run, hub: HubServer, library: Path) -> None:
    library.mkdir()
    (library / "library.db").write_bytes(b"nonsense" * 1000)

    listed = run("model", "list")

    assert listed.exit_code == 0
    assert "shipped" in listed.stdout
    assert listed.stderr.count("\n") == 1


@pytest.mark.parametrize("key", ["name", "revision", "licence", "languages", "files"])
@pytest.mark.parametrize("value", [3, {"a": 1}, [1], None])
def test_a_source_that_is_damaged_is_as_good_as_none(run: Run, hub: HubServer, key: str, value: object) -> None:
    folder = hub_folder(NAME)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "clip"}')
    source = {"name": NAME, "revision": COMMIT, "licence": "mit", "languages": ["en"], "files": {}}
    (folder / "hub.json").write_text(json.dumps(source | {key: value}))

    listed, other = run("model", "list"), run("model", "get", NAME, "--revision", "v1", "--yes")

    assert NAME in listed.stdout
    assert other.exit_code == 2
    assert f"{NAME} is already on this machine at" in other.stderr
