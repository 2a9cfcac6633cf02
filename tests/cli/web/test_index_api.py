"""`/api/index`: adding, updating and forgetting folders over HTTP, where `--allow-index` permits it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pixsearch.errors import UsageError
from pixsearch_cli.web.access import access_at
from pixsearch_cli.web.allowed_folders import allowed_folders
from tests.cli.conftest import Run
from tests.cli.web.conftest import OURS, MakeClient
from tests.photos import make_photo

OUTSIDE = "this folder is outside the folders that --allow-index permits"
CHILD_TAKES_S = 60


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A folder that may be indexed, with things that may not be indexed next to it and inside it."""
    folder = tmp_path / "Pictures"
    for name in ("2024/May", ".hidden/inner", "@eaDir", "Trip.lrdata"):
        (folder / name).mkdir(parents=True)
    (folder / "notes.txt").write_text("no folder")
    (tmp_path / "Pictures of others").mkdir()
    (folder / "link").symlink_to(tmp_path / "Pictures of others")
    (folder / "inner link").symlink_to(folder / "2024")
    (folder / "loop").symlink_to(folder / "loop")
    return folder


@pytest.fixture
def client(make_client: MakeClient, allowed: Path, photos: Path) -> Iterator[TestClient]:
    """A client that may index `allowed` and the photos, with one event loop for the whole test."""
    with make_client(allow_index=[allowed, photos]) as made:
        yield made


def ended_run(client: TestClient) -> dict[str, Any]:
    until = time.monotonic() + CHILD_TAKES_S
    while time.monotonic() < until:
        run: dict[str, Any] = client.get("/api/index").json()["run"]
        if run["ended"]:
            return run
        time.sleep(0.05)
    raise AssertionError("the run does not end")


def test_without_the_option_nothing_is_there(make_client: MakeClient, photos: Path) -> None:
    client = make_client()

    for answer in (
        client.get("/api/index"),
        client.get("/api/index/folders"),
        client.post("/api/index", json={"folder": str(photos)}),
        client.post("/api/index/forget", json={"folder": str(photos)}),
        client.delete("/api/index"),
    ):
        assert answer.status_code == 404
    html = client.get("/library").text
    assert "library.js" not in html
    assert "Forget" not in html


def test_a_token_is_needed_even_on_this_machine() -> None:
    assert access_at("127.0.0.1", None).token is None
    assert access_at("127.0.0.1", None, may_index=True).token is not None
    with pytest.raises(UsageError, match=r"--allow-index requires a token.*Omit --no-token"):
        access_at("127.0.0.1", None, allowed_hosts=["photos.example.org"], asks_for_token=False, may_index=True)


@pytest.mark.parametrize("name", ["", "nowhere", "s3://bucket/photos", "file.txt", "a\0b"])
def test_what_is_allowed_has_to_be_a_folder_of_this_machine(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(UsageError, match="is not a folder on this machine"):
        allowed_folders([str(tmp_path / name) if name and "://" not in name else name])


@pytest.mark.parametrize(
    "name",
    ["..", "../Pictures of others", "link", "2024/../..", "2024/../link/x", "../nowhere", "link/nowhere", "loop/../.."],
)
def test_everything_outside_gets_the_same_answer_whether_it_is_there_or_not(
    client: TestClient, allowed: Path, name: str
) -> None:
    for answer in (
        client.post("/api/index", json={"folder": f"{allowed}/{name}"}),
        client.get("/api/index/folders", params={"in": f"{allowed}/{name}"}),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (403, OUTSIDE)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("{}/.hidden", 403, "hidden and system folders"),
        ("{}/.hidden/inner", 403, "hidden and system folders"),
        ("{}/2024/.nowhere", 403, "hidden and system folders"),
        ("{}/@eaDir", 403, "hidden and system folders"),
        ("{}/notes.txt", 404, "no such folder"),
        ("{}/nowhere", 404, "no such folder"),
        ("s3://bucket/photos", 403, "only local folders"),
        ("file://{}", 403, "only local folders"),
        ("2024", 403, "only local folders"),
        ("~", 403, "only local folders"),
        ("--switch-model", 403, "only local folders"),
        ("{}/a\0b", 403, "only local folders"),
        ("", 422, "a path of 1 to 4096 bytes"),
        ("{}/" + 5000 * "x", 422, "a path of 1 to 4096 bytes"),
        ("{}/\ud800", 422, "a path of 1 to 4096 bytes"),
        (7, 422, "a path of 1 to 4096 bytes"),
        (["{}"], 422, "a path of 1 to 4096 bytes"),
    ],
)
def test_what_may_not_be_indexed_is_refused_in_words(
    client: TestClient, allowed: Path, path: object, status: int, words: str
) -> None:
    folder = path.format(allowed) if isinstance(path, str) else path
    body = json.dumps({"folder": folder})
    answer = client.post("/api/index", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert client.get("/api/index").json()["run"] is None


def test_the_chooser_lists_names_of_real_folders_alone(client: TestClient, allowed: Path, photos: Path) -> None:
    first = client.get("/api/index/folders").json()
    assert [one["path"] for one in first["folders"]] == [str(allowed), str(photos)]
    assert [one["indexed"] for one in first["folders"]] == [False, True]
    (allowed / "2025").mkdir()

    inside = client.get("/api/index/folders", params={"in": str(allowed)}).json()
    assert inside["path"] == str(allowed)
    assert inside["parent"] is None
    assert [one["name"] for one in inside["folders"]] == ["2024", "2025", "Trip.lrdata"][:2]

    deeper = client.get("/api/index/folders", params={"in": inside["folders"][0]["path"]}).json()
    assert deeper["parent"] == str(allowed)
    assert [one["name"] for one in deeper["folders"]] == ["May"]


def test_a_link_inside_is_what_it_leads_to(client: TestClient, allowed: Path) -> None:
    answer = client.get("/api/index/folders", params={"in": f"{allowed}/inner link"})

    assert answer.json()["path"] == f"{allowed}/2024"


def test_a_name_that_is_not_text_can_be_chosen(client: TestClient, allowed: Path) -> None:
    os.mkdir(os.fsencode(allowed) + b"/2024/caf\xe9")  # noqa: PTH102 - bytes
    (one,) = (
        one
        for one in client.get(f"/api/index/folders?in={allowed}/2024").json()["folders"]
        if one["name"] == "caf\udce9"
    )

    assert client.get(f"/api/index/folders?in={allowed}/2024/caf%E9").json()["path"] == one["path"]
    body = json.dumps({"folder": one["path"] + "/nowhere"})
    answer = client.post("/api/index", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["detail"] == "no such folder"


def test_forgetting_takes_the_folder_out_and_leaves_its_files(client: TestClient, photos: Path) -> None:
    before = sorted(photos.iterdir())
    started = client.post("/api/index/forget", json={"folder": str(photos)})
    assert started.status_code == 202
    assert started.json()["run"]["ended"] is None

    run = ended_run(client)
    assert (run["action"], run["folders"], run["error"]) == ("forget", [str(photos)], None)
    assert run["summary"] == "4 photos forgotten"
    assert client.get("/api/status").json()["photos"] == 0
    assert sorted(photos.iterdir()) == before


def test_only_a_folder_of_the_library_that_is_allowed_can_be_forgotten(
    make_client: MakeClient, allowed: Path, photos: Path
) -> None:
    with make_client(allow_index=[allowed]) as client:
        for folder in (photos, allowed, allowed / "nowhere", "/"):
            answer = client.post("/api/index/forget", json={"folder": str(folder)})
            assert answer.status_code == 404
            assert answer.json()["detail"] == "not a library folder that can be changed here"
        assert "Forget</button>" not in client.get("/library").text.partition("<dialog")[0]
        everything = client.post("/api/index", json={})
        assert everything.json()["detail"] == "the library has no folder that can be changed here: add one first"
        assert client.get("/api/status").json()["photos"] == 4


def test_one_run_at_a_time(client: TestClient, photos: Path) -> None:
    assert client.post("/api/index/forget", json={"folder": str(photos)}).status_code == 202
    for second in (
        client.post("/api/index", json={"folder": str(photos)}),
        client.post("/api/index/forget", json={"folder": str(photos)}),
    ):
        assert second.status_code == 409
        assert second.json()["detail"].startswith("another run is in progress")

    assert ended_run(client)["summary"] == "4 photos forgotten"


def test_why_a_run_failed_is_said_in_its_own_words(client: TestClient, photos: Path) -> None:
    """The test's library was indexed with a model other than the default."""
    assert client.post("/api/index", json={}).status_code == 202

    run = ended_run(client)
    assert "another model" in run["error"] or "--switch-model" in run["error"]
    assert "\n" not in run["error"]
    assert run["summary"] is None
    assert client.get("/api/status").json()["photos"] == 4


def test_another_sites_page_cannot_start_or_stop_anything(client: TestClient, photos: Path) -> None:
    headers = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    for answer in (
        client.post("/api/index", json={}, headers=headers),
        client.post("/api/index/forget", json={"folder": str(photos)}, headers=headers),
        client.delete("/api/index", headers=headers),
    ):
        assert answer.status_code == 403
    assert client.get("/api/index").json()["run"] is None


def test_without_its_token_nothing_is_listed_or_started(make_client: MakeClient, allowed: Path) -> None:
    client = make_client(access_at("127.0.0.1", "a token of this test", may_index=True), allow_index=[allowed])

    assert client.get("/api/index/folders").status_code == 401
    assert client.post("/api/index", json={"folder": str(allowed)}, headers={"Origin": OURS}).status_code == 401


def test_problems_are_grouped_by_kind(client: TestClient, photos: Path, run: Run) -> None:
    for name in ("a.jpg", "b.jpg"):
        (photos / name).write_bytes(b"no picture")
    (photos / "c.jpg").write_bytes(b"")
    make_photo(photos / "good.png", (1, 2, 3))
    assert run("index", photos).exit_code == 1

    html = client.get("/library").text
    assert "3 files could not be read." in html
    assert html.index("2 files: not a picture") < html.index("1 file: the file is empty")


def test_a_folder_whose_place_a_link_has_taken_is_not_updated_and_forgotten_alone(
    make_client: MakeClient, tmp_path: Path, run: Run, photos: Path
) -> None:
    """An album has been moved to another disk, and a link left in its place."""
    album = tmp_path / "Pictures" / "album"
    make_photo(album / "a.png", (1, 2, 3))
    assert run("index", album).exit_code == 0
    album.rename(tmp_path / "moved")
    album.symlink_to(photos)

    with make_client(allow_index=[tmp_path / "Pictures"]) as client:
        update = client.post("/api/index", json={"folder": str(album)})
        assert (update.status_code, update.json()["detail"]) == (403, OUTSIDE)
        assert client.post("/api/index", json={}).status_code == 404
        assert client.post("/api/index/forget", json={"folder": str(album)}).status_code == 202
        assert ended_run(client)["summary"] == "1 photo forgotten"
        assert client.get("/api/status").json()["photos"] == 4


def test_the_config_file_does_not_change_what_a_folder_is_looked_at_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_client: MakeClient, photos: Path
) -> None:
    config = tmp_path / "config" / "pixsearch" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("this is not TOML")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with make_client(allow_index=[photos]) as client:
        client.post("/api/index/forget", json={"folder": str(photos)})

        assert ended_run(client)["error"] is None
