"""Data sets packed into one file, and the limit on broken items."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import pytest
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from pixsearch.errors import DatasetError
from pixsearch.progress import Progress, silent
from pixsearch.storage import FilePath, to_path
from pixsearch_trainer.data import pack as pack_module
from pixsearch_trainer.data.checking import enforce_limit
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.pack import Item, is_pack, open_packed, read_pack, write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.vqa import Question
from tests.object_storage import Bucket
from tests.photos import Colour, make_photo, noise_bytes, picture_bytes

DIES_AFTER_ITS_FIRST_PICTURE = """
import os, signal, sys
from pathlib import Path
from pixsearch_trainer.data.pack import write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
if __name__ == "__main__":
    items = [CaptionedPicture(Path(name), ()) for name in sys.argv[2:]]
    write_pack(items, Path(sys.argv[1]), 64, lambda progress: os.kill(os.getpid(), signal.SIGKILL))
"""


def captioned(*files: FilePath) -> list[Item]:
    return [CaptionedPicture(file, ("a dog",)) for file in files]


def written(folder: Path, items: list[Item], edge: int = 64) -> Path:
    """Write a pack whose items are all intact."""
    assert write_pack(items, folder / "pack.zip", edge, silent) == []
    return folder / "pack.zip"


def packed_files(pack: Path) -> list[Path]:
    return [pack / item.file.name for item in read_pack(pack) if isinstance(item, CaptionedPicture)]


def bytes_of(picture: Path) -> bytes:
    with ZipFile(picture.parent) as archive:
        return archive.read(picture.name)


def save(file: Path, size: tuple[int, int], colour: Colour = "red", **options: Any) -> Path:
    Image.new("RGB", size, colour).save(file, **options)
    return file


def turned() -> Image.Exif:
    """Return the Exif of a picture whose stored left edge is the top of the scene (EXIF 2.32, 4.6.4, tag 274)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def pack_or_crash(picture: FilePath, edge: int) -> tuple[str, bytes] | str:
    """Pack a picture, or crash like a buggy decoding library. This runs in a worker process."""
    if "crash" in picture.name:
        os.kill(os.getpid(), signal.SIGSEGV)
    return pack_module._packed(picture, edge)


def test_items_of_every_kind_come_back_with_their_pictures(tmp_path: Path) -> None:
    red, lime = make_photo(tmp_path / "red.png", "red"), make_photo(tmp_path / "lime.png", "lime")
    items: list[Item] = [
        CaptionedPicture(red, ("a red square", "ein rotes Quadrat, ¼ 🌻 \ud800"), "val", 0.25),
        CaptionedPicture(lime, ()),
        Question(lime, "what colour?", ("green", "green", "lime"), "train"),
        Statement(lime, red, "the left one is red", False, "val", "dev-1 the left one is red"),
    ]

    pack = written(tmp_path, items)

    first, second = pack / "000000.jpg", pack / "000001.jpg"
    assert read_pack(pack) == [
        CaptionedPicture(first, ("a red square", "ein rotes Quadrat, ¼ 🌻 \ud800"), "val", 0.25),
        CaptionedPicture(second, ()),
        Question(second, "what colour?", ("green", "green", "lime"), "train"),
        Statement(second, first, "the left one is red", False, "val", "dev-1 the left one is red"),
    ]
    assert open_packed(first).getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=6)
    assert open_packed(second).getpixel((4, 4)) == pytest.approx((0, 255, 0), abs=6)


def test_a_picture_that_many_items_name_is_stored_once_and_nothing_is_compressed(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png")
    items = [*captioned(photo, photo), Statement(photo, photo, "the same", True, "train", "the same")]

    with ZipFile(written(tmp_path, items)) as archive:
        assert archive.namelist() == ["000000.jpg", "items.json"]
        assert {member.compress_type for member in archive.infolist()} == {ZIP_STORED}


@pytest.mark.parametrize(("suffix", "shorter"), [("jpg", 125), ("webp", 100), ("avif", 60)])
def test_a_small_picture_is_kept_byte_for_byte(tmp_path: Path, suffix: str, shorter: int) -> None:
    photo = save(tmp_path / f"a.{suffix}", (300, shorter), quality=33)

    [picture] = packed_files(written(tmp_path, captioned(photo), edge=100))

    assert picture.name == f"000000.{suffix}"
    assert bytes_of(picture) == photo.read_bytes()
    assert open_packed(picture).size == (300, shorter)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("large.png", (800, 1600), (100, 200)),
        ("large.jpg", (1201, 801), (150, 100)),
        ("hardly larger.jpg", (504, 126), (400, 100)),
        ("small.png", (30, 40), (30, 40)),
        ("narrow.png", (1, 3000), (1, 3000)),
    ],
)
def test_any_other_picture_is_scaled_to_the_edge_but_never_enlarged(
    tmp_path: Path, name: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    photo = save(tmp_path / name, size, "teal")

    [picture] = packed_files(written(tmp_path, captioned(photo), edge=100))

    with Image.open(io.BytesIO(bytes_of(picture))) as stored:
        assert (stored.format, stored.size, get_sampling(stored)) == ("JPEG", expected, 0)
        assert stored.getpixel((0, 0)) == pytest.approx((0, 128, 128), abs=3)


@pytest.mark.parametrize("edge", [50, 200])  # scaled, and stored unchanged
def test_a_picture_comes_upright(tmp_path: Path, edge: int) -> None:
    sideways = Image.new("RGB", (400, 200), "red")
    sideways.paste("blue", (200, 0, 400, 200))
    sideways.save(tmp_path / "a.jpg", exif=turned())

    [picture] = packed_files(written(tmp_path, captioned(tmp_path / "a.jpg"), edge))

    upright = open_packed(picture)
    assert upright.size == (edge, 2 * edge)
    assert upright.getpixel((edge // 2, edge // 2)) == pytest.approx((255, 0, 0), abs=12)
    assert upright.getpixel((edge // 2, edge * 3 // 2)) == pytest.approx((0, 0, 255), abs=12)


def test_a_packed_jpeg_may_be_decoded_smaller(tmp_path: Path) -> None:
    [picture] = packed_files(written(tmp_path, captioned(save(tmp_path / "a.jpg", (320, 240))), edge=240))

    assert open_packed(picture, 60).size == (80, 60)


def test_a_comment_that_no_jpeg_can_hold_is_dropped(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.gif", (8, 8), comment=b"x" * 70_000)

    assert len(packed_files(written(tmp_path, captioned(photo)))) == 1


def test_pictures_that_are_broken_or_crash_their_decoder_are_problems_and_the_rest_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "_packed", pack_or_crash)
    sound = [make_photo(tmp_path / f"{number}.png") for number in range(40)]
    cut, words = tmp_path / "cut.jpg", tmp_path / "words.jpg"
    cut.write_bytes(noise_bytes("JPEG", (640, 480))[:-2000])
    words.write_text("a dog")
    gone, crash = tmp_path / "gone.jpg", make_photo(tmp_path / "crash.png")
    long = save(tmp_path / "long.png", (70_000, 1))  # a JPEG edge has at most 65,500 pixels
    pair = [Statement(left, right, "alike", True, "train", "") for left, right in ((sound[0], cut), (sound[0], long))]
    items = [*captioned(*sound[:20], cut, crash, words, gone, *sound[20:], cut), *pair]
    reported: list[Progress] = []

    problems = write_pack(items, tmp_path / "pack.zip", 64, reported.append)

    assert [(problem.file, problem.line, problem.what.split(":")[0]) for problem in problems] == [
        (cut, None, "cannot be decoded"),
        (crash, None, "its decoder crashed (exit code -11)"),
        (words, None, "not a picture in a supported format"),
        (gone, None, "cannot be packed"),
        (long, None, "cannot be packed"),
    ]
    assert str(problems[3]) == f"{gone}: cannot be packed: No such file or directory"
    assert packed_files(tmp_path / "pack.zip") == [tmp_path / "pack.zip" / f"{number:06}.jpg" for number in range(40)]
    assert [(progress.done, progress.total) for progress in reported] == [(done, 45) for done in range(1, 46)]


def test_pictures_in_object_storage_are_packed(tmp_path: Path, bucket: Bucket) -> None:
    red, cut = bucket.put("a b/red.png", picture_bytes("red")), bucket.put("cut.jpg", noise_bytes("JPEG")[:-40])
    items = captioned(to_path(red), to_path(cut), make_photo(tmp_path / "lime.png", "lime"))

    [problem] = write_pack(items, tmp_path / "pack.zip", 64, silent)

    assert str(problem.file) == cut
    assert problem.what.startswith("cannot be decoded")
    assert [open_packed(picture).getpixel((4, 4)) for picture in packed_files(tmp_path / "pack.zip")] == [
        pytest.approx((255, 0, 0), abs=6),
        pytest.approx((0, 255, 0), abs=6),
    ]


def test_a_pack_can_be_packed_again_with_other_pictures(tmp_path: Path) -> None:
    [old] = packed_files(written(tmp_path, captioned(make_photo(tmp_path / "red.png"))))
    (tmp_path / "other").mkdir()

    first, second = packed_files(written(tmp_path / "other", captioned(make_photo(tmp_path / "b.png", "lime"), old)))

    assert first != second
    assert bytes_of(second) == bytes_of(old)


def test_threads_and_processes_read_a_pack_side_by_side(tmp_path: Path) -> None:
    grey = [make_photo(tmp_path / f"{level}.png", (level, level, level)) for level in range(0, 250, 5)]
    pictures = packed_files(written(tmp_path, captioned(*grey))) * 20
    expected = list(range(0, 250, 5)) * 20

    with multiprocessing.get_context("forkserver").Pool(3) as processes, ThreadPoolExecutor(3) as threads:
        in_processes = processes.map_async(red_at_a_corner, pictures, chunksize=1)
        in_threads = list(threads.map(red_at_a_corner, pictures))

        assert in_threads == expected
        assert in_processes.get(60) == expected


def red_at_a_corner(picture: Path) -> int:
    pixel = open_packed(picture).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel[0]


def test_a_pack_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    for colour, expected in (("red", (255, 0, 0)), ("lime", (0, 255, 0))):
        [picture] = packed_files(written(tmp_path, captioned(make_photo(tmp_path / f"{colour}.png", colour))))

        assert open_packed(picture).getpixel((4, 4)) == pytest.approx(expected, abs=6)


def test_a_cut_pack_is_refused_with_one_line(tmp_path: Path) -> None:
    pack = written(tmp_path, captioned(make_photo(tmp_path / "a.png")))
    whole = pack.read_bytes()

    for size in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        pack.write_bytes(whole[:size])
        assert not is_pack(pack)
        with pytest.raises(DatasetError, match=r"pack\.zip cannot be read: .*\. Copy the pack again"):
            read_pack(pack)


def test_a_damaged_picture_is_refused_with_its_name(tmp_path: Path) -> None:
    pack = written(tmp_path, captioned(make_photo(tmp_path / "a.png")))
    [picture] = packed_files(pack)
    data = bytearray(pack.read_bytes())
    data[200] ^= 1  # within the first picture
    pack.write_bytes(data)

    with pytest.raises(DatasetError, match=r"^000000\.jpg in the pack .*/pack\.zip cannot be read: "):
        open_packed(picture)
    with pytest.raises(DatasetError, match=r"^000009\.jpg in the pack .*/pack\.zip cannot be read: "):
        open_packed(pack / "000009.jpg")


def test_only_a_pack_is_taken_for_one(tmp_path: Path, bucket: Bucket) -> None:
    pack = written(tmp_path, captioned(make_photo(tmp_path / "a.png")))
    with ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a.txt", "a dog")
    (tmp_path / "captions.json").write_text("{}")
    os.mkfifo(tmp_path / "pipe")
    there = bucket.put("pack.zip", pack.read_bytes())

    others = [tmp_path / name for name in ("other.zip", "captions.json", "pipe", ".", "gone", "a\0b", "x" * 300)]
    assert is_pack(pack)
    assert not any(is_pack(file) for file in [*others, to_path(there)])


@pytest.mark.parametrize(
    "content", [b"", b"[}", b"1", b'["a"]', b'[{"kind": "Poem"}]', b'[{"kind": "CaptionedPicture", "file": "a.jpg"}]']
)
def test_a_pack_of_unknown_content_is_refused(tmp_path: Path, content: bytes) -> None:
    with ZipFile(tmp_path / "pack.zip", "w") as archive:
        archive.writestr("items.json", content)

    with pytest.raises(DatasetError, match=r"pack\.zip cannot be read: "):
        read_pack(tmp_path / "pack.zip")


def test_killed_while_it_is_written_a_pack_does_not_have_its_name(tmp_path: Path) -> None:
    photos = [make_photo(tmp_path / f"{number}.png") for number in range(3)]
    (tmp_path / "script.py").write_text(DIES_AFTER_ITS_FIRST_PICTURE)

    script = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "pack.zip", *photos], check=False, timeout=60
    )

    assert script.returncode == -signal.SIGKILL
    assert not (tmp_path / "pack.zip").exists()
    assert len(packed_files(written(tmp_path, captioned(*photos)))) == 3  # leftover files do no harm


def test_stopped_while_it_is_written_a_pack_leaves_nothing(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "a.png")

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pack(captioned(photo), tmp_path / "pack.zip", 64, stop)

    assert list(tmp_path.iterdir()) == [photo]


def test_the_processes_that_pack_need_not_load_torch() -> None:
    check = "import pixsearch_trainer.data.pack, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=60).returncode == 0


def test_as_many_problems_as_allowed_pass_and_one_more_does_not() -> None:
    problems = [Problem(Path("a.tsv"), line, "is not JSON") for line in range(1, 6)]

    enforce_limit(problems, 5, 0)
    enforce_limit([], 0, 0)
    with pytest.raises(DatasetError) as refusal:
        enforce_limit(problems, 4, 0)

    assert str(refusal.value) == (
        "5 problems in the data, more than the 4 allowed: a.tsv:1: is not JSON, a.tsv:2: is not JSON, "
        "a.tsv:3: is not JSON, ... Fix them, or raise --max-bad"
    )


def test_where_no_limit_is_given_one_problem_in_a_hundred_pictures_is_allowed_and_always_ten() -> None:
    problems = [Problem(Path("captions.tsv"), line, "is broken") for line in range(21)]

    enforce_limit(problems[:10], None, 3)
    enforce_limit(problems[:20], None, 2000)
    for too_many, pictures in ((problems[:11], 3), (problems, 2000)):
        with pytest.raises(DatasetError, match=f"{len(too_many)} problems in the data"):
            enforce_limit(too_many, None, pictures)


def test_a_pack_is_written_over_no_other_file(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (tmp_path / "pack.zip.tmp").symlink_to(precious)
    (tmp_path / "pack.zip").symlink_to(precious)

    pack = written(tmp_path, captioned(save(tmp_path / "a.png", (8, 8))))

    assert len(read_pack(pack)) == 1
    assert precious.read_bytes() == b"precious"


def test_a_list_of_items_that_unpacks_to_more_than_any_is_not_unpacked(tmp_path: Path) -> None:
    pack = written(tmp_path, captioned(save(tmp_path / "a.png", (8, 8))))
    content = pack.read_bytes()
    # The central directory entry for items.json is the last one. The uncompressed size is at offset 24.
    at = content.rindex(b"PK\x01\x02")
    pack.write_bytes(content[: at + 24] + (3 << 30).to_bytes(4, "little") + content[at + 28 :])

    with pytest.raises(DatasetError, match=r"the member items\.json is larger than 2 GiB"):
        read_pack(pack)
