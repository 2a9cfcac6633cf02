from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from pixsearch import Library
from pixsearch.model.checkpoints import SHIPPED
from pixsearch_indexer import IndexOptions, index_folders
from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.object_storage import Bucket
from tests.photos import picture_bytes
from tests.signs import NO_LITTER, make_sign


def test_the_first_run_encodes_each_picture_once(run: Run, model: ColourRuntime, library: Path, photos: Path) -> None:
    outcome = run("index", photos)

    assert outcome.exit_code == 0
    assert outcome.stdout == "4 photos: 3 encoded, 0 unchanged, 1 moved or copied, 0 failed\n"
    assert model.pictures_encoded == 3


def test_a_second_run_says_that_nothing_was_encoded(
    run: Run, model: ColourRuntime, indexed: Path, photos: Path
) -> None:
    outcome = run("index", photos)

    assert outcome.exit_code == 0
    assert outcome.stdout == "4 photos: nothing encoded, 4 unchanged, 0 failed\n"
    assert model.pictures_encoded == 3


def test_a_photo_that_is_gone_is_forgotten(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "pink.png").unlink()

    assert run("index", photos).stdout == "3 photos: nothing encoded, 3 unchanged, 1 forgotten, 0 failed\n"


def test_a_corrupt_file_is_named_and_the_others_are_indexed(
    run: Run, model: ColourRuntime, library: Path, photos: Path
) -> None:
    whole = (photos / "pink.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])

    outcome = run("index", photos)

    assert outcome.exit_code == 1
    assert outcome.stdout == "5 photos: 3 encoded, 0 unchanged, 1 moved or copied, 1 failed\n"
    assert outcome.stderr.startswith(f"pixsearch: {photos / 'cut.png'}: ")
    assert outcome.stderr.count("\n") == 1
    assert run("query", "red", "--json").stdout.count("\n") == 3


def test_a_failure_elsewhere_in_the_library_is_not_named_again(
    run: Run, model: ColourRuntime, library: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run("index", tmp_path / "others").exit_code == 1

    outcome = run("index", photos)

    assert outcome.exit_code == 0
    assert outcome.stderr == ""


def test_a_folder_that_is_unplugged_keeps_its_photos_and_says_so(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "elsewhere")

    outcome = run("index", photos)

    assert outcome.exit_code == 1
    assert outcome.stderr == f"pixsearch: {photos} not found or empty: keeping its photos\n"
    assert outcome.stdout == run("index", "--dry-run", photos).stdout == "4 photos kept\n"
    assert len(run("query", "red", "--json").stdout.splitlines()) == 3


def test_photos_of_an_unplugged_drive_are_counted_beside_those_that_are_there(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    Image.new("RGB", (8, 8), "pink").save(tmp_path / "more" / "pink.png")
    photos.rename(tmp_path / "elsewhere")

    outcome = run("index", photos, tmp_path / "more")

    assert outcome.stdout == "1 photo: 1 encoded, 0 unchanged, 0 failed, 4 photos kept\n"


def test_a_bucket_that_does_not_answer_keeps_its_photos_and_the_reason_is_told(
    run: Run, model: ColourRuntime, library: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("2026/red.png", picture_bytes("red"))
    assert run("index", f"{bucket.url}/2026").exit_code == 0

    async def no_answer(*_: object, **__: object) -> None:
        raise RuntimeError("nobody answers")

    monkeypatch.setattr("s3fs.S3FileSystem._call_s3", no_answer)
    outcome = run("index")

    assert outcome.exit_code == 1
    told = f"{bucket.url}/2026 cannot be reached (nobody answers): keeping its photos"
    assert outcome.stderr == f"pixsearch: {told}\n"
    assert len(run("query", "red", "--json").stdout.splitlines()) == 1


def test_a_folder_that_never_was_is_wrong_usage(run: Run, model: ColourRuntime, library: Path, tmp_path: Path) -> None:
    outcome = run("index", tmp_path / "nowhere")

    assert outcome.exit_code == 2
    assert str(tmp_path / "nowhere") in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not library.exists()


def test_without_a_folder_all_that_the_library_knows_is_brought_up_to_date(
    run: Run, indexed: Path, photos: Path
) -> None:
    (photos / "pink.png").unlink()

    assert run("index").stdout == "3 photos: nothing encoded, 3 unchanged, 1 forgotten, 0 failed\n"


def test_without_a_folder_and_without_a_library_nothing_is_made(run: Run, model: ColourRuntime, library: Path) -> None:
    outcome = run("index")

    assert outcome.exit_code == 1
    assert "Create one with: pixsearch index FOLDER" in outcome.stderr
    assert not library.exists()


def test_a_dry_run_takes_a_text_file_for_no_folder_and_a_folder_for_no_text_file(
    run: Run, model: ColourRuntime, library: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("all red\n")
    folder = photos.rename(tmp_path / "photos.txt")

    assert run("index", "--dry-run", tmp_path / "captions.txt").stdout.startswith("0 photos: 0 to read")
    assert run("index", "--dry-run", folder, tmp_path / "captions.txt").stdout.startswith("4 photos: 4 to read")
    assert run("index", folder).stdout.startswith("4 photos: 3 encoded")


def test_json_is_one_object(run: Run, model: ColourRuntime, library: Path, photos: Path) -> None:
    assert json.loads(run("index", "--json", photos).stdout) == {
        "found": 4,
        "unchanged": 0,
        "encoded": 3,
        "reused": 1,
        "described": 0,
        "forgotten": 0,
        "failed": 0,
        "texts": 0,
        "read": 0,
        "unreadable": [],
        "unread": 0,
        "kept": 0,
        "not_read": {},
        "offline": [],
        "switch": None,
    }


def test_another_model_is_refused_with_what_to_do(run: Run, model: ColourRuntime, indexed: Path, photos: Path) -> None:
    model.fingerprint = "ff" * 32

    outcome = run("index", photos)

    assert outcome.exit_code == 1
    assert "indexed with the earlier model colours" in outcome.stderr
    assert "pixsearch index --switch-model (3 photos" in outcome.stderr
    assert run("index", "--switch-model").stdout.startswith("4 photos: 3 encoded, 0 unchanged, ")


@pytest.mark.parametrize("command", [["watch"], ["serve", "--port", "0"]], ids=lambda command: command[0])
def test_whoever_stays_ends_at_once_with_a_library_of_before_an_upgrade(
    command: list[str], run: Run, model: ColourRuntime, indexed: Path
) -> None:
    model.fingerprint = "ff" * 32

    outcome = run(*command)

    assert outcome.exit_code == 1
    assert "pixsearch index --switch-model (3 photos, " in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_many_photos_are_counted_with_separators(run: Run, model: ColourRuntime, library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1001):
        Image.new("RGB", (1, 1), "red").save(folder / f"{number}.bmp")

    assert run("index", folder).stdout == "1,001 photos: 1 encoded, 0 unchanged, 1,000 moved or copied, 0 failed\n"


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "pink.png").unlink()
    (photos / "new.png").write_bytes((photos / "blue.png").read_bytes())
    before = (indexed / "library.db").read_bytes()

    outcome = run("index", photos, "--dry-run")

    assert outcome.exit_code == 0
    assert outcome.stdout == "4 photos: 1 to read, 3 unchanged, 1 to forget, 0 failed\n"
    assert (indexed / "library.db").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [lambda folder: (folder / "config.json").write_text("{"), lambda folder: (folder / "tokenizer.json").unlink()],
)
def test_a_dry_run_says_that_its_model_cannot_be_used(
    run: Run, library: Path, photos: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    checkpoint = Path(shutil.copytree(SHIPPED, tmp_path / "checkpoint"))
    damage(checkpoint)

    outcome = run("index", photos, "--dry-run", "--model", checkpoint)

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert str(checkpoint) in outcome.stderr
    assert not library.exists()


def test_a_dry_run_without_a_library_makes_none(run: Run, model: ColourRuntime, library: Path, photos: Path) -> None:
    assert json.loads(run("index", photos, "--dry-run", "--json").stdout) == {
        "found": 4,
        "unchanged": 0,
        "to_read": 4,
        "to_forget": 0,
        "failed": 0,
        "kept": 0,
        "not_read": {},
        "offline": [],
    }
    assert not library.exists()


def test_a_folder_is_scanned_as_before_until_told_otherwise(run: Run, indexed: Path, photos: Path) -> None:
    (photos / ".hidden").mkdir()
    (photos / "pink.png").rename(photos / ".hidden" / "pink.png")
    run("index", photos, "--hidden", "--exclude", "blue*")

    as_before = run("index")
    otherwise = run("index", "--no-hidden", "--exclude", "")

    assert as_before.stdout == "2 photos: nothing encoded, 2 unchanged, 0 failed\n"
    assert otherwise.stdout == "3 photos: 1 encoded, 1 unchanged, 1 moved or copied, 1 forgotten, 0 failed\n"


def test_what_is_no_pattern_is_wrong_usage(run: Run, model: ColourRuntime, library: Path, photos: Path) -> None:
    outcome = run("index", photos, "--exclude", "[a")

    assert outcome.exit_code == 2
    assert not library.exists()
    assert "'[a' is not a valid gitignore pattern" in outcome.stderr


def test_pictures_above_the_limit_are_failures(run: Run, model: ColourRuntime, library: Path, photos: Path) -> None:
    Image.new("1", (1500, 1000)).save(photos / "large.png")

    outcome = run("index", photos, "--max-megapixels", "1")

    assert outcome.exit_code == 1
    assert "more than 1 megapixels" in outcome.stderr


def test_what_is_no_picture_is_counted_by_kind(run: Run, model: ColourRuntime, library: Path, photos: Path) -> None:
    for name in ("a.mp4", "b.MP4", "c.svg", "README"):
        (photos / name).write_bytes(b"no picture")

    assert run("index", photos).stdout.splitlines()[1] == "not read: 2 .mp4, 1 without a suffix, 1 .svg"
    assert "not read  2 .mp4, 1 without a suffix, 1 .svg" in run("status").stdout
    assert json.loads(run("index", "--json").stdout)["not_read"] == {".mp4": 2, ".svg": 1, "": 1}

    (photos / "c.svg").unlink()
    run("index")
    assert json.loads(run("status", "--json").stdout)["roots"][0]["not_read"] == {".mp4": 2, "": 1}


def test_what_is_written_in_pictures_is_read_and_shown(
    run: Run, model: ColourRuntime, library: Path, photos: Path
) -> None:
    make_sign(photos / "sign.png")

    outcome = run("index", photos, "--ocr")

    assert outcome.exit_code == 0
    assert outcome.stdout.endswith(" 0 failed, 4 pictures read for text\n")
    shown = json.loads(run("query", "--name", "sign.png", "--json").stdout)
    assert shown["writing"] == list(NO_LITTER)
    assert json.loads(run("query", "--name", "pink.png", "--json").stdout)["writing"] == []
    assert run("status").stdout.splitlines()[-1] == f"folder    {photos}: 5 photos, read for text"


def test_without_its_extra_ocr_is_one_line_that_says_how_to_have_it_before_any_work(
    run: Run, model: ColourRuntime, library: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_rapidocr(monkeypatch)

    outcome = run("index", photos, "--ocr")

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert outcome.stderr == (
        f"pixsearch: --ocr needs rapidocr. Install it with: {sys.executable} -m pip install 'pixsearch[ocr]'\n"
    )
    assert not library.exists()


def test_a_library_that_wants_pictures_read_is_indexed_all_the_same_without_the_extra_and_says_so_once(
    run: Run, model: ColourRuntime, library: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.create(library) as made:
        index_folders(made, model, [photos], options=IndexOptions(ocr=True), read_pictures=None)
    without_rapidocr(monkeypatch)
    Image.new("RGB", (20, 10), "green").save(photos / "green.png")

    outcome = run("index")

    assert outcome.exit_code == 0
    assert outcome.stdout == "5 photos: 1 encoded, 4 unchanged, 0 failed\n"
    assert outcome.stderr == (
        "pixsearch: reading text in pictures needs rapidocr. "
        f"Install it with: {sys.executable} -m pip install 'pixsearch[ocr]'\n"
    )
    assert run("status").stdout.splitlines()[-1] == f"folder    {photos}: 5 photos, 4 pictures not yet read for text"
    record = json.loads(run("status", "--json").stdout)["roots"][0]
    assert (record["ocr"], record["unread"]) == (True, 4)
    assert run("index", "--no-ocr").stderr == ""


def without_rapidocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch.extras.find_spec", lambda name: None if name == "rapidocr" else find_spec(name))


def test_progress_as_json_is_an_object_a_line_for_programs(model: ColourRuntime, photos: Path, run: Run) -> None:
    outcome = run("index", photos, "--json", "--progress", "json")

    lines = [json.loads(line) for line in outcome.stderr.splitlines() if line.startswith("{")]
    assert {line["task"] for line in lines} == {"scanning", "indexing"}
    assert (lines[-1]["task"], lines[-1]["done"], lines[-1]["total"]) == ("indexing", 4, 4)
    assert json.loads(outcome.stdout)["encoded"] == 3
