from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pixsearch import Library
from pixsearch.decoding import DecodeLimits
from pixsearch.library.photo_files import open_first
from pixsearch_indexer import index_folders
from tests.cli.conftest import Run
from tests.cli.web.conftest import MakeClient, Serve
from tests.cli.web.test_search_api import problem
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.object_storage import Bucket
from tests.photos import noise_bytes, picture_bytes

Size = tuple[int, int]


def id_of(client: TestClient, name: str) -> int:
    hits = client.get("/api/search", params={"q": "red", "name": name, "rerank": False, "k": 1}).json()["hits"]
    return int(hits[0]["id"])


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def test_a_photo_is_told_with_its_copies(client: TestClient, photos: Path) -> None:
    told = client.get(f"/api/photos/{id_of(client, 'blue*')}").json()

    assert (told["path"], told["copies"]) == (f"{photos}/blue again.png", [f"{photos}/blue.png"])
    assert (told["width"], told["height"], told["format"]) == (20, 10, "PNG")
    assert told["size_bytes"] == (photos / "blue.png").stat().st_size


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [
        ((1600, 1200), "small", (427, 320)),  # 1600 x 320 / 1200
        ((1200, 1600), "small", (320, 427)),
        ((1600, 1200), "large", (1440, 1080)),
        ((4000, 200), "small", (1280, 64)),  # at most four times as long as 320
        ((100, 50), "large", (100, 50)),  # never enlarged
    ],
)
def test_a_thumbnail_is_a_jpeg_of_that_size(
    client: TestClient, run: Run, photos: Path, size: Size, asked: str, expected: Size
) -> None:
    Image.new("RGB", size, (10, 200, 30)).save(photos / "new.png")
    assert run("index", photos).exit_code == 0

    answer = client.get(f"/api/photos/{id_of(client, 'new.png')}/thumbnail", params={"size": asked})

    assert answer.headers["content-type"] == "image/jpeg"
    picture = opened(answer.content)
    assert (picture.format, picture.size) == ("JPEG", expected)
    red, green, blue = picture.getpixel((0, 0))  # type: ignore[misc]
    assert abs(red - 10) + abs(green - 200) + abs(blue - 30) < 10


def test_a_thumbnail_is_upright(client: TestClient, run: Run, photos: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: to be rotated by 90 degrees
    Image.new("RGB", (640, 320), "lime").save(photos / "held.jpg", exif=exif)
    assert run("index", photos).exit_code == 0

    assert opened(client.get(f"/api/photos/{id_of(client, 'held.jpg')}/thumbnail").content).size == (320, 640)


def test_a_photo_that_is_cut_short_is_shown_as_far_as_it_was_indexed(
    client: TestClient, run: Run, photos: Path
) -> None:
    whole = noise_bytes("JPEG", (640, 480))
    (photos / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    run("index", photos)

    width, height = opened(client.get(f"/api/photos/{id_of(client, 'cut.jpg')}/thumbnail").content).size

    assert width > 320 > height / 2
    assert height < width * 480 / 640


def test_a_thumbnail_is_kept(client: TestClient, photos: Path) -> None:
    address = f"/api/photos/{id_of(client, 'pink.png')}/thumbnail"
    first = client.get(address)
    (photos / "pink.png").unlink()

    again = client.get(address)

    assert (again.status_code, again.content) == (200, first.content)


def test_a_browser_that_has_a_thumbnail_gets_none(client: TestClient) -> None:
    address = f"/api/photos/{id_of(client, 'pink.png')}/thumbnail"
    tag = client.get(address).headers["etag"]

    assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_copy_stands_in_for_a_photo_that_is_gone(client: TestClient, photos: Path) -> None:
    id = id_of(client, "blue*")
    (photos / "blue again.png").unlink()

    assert client.get(f"/api/photos/{id}/thumbnail").status_code == 200
    assert client.get(f"/api/photos/{id}/image").content == (photos / "blue.png").read_bytes()


def test_a_file_that_has_changed_since_is_not_shown_as_the_photo(client: TestClient, photos: Path) -> None:
    id = id_of(client, "pink.png")
    (photos / "pink.png").write_bytes(b"<script>alert(1)</script>")

    status, detail = problem(client.get(f"/api/photos/{id}/thumbnail"))

    assert (status, detail) == (
        404,
        f"{photos}/pink.png: the file has changed since it was indexed: run pixsearch index",
    )
    assert problem(client.get(f"/api/photos/{id}/image"))[0] == 404


def test_a_file_as_large_and_as_old_that_is_not_the_one_indexed_is_not_shown(client: TestClient, photos: Path) -> None:
    id, path = id_of(client, "pink.png"), photos / "pink.png"
    stat = path.stat()
    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    for what in ("thumbnail", "image"):
        assert problem(client.get(f"/api/photos/{id}/{what}")) == (
            404,
            f"{path}: the file's content has changed, though its size and time have not: run pixsearch repair --deep",
        )


@pytest.mark.slow
def test_a_picture_that_takes_too_long_is_given_up(make_client: MakeClient, run: Run, photos: Path) -> None:
    (photos / "slow.jp2").write_bytes(noise_bytes("JPEG2000", (2000, 1500)))  # over a second
    assert run("index", photos).exit_code == 0
    impatient = make_client(limits=DecodeLimits(seconds=0.1))

    status, detail = problem(impatient.get(f"/api/photos/{id_of(impatient, 'slow.jp2')}/thumbnail"))

    assert (status, detail) == (404, f"{photos}/slow.jp2: not decoded within 0 s")


def test_the_original_is_the_file_itself_by_the_type_that_was_found(client: TestClient, run: Run, photos: Path) -> None:
    (photos / "page.html").write_bytes(picture_bytes((1, 2, 3), "GIF"))
    run("index", photos)

    answer = client.get(f"/api/photos/{id_of(client, 'page.html')}/image")

    assert answer.content == (photos / "page.html").read_bytes()
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "sandbox" in answer.headers["content-security-policy"]


def test_an_explanation_has_a_region_for_each_word_that_can_be_seen(client: TestClient, model: ColourRuntime) -> None:
    told = client.get(f"/api/photos/{id_of(client, 'pink.png')}/explain", params={"q": "red in sky"}).json()

    assert told["words"] == ["red", "sky"]
    # Of 2 x 3 cells, the first and the last in the lower row match the words best. A cell has 4 x 4 values.
    red, sky = told["regions"]
    assert [len(red), len(red[0])] == [8, 12]
    assert (red[7][0], red[7][11]) == (1.0, 0.0)
    assert (sky[7][0], sky[7][11]) == (0.0, 1.0)
    assert told["match"] == pytest.approx(5.0, abs=1e-5)  # 10 x 1.0 for red - 5
    assert told["probability"] is None


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/photos/999", 404),
        ("/api/photos/999/thumbnail", 404),
        ("/api/photos/999/image", 404),
        ("/api/photos/999/explain?q=red", 404),
        ("/api/photos/1/explain", 422),
        ("/api/photos/1/explain?q=%20", 400),
        ("/api/photos/1/thumbnail?size=huge", 422),
        ("/api/photos/0", 422),
        (f"/api/photos/{2**63}", 422),
        ("/api/photos/..%2f..%2fetc%2fpasswd", 404),
        ("/api/photos/%2fetc%2fpasswd/image", 404),
        ("/api/uploads/passwd", 422),
        ("/static/../app.py", 404),
        ("/static/..%2fapp.py", 404),
    ],
)
def test_what_is_no_picture_of_the_library_is_a_problem(client: TestClient, address: str, status: int) -> None:
    assert problem(client.get(address))[0] == status


def test_no_request_writes_to_photos_or_library(client: TestClient, photos: Path, library: Path) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for folder in (photos, library) for path in folder.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    client.get("/api/search?q=red")  # the first query would save a vector file that is out of date
    before = state()

    id = id_of(client, "pink.png")
    client.post("/api/search", files={"picture": picture_bytes("lime")})
    for address in ("", "/thumbnail", "/thumbnail?size=large", "/image", "/explain?q=red"):
        assert client.get(f"/api/photos/{id}{address}").status_code == 200
    assert client.get("/library").status_code == 200

    assert state() == before


def test_a_photo_in_object_storage_is_shown(client: TestClient, run: Run, bucket: Bucket) -> None:
    data = noise_bytes("PNG", (400, 300))
    url = bucket.put("folder/noïse.png", data)
    assert run("index", bucket.url).exit_code == 0
    id = id_of(client, "no*se.png")

    told = client.get(f"/api/photos/{id}").json()
    image = client.get(f"/api/photos/{id}/image")
    found = client.get("/api/search", params={"q": "red", "folder": f"{bucket.url}/folder", "rerank": False}).json()

    assert told["path"] == url
    assert (image.content, image.headers["content-type"]) == (data, "image/png")
    assert image.headers["content-disposition"] == "inline; filename*=utf-8''no%C3%AFse.png"
    assert opened(client.get(f"/api/photos/{id}/thumbnail").content).size == (400, 300)
    assert [hit["path"] for hit in found["hits"]] == [url]
    bucket.remove("folder/noïse.png")
    assert problem(client.get(f"/api/photos/{id}/image"))[0] == 404


@pytest.mark.parametrize("what", ["image", "thumbnail"])
@pytest.mark.parametrize("part", ["deep", "deep/pink.png"])
def test_a_link_to_a_file_as_large_and_as_old_is_not_served(
    make_client: MakeClient, run: Run, photos: Path, tmp_path: Path, part: str, what: str
) -> None:
    (photos / "deep").mkdir()
    (photos / "pink.png").rename(photos / "deep" / "pink.png")
    assert run("index", photos).exit_code == 0
    client = make_client()
    id, stat = id_of(client, "pink.png"), (photos / "deep" / "pink.png").stat()
    secret = tmp_path / "elsewhere" / "deep" / "pink.png"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(b"s" * stat.st_size)
    os.utime(secret, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (photos / part).rename(tmp_path / "moved")
    (photos / part).symlink_to(tmp_path / "elsewhere" / part)

    answer = client.get(f"/api/photos/{id}/{what}")

    assert answer.status_code == 404
    assert b"sss" not in answer.content


def test_a_photo_that_is_sent_is_the_file_that_was_looked_at(
    client: TestClient, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, path = id_of(client, "pink.png"), photos / "pink.png"
    indexed = path.read_bytes()

    def replaced(*arguments: Any) -> Any:
        found = open_first(*arguments)
        path.unlink()
        path.write_bytes(b"s" * len(indexed))
        return found

    monkeypatch.setattr("pixsearch_cli.web.photos_api.open_first", replaced)

    assert client.get(f"/api/photos/{id}/image").content == indexed


def test_a_photo_is_sent_to_be_saved_under_its_own_name(client: TestClient, run: Run, photos: Path) -> None:
    (photos / "Übung 1.png").write_bytes(picture_bytes("lime"))
    run("index", photos)
    address = f"/api/photos/{id_of(client, 'Übung*')}/image"

    shown, saved = client.get(address), client.get(address, params={"download": True})

    assert shown.headers["content-disposition"] == "inline; filename*=utf-8''%C3%9Cbung%201.png"
    assert saved.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%9Cbung%201.png"
    assert saved.content == shown.content == picture_bytes("lime")


def test_the_exposure_is_read_from_the_photo_s_file(client: TestClient, run: Run, photos: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x829A: 0.004, 0x829D: 2.8, 0x8827: 200, 0x920A: 35.0, 0xA405: 56})
    Image.new("RGB", (30, 20), "lime").save(photos / "exposed.jpg", exif=exif)
    run("index", photos)

    assert client.get(f"/api/photos/{id_of(client, 'exposed.jpg')}/exposure").json() == {
        "aperture": 2.8,
        "shutter_s": 0.004,
        "iso": 200,
        "focal_length_mm": 35.0,
        "focal_length_35mm": 56,
    }


def test_a_photo_that_says_nothing_of_its_exposure_has_none(client: TestClient) -> None:
    told = client.get(f"/api/photos/{id_of(client, 'pink.png')}/exposure").json()

    assert set(told.values()) == {None}


def test_the_exposure_is_never_read_from_another_file(client: TestClient, photos: Path) -> None:
    id = id_of(client, "pink.png")
    (photos / "pink.png").write_bytes(picture_bytes("lime"))

    changed = f"{photos}/pink.png: the file has changed since it was indexed: run pixsearch index"
    assert problem(client.get(f"/api/photos/{id}/exposure")) == (404, changed)


def test_a_part_of_a_photo_can_be_asked_for(client: TestClient, photos: Path) -> None:
    answer = client.get(f"/api/photos/{id_of(client, 'pink.png')}/image", headers={"Range": "bytes=1-3"})

    assert (answer.status_code, answer.content) == (206, b"PNG")


@pytest.mark.parametrize("part", ["", "Range: bytes=1-\r\n", "Range: bytes=0-1,3-\r\n"], ids=["all", "a part", "parts"])
@pytest.mark.parametrize("change", [-1, 1], ids=["shorter", "longer"])
def test_a_photo_that_changes_its_length_while_it_is_sent_is_no_fault_of_the_server(
    serve: Serve,
    stop_servers: Callable[[], None],
    library: Path,
    model: ColourRuntime,
    photos: Path,
    capfd: pytest.CaptureFixture[str],
    change: int,
    part: str,
) -> None:
    photo = photos / "large.bmp"
    Image.effect_noise((4000, 3000), 90).convert("RGB").save(photo)  # 36 MB, more than socket buffers hold
    size = photo.stat().st_size
    address = serve()
    with Library.open(library) as opened_library:
        index_folders(opened_library, model, [photos], load_files=load_in_this_process)
    host, port = address.removeprefix("http://").split(":")
    id = httpx2.get(f"{address}/api/search?name=large&k=1").json()["hits"][0]["id"]

    with socket.create_connection((host, int(port)), timeout=30) as reader:
        asked = f"GET /api/photos/{id}/image HTTP/1.1\r\nHost: {host}\r\n{part}Connection: close\r\n\r\n"
        reader.sendall(asked.encode())
        read = len(reader.recv(1000))
        os.truncate(photo, size + change * 100_000)
        with suppress(ConnectionResetError):
            while got := reader.recv(1 << 20):
                read += len(got)
    stop_servers()

    promised = size if change > 0 else size - 100_000
    assert promised - 10 < read < promised + 2000  # including the head
    assert "Traceback" not in capfd.readouterr().err
