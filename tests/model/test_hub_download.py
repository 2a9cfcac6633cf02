"""Downloads from a local hub: complete, cut off, wrong and hostile ones."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pixsearch.errors import CheckpointInvalid, HubError, Interrupted, ModelError, UsageError
from pixsearch.model import hub_download
from pixsearch.model.checkpoints import hub_folder
from pixsearch.model.hub_download import download, missing_bytes, require_room
from pixsearch.model.hub_repository import Hub, Unreachable
from pixsearch.model.hub_source import HubSource, unfinished_folder
from pixsearch.progress import Progress, silent
from tests.hub_server import COMMIT, HubServer, hub_server
from tests.unsuitable_files import in_time

NAME = "hub:org/small-clip"
WEIGHTS = bytes(range(256)) * 12_000
FILES = {"config.json": b'{"model_type": "clip"}', "tokenizer.json": b"{}" * 500, "model.safetensors": WEIGHTS}


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    with in_time(60):
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one model of three files. Models are saved below `tmp_path`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        server.repositories["org/small-clip"] = dict(FILES)
        yield server


def get(convert: Callable[[Path], None] = lambda folder: None, report: Callable[[Progress], None] = silent) -> Path:
    with Hub() as client:
        return download(client, client.repository(NAME), convert, report)


def kept(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "hub.json"}


def left() -> list[Path]:
    """Return every file below the models folder."""
    return [path for path in hub_folder(NAME).parent.rglob("*") if path.is_file()]


def test_a_download_has_every_file_and_says_where_it_came_from(hub: HubServer) -> None:
    steps: list[Progress] = []

    folder = get(report=steps.append)

    assert folder == hub_folder(NAME)
    assert kept(folder) == FILES
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert HubSource.load(folder) == HubSource(NAME, COMMIT, "apache-2.0", ("en", "de"), sums)
    assert [file.name for file in folder.parent.iterdir()] == ["org--small-clip"]
    assert (steps[-2].done, steps[-2].total) == (3, 3)


BY_HUGGINGFACE_HUB = """
import sys
from huggingface_hub import hf_hub_download, model_info

about = model_info("org/small-clip", files_metadata=True)
for file in about.siblings:
    hf_hub_download("org/small-clip", file.rfilename, revision=about.sha, local_dir=sys.argv[1])
    print(file.rfilename, file.size, file.lfs.sha256 if file.lfs else file.blob_id)
"""


def test_this_hub_is_one_to_huggingface_hub_too(hub: HubServer, tmp_path: Path) -> None:
    """The other tests rely on this: Hugging Face's own client library understands the test server."""
    online = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    environment = {**online, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}

    downloaded = subprocess.run(
        [sys.executable, "-c", BY_HUGGINGFACE_HUB, str(tmp_path / "theirs")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    with Hub() as client:
        files = client.repository(NAME).files
    assert downloaded.returncode == 0, downloaded.stderr
    assert downloaded.stdout.splitlines() == [f"{file.name} {file.size_bytes} {file.checksum}" for file in files]
    assert {name: (tmp_path / "theirs" / name).read_bytes() for name in FILES} == FILES


def test_only_files_of_the_list_are_taken(hub: HubServer) -> None:
    others = ["../evil.json", "../../config.json", "/etc/passwd", "a/config.json", "run.py", "pytorch_model.bin", "x"]
    hub.repositories["org/small-clip"] |= dict.fromkeys(others, b"evil")
    hub.repositories["org/small-clip"]["open_clip_model.safetensors"] = b"evil"

    folder = get()

    assert kept(folder) == FILES
    assert {path.name for path in left()} == {*FILES, "hub.json"}
    assert not any("evil" in request.path or ".." in request.path for request in hub.requests)


def test_weights_in_several_files_are_all_taken(hub: HubServer) -> None:
    shards = {f"model-0000{number}-of-00002.safetensors": WEIGHTS[number:] for number in (1, 2)}
    files = hub.repositories["org/small-clip"]
    del files["model.safetensors"]
    files |= {**shards, "model.safetensors.index.json": b"{}"}

    assert kept(get()).keys() == {"config.json", "tokenizer.json", "model.safetensors.index.json", *shards}


def test_a_connection_that_breaks_is_taken_up_again_where_it_broke(hub: HubServer) -> None:
    hub.cut_after = [1_000_000, 500_000]

    assert kept(get()) == FILES
    assert hub.sent_bytes["model.safetensors"] == len(WEIGHTS)


def test_a_download_that_was_given_up_goes_on_where_it_was(hub: HubServer) -> None:
    hub.cut_after = [1_000_000, 0]
    with pytest.raises(Unreachable, match="run the command again to continue"):
        get()
    assert not hub_folder(NAME).exists()
    with Hub() as client:
        assert missing_bytes(client.repository(NAME)) == len(WEIGHTS) - 1_000_000
    hub.requests.clear()

    folder = get()

    assert kept(folder) == FILES
    assert hub.sent_bytes == {name: len(data) for name, data in FILES.items()}
    assert [one.headers["Range"] for one in hub.requests if "Range" in one.headers] == ["bytes=1000000-"]
    assert not (folder.parent / ".unfinished").exists()


def test_a_hub_that_breaks_off_after_every_few_bytes_is_given_up(hub: HubServer) -> None:
    hub.cut_after = [1] * 1000

    with pytest.raises(Unreachable, match="run the command again to continue"):
        get()

    assert hub.sent_bytes["model.safetensors"] == 1


def test_a_hub_that_refuses_in_the_middle_says_when_to_continue(hub: HubServer) -> None:
    with Hub() as client:
        repository = client.repository(NAME)
        hub.refusal = 429, {"Retry-After": "17"}

        with pytest.raises(Unreachable, match=r"too many requests\. Run the command again in 17 seconds to continue$"):
            download(client, repository, lambda folder: None, silent)


def test_what_is_in_the_way_of_a_model_is_named_before_its_download(hub: HubServer) -> None:
    hub_folder(NAME).mkdir(parents=True)
    (hub_folder(NAME) / "notes.txt").write_text("mine")

    with pytest.raises(
        ModelError, match=f"org--small-clip already exists. Remove it with: pixsearch model remove {NAME}"
    ):
        get()

    assert hub.sent_bytes == {}
    assert [file.name for file in left()] == ["notes.txt"]


def test_a_server_without_ranges_sends_a_file_from_its_beginning(hub: HubServer) -> None:
    hub.cut_after, hub.is_without_ranges = [1_000_000], True

    assert kept(get()) == FILES


def test_a_file_that_changed_meanwhile_is_downloaded_as_it_is_now(hub: HubServer) -> None:
    hub.cut_after = [1_000_000, 0]
    with pytest.raises(Unreachable):
        get()
    hub.repositories["org/small-clip"]["model.safetensors"] = WEIGHTS[::-1]

    assert kept(get())["model.safetensors"] == WEIGHTS[::-1]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_with_other_bytes_than_the_hub_states_is_deleted(hub: HubServer, name: str) -> None:
    hub.sent_instead[name] = FILES[name][:-1] + b"?"

    with pytest.raises(HubError, match=f"{name} from {NAME} did not match its checksum"):
        get()

    assert not hub_folder(NAME).exists()
    assert not [path for path in left() if path.name.startswith(name)]
    hub.sent_instead.clear()
    assert kept(get()) == FILES


@pytest.mark.parametrize("more", [b"more", None])
def test_a_file_that_is_longer_or_shorter_than_the_hub_states_is_refused(hub: HubServer, more: bytes | None) -> None:
    hub.sent_instead["model.safetensors"] = WEIGHTS + more if more else WEIGHTS[:-10]

    with pytest.raises(
        HubError, match=r"more data for model\.safetensors than|received only part of model\.safetensors"
    ):
        get()

    assert not hub_folder(NAME).exists()


def test_bytes_that_rot_before_the_download_goes_on_are_noticed(hub: HubServer) -> None:
    hub.cut_after = [1_000_000, 0]
    with pytest.raises(Unreachable):
        get()
    (part,) = unfinished_folder(NAME).glob("model.safetensors*")
    part.write_bytes(b"\0" * 1_000_000)

    with pytest.raises(HubError, match="checksum"):
        get()

    assert not part.exists()


PICKLE = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": b"{}"}, r"has no weights in safetensors: there is no model\.safetensors"),
        (PICKLE, r"has no weights in safetensors: only pytorch_model\.bin, a pickle"),
        ({"model.safetensors.index.json": b"{}", "config.json": b"{}"}, "has no weights in safetensors"),
        ({"model.safetensors": b"w"}, r"has no config\.json"),
    ],
)
def test_a_repository_without_what_is_needed_is_refused(hub: HubServer, files: dict[str, bytes], message: str) -> None:
    hub.repositories["org/small-clip"] = files

    with pytest.raises(HubError, match=message):
        get()

    assert left() == []


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (401, {}, "has no public model hub:org/small-clip"),
        (403, {"X-Error-Code": "GatedRepo"}, "is gated: .* Accept them at .*/org/small-clip, and set HF_TOKEN"),
        (401, {"X-Error-Code": "GatedRepo"}, "is gated"),
        (404, {"X-Error-Code": "RepoNotFound"}, "has no public model hub:org/small-clip"),
        (404, {}, "has no public model hub:org/small-clip"),
        (429, {"Retry-After": "17"}, "too many requests. Run the command again in 17 seconds"),
        (
            429,
            {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"},
            "too many requests. Run the command again in a few minutes",
        ),
        (500, {}, r"is currently unavailable \(HTTP 500\). Run the command again later"),
        (503, {}, r"is currently unavailable \(HTTP 503\)"),
        (418, {}, r"refused to send hub:org/small-clip \(HTTP 418\)"),
        (302, {"Location": "ftp://elsewhere/"}, "cannot be reached|does not respond like the Hugging Face Hub"),
    ],
)
def test_a_hub_that_refuses_is_one_line(hub: HubServer, status: int, headers: dict[str, str], message: str) -> None:
    hub.refusal = status, headers

    with pytest.raises(HubError, match=message) as refused:
        get()

    assert "\n" not in str(refused.value)
    assert left() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"sha": "main", "siblings": []}',
        json.dumps({"sha": COMMIT, "siblings": [{}]}).encode(),
        json.dumps({"sha": COMMIT, "siblings": 3}).encode(),
        json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}).encode(),
        json.dumps(
            {"sha": COMMIT, "siblings": [{"rfilename": name, "size": -1, "blobId": "0" * 40} for name in FILES]}
        ).encode(),
        b" " * (17 << 20),
    ],
    ids=[
        "empty",
        "HTML",
        "list",
        "null",
        "object",
        "deep",
        "no commit",
        "no name",
        "no list",
        "no sums",
        "size",
        "long",
    ],
)
def test_an_answer_that_makes_no_sense_is_one_line(hub: HubServer, answer: bytes) -> None:
    hub.answer = answer

    with pytest.raises(HubError, match=r"sent an invalid description of hub:org|more data for the description"):
        get()


def test_a_file_larger_than_any_of_its_kind_is_not_begun(hub: HubServer) -> None:
    description = hub.describe("org/small-clip")
    description["siblings"][2]["lfs"]["size"] = 17 << 30
    hub.answer = json.dumps(description).encode()

    size = r"model\.safetensors from hub:org/small-clip is too large for pixsearch \(18,253,611,008 bytes\)"
    with pytest.raises(HubError, match=size):
        get()


def test_no_network_is_one_line(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(Unreachable, match=r"http://127.0.0.1:9 cannot be reached \(.*refused\)"):
        get()


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://hub", "file:///etc"])
def test_an_endpoint_that_is_no_web_address_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    with pytest.raises(UsageError, match=f"HF_ENDPOINT must be an http or https URL, got {endpoint}"):
        Hub()


@pytest.mark.parametrize("name", ["clip", "a/b/c", "hub:../x", "hub:a/..", "hub:a/b?c", "hub:/b", "hub:a/b\n"])
def test_a_name_that_no_model_can_have_is_not_asked_for(hub: HubServer, name: str) -> None:
    with Hub() as client, pytest.raises(UsageError, match="not a valid name for a model on the Hub"):
        client.repository(name)

    assert hub.requests == []


def test_a_revision_is_asked_for_by_its_name(hub: HubServer) -> None:
    with Hub() as client:
        assert client.repository(NAME, "main").commit == COMMIT
        with pytest.raises(HubError, match=r"hub:org/small-clip has no revision v2/\.\./x"):
            client.repository(NAME, "v2/../x")

    assert hub.requests[-1].path == "/api/models/org/small-clip/revision/v2%2F..%2Fx?blobs=true"


def test_a_token_is_sent_to_the_hub_alone_and_only_if_it_is_set(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / ".cache/huggingface/token"
    stored.parent.mkdir(parents=True)
    stored.write_text("stored")
    monkeypatch.setenv("HOME", str(tmp_path))
    with hub_server() as elsewhere:
        elsewhere.repositories, hub.moves_to = hub.repositories, elsewhere.address
        with Hub() as client:
            client.repository(NAME)
        without = list(hub.requests)
        monkeypatch.setenv("HF_TOKEN", "secret")
        get()

    assert not [one for one in without if "authorization" in {name.lower() for name in one.headers}]
    assert {one.headers["Authorization"] for one in hub.requests[len(without) :]} == {"Bearer secret"}
    assert len(elsewhere.requests) == len(FILES)
    assert "secret" not in repr(elsewhere.requests)


def test_a_refused_token_is_named_and_not_shown(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.refusal = 401, {}

    with pytest.raises(HubError, match="rejected the token in HF_TOKEN") as refused:
        get()

    assert "secret" not in str(refused.value)


def test_a_model_that_the_conversion_refuses_is_deleted(hub: HubServer) -> None:
    def refuse(folder: Path) -> None:
        raise CheckpointInvalid("it is none", "Use another")

    with pytest.raises(CheckpointInvalid, match="it is none"):
        get(refuse)

    assert left() == []


@pytest.mark.parametrize("cause", [OSError(errno.ENOSPC, "No space left on device"), ImportError("no sentencepiece")])
def test_a_model_that_this_machine_could_not_convert_need_not_be_downloaded_again(
    hub: HubServer, cause: Exception
) -> None:
    def refuse(folder: Path) -> None:
        (folder / "pictures.bin").write_bytes(b"half")
        raise CheckpointInvalid("cannot convert", "Fix it") from cause

    with pytest.raises(CheckpointInvalid):
        get(refuse)
    before = dict(hub.sent_bytes)

    folder = get()

    assert kept(folder) == FILES
    assert hub.sent_bytes == before


def test_what_the_conversion_adds_is_there_when_the_model_is(hub: HubServer) -> None:
    def convert(folder: Path) -> None:
        assert kept(folder) == FILES
        assert not hub_folder(NAME).exists()
        (folder / "dual_encoder.json").write_bytes(b"{}")

    assert kept(get(convert)) == FILES | {"dual_encoder.json": b"{}"}


def test_ctrl_c_keeps_what_is_there_and_says_how_to_go_on(hub: HubServer) -> None:
    def stop(step: Progress) -> None:
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=f"{NAME} is not complete yet. Run the command again to continue"):
        get(report=stop)

    assert not hub_folder(NAME).exists()
    assert kept(get()) == FILES
    assert hub.sent_bytes["model.safetensors"] < len(WEIGHTS) + 2_000_000  # only bytes in transit are sent again


def test_a_file_that_cannot_be_written_is_one_line_and_what_is_there_is_kept(hub: HubServer) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(ModelError, match=r"model\.safetensors.* cannot be written \(File too large\). Free"):
            get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not hub_folder(NAME).exists()
    assert kept(get()) == FILES
    assert hub.sent_bytes["config.json"] == len(FILES["config.json"])


def test_a_disk_without_room_is_not_begun_to_fill(hub: HubServer) -> None:
    description = hub.describe("org/small-clip")
    config, weights = (
        one for one in description["siblings"] if one["rfilename"] in ("config.json", "model.safetensors")
    )
    weights["lfs"]["size"] = 10_000_000_000
    shards = [weights | {"rfilename": f"model-{number:05}-of-10000.safetensors"} for number in range(10_000)]
    index = config | {"rfilename": "model.safetensors.index.json"}
    hub.answer = json.dumps(description | {"siblings": [config, index, *shards]}).encode()

    with Hub() as client, pytest.raises(ModelError, match=r"MB free, but hub:org/small-clip needs 200,000,067 MB"):
        require_room(client.repository(NAME))


def test_two_processes_do_not_download_one_model(hub: HubServer) -> None:
    def again(folder: Path) -> None:
        with pytest.raises(ModelError, match="another process is writing to"):
            get()

    assert kept(get(again)) == FILES


@pytest.mark.parametrize("planted", ["folder", "parent", "file"])
def test_a_link_in_the_place_of_what_is_downloaded_is_not_followed(
    hub: HubServer, tmp_path: Path, planted: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_bytes(b"mine")
    folder = unfinished_folder(NAME)
    with Hub() as client:
        part = hub_download._part(folder, client.repository(NAME).files[0])
    link = {"folder": folder, "parent": folder.parent, "file": part}[planted]
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere / "mine" if planted == "file" else elsewhere)

    with pytest.raises(ModelError, match=r"is a link|symbolic links"):
        get()

    assert [(file.name, file.read_bytes()) for file in elsewhere.iterdir()] == [("mine", b"mine")]
