"""Photos in a zip file, read with Python's zipfile, whose reader shares no code with our writer, and with unzip."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import httpx2
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pixsearch import Library
from pixsearch_cli.web.access import access_at
from pixsearch_cli.web.photo_ids import IDS_LIMIT_BYTES
from pixsearch_indexer import index_folders
from tests.cli.conftest import Run
from tests.cli.web.conftest import OURS, MakeClient, Serve
from tests.cli.web.test_photos_api import id_of
from tests.cli.web.test_search_api import problem
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.object_storage import Bucket
from tests.photos import picture_bytes

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
TOKEN = "a token of many characters"


def zipped(client: TestClient, ids: list[int]) -> ZipFile:
    answer = client.post("/api/zip", json={"ids": ids})
    assert answer.status_code == 200
    return opened(answer.content)


def opened(data: bytes) -> ZipFile:
    archive = ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    return archive


def timeline_photos(client: TestClient) -> list[dict[str, Any]]:
    return list(client.get("/api/timeline/photos").json()["photos"])


def all_ids(client: TestClient) -> list[int]:
    return list(client.get("/api/timeline/ids").json()["ids"])


def test_a_zip_holds_the_files_as_they_are_in_the_order_of_the_ids(client: TestClient, photos: Path) -> None:
    names = ["pink.png", "dark red.png", "blue again.png"]

    answer = client.post("/api/zip", json={"ids": [id_of(client, name) for name in names]})

    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="3 photos.zip"'
    archive = opened(answer.content)
    assert archive.namelist() == names
    for entry in archive.infolist():
        assert archive.read(entry) == (photos / entry.filename).read_bytes()
        assert entry.compress_type == ZIP_STORED


def test_a_form_gives_the_same_zip_as_json(client: TestClient) -> None:
    ids = all_ids(client)
    names = zipped(client, ids).namelist()

    for text in (" ".join(map(str, ids)), ",".join(map(str, ids)), "\r\n".join(map(str, ids))):
        sent = client.post("/api/zip", data={"ids": text})
        assert opened(sent.content).namelist() == names


def test_an_id_that_is_sent_twice_is_one_photo(client: TestClient) -> None:
    first, *_ = all_ids(client)

    assert len(zipped(client, [first, first, first]).namelist()) == 1


def test_a_file_has_the_time_at_which_the_photo_was_taken_else_its_own(
    client: TestClient, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:04:03 14:05:06"
    Image.new("RGB", (30, 20), (255, 0, 0)).save(photos / "taken.jpg", exif=exif)
    os.utime(photos / "pink.png", (0, datetime(2019, 2, 3, 4, 5, 6).timestamp()))
    os.utime(photos / "dark red.png", (0, 0))  # 1970, before zip's first year
    run("index", photos)

    archive = zipped(client, [id_of(client, name) for name in ("taken.jpg", "pink.png", "dark red.png")])

    assert [entry.date_time for entry in archive.infolist()] == [
        (2021, 4, 3, 14, 5, 6),
        (2019, 2, 3, 4, 5, 6),
        (1980, 1, 1, 0, 0, 0),
    ]


def test_photos_of_one_name_in_several_folders_have_names_of_their_own(
    client: TestClient, photos: Path, run: Run
) -> None:
    names = {"one": "IMG.JPG", "two": "img.jpg", "three": "CON.jpg", "four": "Ü:?.jpg"}
    for colour, (folder, name) in zip(("lime", "navy", "teal", "red"), names.items(), strict=True):
        (photos / folder).mkdir()
        (photos / folder / name).write_bytes(picture_bytes(colour, "JPEG"))
    run("index", photos)
    ids = {photo["path"].removeprefix(f"{photos}/"): photo["id"] for photo in timeline_photos(client)}

    archive = zipped(client, [ids[f"{folder}/{name}"] for folder, name in names.items()])

    assert archive.namelist() == ["IMG.JPG", "img (2).jpg", "_CON.jpg", "Ü__.jpg"]
    assert archive.infolist()[-1].flag_bits & 1 << 11  # the name is UTF-8


def test_what_is_missing_or_has_changed_is_named_in_the_zip_with_the_reason(client: TestClient, photos: Path) -> None:
    ids = {name: id_of(client, name) for name in ("pink.png", "dark red.png", "blue again.png")}
    (photos / "pink.png").unlink()
    size = (photos / "dark red.png").stat().st_size
    times = (photos / "dark red.png").stat().st_mtime_ns
    (photos / "dark red.png").write_bytes(bytes(size))  # same size and time: only the content differs
    os.utime(photos / "dark red.png", ns=(times, times))

    archive = zipped(client, [*ids.values(), 4_000_000])

    assert archive.namelist() == ["blue again.png", "missing.txt"]
    assert archive.read("missing.txt").decode().splitlines() == [
        f"{photos}/pink.png: the file no longer exists",
        f"{photos}/dark red.png: the file's content has changed, though its size and time have not: "
        "run pixsearch repair --deep",
        "4000000: the library has no photo with this id",
    ]


def test_of_copies_the_one_that_is_left_is_taken(client: TestClient, photos: Path) -> None:
    wanted = id_of(client, "blue*")
    (photos / "blue again.png").unlink()

    assert zipped(client, [wanted]).namelist() == ["blue.png"]


def test_a_link_in_the_place_of_a_photo_is_not_followed(client: TestClient, photos: Path, tmp_path: Path) -> None:
    wanted = id_of(client, "pink.png")
    secret = tmp_path / "secret"
    shutil.move(photos / "pink.png", secret)
    (photos / "pink.png").symlink_to(secret)

    archive = zipped(client, [wanted])

    assert archive.namelist() == ["missing.txt"]
    assert b"a link has replaced" in archive.read("missing.txt")


def test_photos_in_object_storage_are_in_it(client: TestClient, run: Run, bucket: Bucket) -> None:
    bucket.put("a/lime.png", picture := picture_bytes("lime"))
    assert run("index", bucket.url).exit_code == 0

    archive = zipped(client, [id_of(client, "lime.png")])

    assert (archive.namelist(), archive.read("lime.png")) == (["lime.png"], picture)


NUMBERS = "ids.0: Input should be"


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ('{"ids": []}', 422, "ids: no photos given: send at least one id"),
        ('{"ids": [-1]}', 422, f"{NUMBERS} greater than or equal to 1"),
        ('{"ids": [0]}', 422, f"{NUMBERS} greater than or equal to 1"),
        ('{"ids": [9223372036854775808]}', 422, f"{NUMBERS} less than or equal to 9223372036854775807"),
        ('{"ids": ["x"]}', 422, f"{NUMBERS} a valid integer, unable to parse string as an integer"),
        ('{"ids": [1.5]}', 422, f"{NUMBERS} a valid integer, got a number with a fractional part"),
        ('{"ids": "1"}', 422, "ids: Input should be a valid array"),
        ("{}", 422, "ids: Field required"),
        ('{"ids": [1], "path": "/etc/passwd"}', 422, "path: Extra inputs are not permitted"),
        (
            f'{{"ids": [{"1," * 100_000}1]}}',
            422,
            "ids: at most 100,000 photos are allowed, got 100,001: send several requests",
        ),
        ("nothing", 422, None),
        ("[" * 1_000_000, 422, None),
    ],
)
def test_ids_that_nothing_can_have_are_refused_in_words(
    client: TestClient, body: str, code: int, detail: str | None
) -> None:
    answer = problem(client.post("/api/zip", content=body, headers=JSON))

    assert answer[0] == code
    assert detail in (None, answer[1])


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("", "ids: Field required"),
        ("ids=", "ids: no photos given: send at least one id"),
        ("ids=1&ids=2", "the form may only contain the field ids"),
        ("ids=1&path=/etc/passwd", "the form may only contain the field ids"),
        ("&".join(["a=1"] * 200_000), "the form may only contain the field ids"),
        ("ids=-1", f"{NUMBERS} greater than or equal to 1"),
        ("ids=../1", f"{NUMBERS} a valid integer, unable to parse string as an integer"),
    ],
)
def test_a_form_that_names_no_photos_is_refused_in_words(client: TestClient, body: str, detail: str) -> None:
    assert problem(client.post("/api/zip", content=body, headers=FORM)) == (422, detail)


def test_a_hundred_thousand_ids_of_any_length_fit(client: TestClient) -> None:
    longest = [2**63 - 1 - number for number in range(100_000)]
    first, *_ = all_ids(client)
    body = "ids=" + "+".join(map(str, [*longest[1:], first]))
    assert len(body) <= IDS_LIMIT_BYTES

    archive = opened(client.post("/api/zip", content=body, headers=FORM).content)

    assert len(archive.namelist()) == 2
    assert len(archive.read("missing.txt").splitlines()) == 99_999


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_is_2_mib_at_most(client: TestClient, kind: str) -> None:
    body = b" " * (IDS_LIMIT_BYTES + 1)

    assert problem(client.post("/api/zip", content=body, headers={"Content-Type": kind})) == (
        413,
        "request larger than 2 MiB",
    )
    assert client.post("/api/zip", content=body[:-1], headers={"Content-Type": kind}).status_code in (415, 422)


def test_the_limit_of_other_routes_is_as_before(client: TestClient) -> None:
    body = b" " * (guard_limit := 64 << 10) + b" "

    for path in ("/api/search", "/api/zip/", "/api/zips", "/api/photos/1"):
        answer = client.post(path, content=body, headers=JSON)
        assert problem(answer) == (413, "request larger than 64 kB"), guard_limit


def test_who_has_no_token_sends_no_more_than_64_kb(make_client: MakeClient) -> None:
    client = make_client(access_at("0.0.0.0", TOKEN))
    body = b"ids=" + b"1+" * 40_000

    for headers in (FORM, FORM | {"Authorization": "Bearer wrong"}, FORM | {"Cookie": "pixsearch_token=wrong"}):
        assert problem(client.post("/api/zip", content=body, headers=headers))[0] == 413
        assert problem(client.post("/api/zip", content=b"ids=1", headers=headers))[0] == 401
    sent = client.post("/api/zip", content=body, headers=FORM | {"Authorization": f"Bearer {TOKEN}"})
    assert sent.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_on_another_site_gets_nothing(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/api/zip", content=b"ids=1", headers=FORM | headers)

    assert problem(answer)[0] == 403
    own = client.post("/api/zip", content=b"ids=1", headers=FORM | {"Sec-Fetch-Site": "same-origin", "Origin": OURS})
    assert own.status_code == 200


def test_paths_come_in_the_order_of_the_ids(client: TestClient, photos: Path) -> None:
    names = ["pink.png", "blue again.png", "dark red.png"]
    ids = [id_of(client, name) for name in names]

    answer = client.post("/api/paths", json={"ids": [ids[0], 4_000_000, *ids[1:]]}).json()

    assert answer == {"paths": [str(photos / name) for name in names], "unknown": 1}


def test_the_path_of_a_picture_is_that_of_a_copy_that_is_left(client: TestClient, photos: Path) -> None:
    wanted = id_of(client, "blue*")
    (photos / "blue again.png").unlink()

    assert client.post("/api/paths", data={"ids": str(wanted)}).json()["paths"] == [str(photos / "blue.png")]


@pytest.fixture
def large(photos: Path, library: Path, model: ColourRuntime, indexed: Path) -> Path:
    """A 36 MB photo in the library, larger than socket buffers."""
    photo = photos / "large.bmp"
    Image.effect_noise((4000, 3000), 90).convert("RGB").save(photo)
    with Library.open(library) as opened_library:
        index_folders(opened_library, model, [photos], load_files=load_in_this_process)
    return photo


@contextmanager
def download(address: str, ids: list[int]) -> Iterator[socket.socket]:
    """Open a connection that receives a zip file, without reading any of it."""
    host, port = address.removeprefix("http://").split(":")
    body = "ids=" + "+".join(map(str, ids))
    with socket.create_connection((host, int(port)), timeout=30) as reader:
        reader.sendall(
            f"POST /api/zip HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM['Content-Type']}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        yield reader


def id_at(address: str, name: str) -> int:
    return int(httpx2.get(f"{address}/api/search?name={name}&k=1").json()["hits"][0]["id"])


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_third_zip_at_a_time_is_refused_and_one_that_is_broken_off_frees_its_turn(serve: Serve, large: Path) -> None:
    address = serve()
    ids = [id_at(address, "large")]
    with download(address, ids) as first, download(address, ids) as second:
        assert first.recv(12) == second.recv(12) == b"HTTP/1.1 200"
        for refused in (httpx2.post(f"{address}/api/zip", json={"ids": ids}), httpx2.get(f"{address}/api/zip")):
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["detail"] == "other downloads are in progress: try again when they are done"

        first.close()

        wait_until(lambda: httpx2.get(f"{address}/api/zip").status_code == 204)
        answer = httpx2.post(f"{address}/api/zip", json={"ids": ids})
        assert opened(answer.content).read("large.bmp") == large.read_bytes()


def test_a_photo_that_becomes_shorter_while_it_is_sent_ends_the_zip_early(serve: Serve, large: Path) -> None:
    address = serve()
    read = bytearray()
    with download(address, [id_at(address, "large"), id_at(address, "pink")]) as reader:
        read += reader.recv(1000)
        os.truncate(large, large.stat().st_size - 100_000)
        with suppress(ConnectionResetError):
            while piece := reader.recv(1 << 20):
                read += piece

    head, _, body = bytes(read).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert not body.endswith(b"0\r\n\r\n")  # the end of the last chunk
    with pytest.raises(BadZipFile):
        ZipFile(io.BytesIO(body))
    wait_until(lambda: httpx2.get(f"{address}/api/zip").status_code == 204)


def test_the_library_is_asked_before_the_zip_begins(client: TestClient, library: Path) -> None:
    shutil.rmtree(library)

    assert problem(client.post("/api/zip", json={"ids": [1]}))[0] == 503
    assert client.get("/api/zip").status_code == 204


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip on this machine")
def test_unzip_finds_two_thousand_photos_equal_to_their_files(
    serve: Serve, photos: Path, run: Run, tmp_path: Path
) -> None:
    for number in range(2000):
        folder = photos / f"{number % 7}"
        folder.mkdir(exist_ok=True)
        picture = picture_bytes((number % 256, number // 256, 99), "JPEG")
        (folder / f"IMG_{number // 7:04}.JPG").write_bytes(picture + os.urandom(20_000))
    assert run("index", photos).exit_code == 0
    address = serve()
    ids = httpx2.get(f"{address}/api/timeline/ids").json()["ids"]
    assert len(ids) == 2003
    archive = tmp_path / "all.zip"

    archive.write_bytes(httpx2.post(f"{address}/api/zip", json={"ids": ids}, timeout=120).content)

    tested = subprocess.run(["unzip", "-tq", archive], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    subprocess.run(["unzip", "-q", archive, "-d", tmp_path / "out"], check=True)
    unpacked = sorted(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert len(unpacked) == 2003
    sent = {file.read_bytes() for file in photos.rglob("*") if file.is_file()}
    assert set(unpacked) == sent
