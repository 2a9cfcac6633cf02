"""Pictures decoded in worker processes, where no task can harm the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pixsearch.decoding import AHEAD, DecodeLimits, TaskFailure, decode_pictures, decoding_pool
from pixsearch.storage import FilePath, to_path
from tests.object_storage import Bucket
from tests.photos import make_photo, noise_bytes, picture_bytes

NEVER_STARTS = """
import os, sys
if any("forkserver" in word for word in sys.orig_argv):
    os._exit(3)
"""
DECODES_FOR_EVER = """
import itertools, sys
from pathlib import Path
from pixsearch.decoding import decode_pictures
if __name__ == "__main__":
    try:
        for picture in decode_pictures(itertools.repeat(Path(sys.argv[1])), None):
            print(picture.size, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""
PRINTS_WHAT_A_WORKER_HAS_IMPORTED = """
import sys
from pixsearch.decoding import decoding_pool
def imported():
    return " ".join(sys.modules)
if __name__ == "__main__":
    with decoding_pool() as pool:
        print(pool.run(imported))
"""
DECODES_ONE_PICTURE = """
from pathlib import Path
from pixsearch.decoding import decode_pictures
from pixsearch.errors import PixsearchError
try:
    print(list(decode_pictures([Path("a.png")], None)))
except PixsearchError as error:
    print(error)
"""


def slowly(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def behave(how: str) -> str:
    """Misbehave in a worker process, as a bug in a decoding library would."""
    match how:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(3600)
        case "bloat":
            bytearray(100 << 30)
        case "raise":
            raise ZeroDivisionError("a bug of our own")
    return how


def run_script(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(code)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_task_that_crashes_hangs_or_bloats_fails_with_its_reason_and_the_others_go_on() -> None:
    tasks = ["first", "crash", "second", "hang", "bloat", "crash", "last"]

    with decoding_pool(DecodeLimits(seconds=2.5)) as pool:
        results = list(pool.map_ahead(behave, ((how,) for how in tasks)))

    crashed = TaskFailure("its decoder crashed (exit code -11)")
    assert results == [
        "first",
        crashed,
        "second",
        TaskFailure("not decoded within 2.5 s", timed_out=True),
        TaskFailure("takes more memory to decode than a photo should"),
        crashed,
        "last",
    ]


def test_an_error_that_no_file_is_to_blame_for_is_raised() -> None:
    with decoding_pool() as pool, pytest.raises(ZeroDivisionError, match="a bug of our own"):
        pool.run(behave, "raise")


def test_tasks_are_taken_as_they_are_needed_and_results_come_in_order() -> None:
    taken = 0

    def tasks() -> Iterator[tuple[str]]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield (str(number),)

    with decoding_pool() as pool:
        results = pool.map_ahead(behave, tasks())
        first = [next(results) for _ in range(100)]

    assert first == [str(number) for number in range(100)]
    assert taken <= 100 + max(AHEAD, 2 * (os.cpu_count() or 1))


def test_worker_processes_import_neither_torch_nor_the_trainer(tmp_path: Path) -> None:
    script = run_script(PRINTS_WHAT_A_WORKER_HAS_IMPORTED, tmp_path)  # separate: the tests' workers import more

    modules = {name.partition(".")[0] for name in script.stdout.split()}
    assert "PIL" in modules
    assert not modules & {"torch", "pixsearch_indexer", "pixsearch_trainer"}


def test_pictures_come_in_the_order_of_their_files_and_a_reason_for_each_that_cannot_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(noise_bytes("JPEG", (640, 480))[:-2000])
    (tmp_path / "words.jpg").write_text("a dog")
    files = [make_photo(tmp_path / "red.png", "red"), tmp_path / "cut.jpg", tmp_path / "words.jpg"]
    files += [tmp_path / "gone.jpg", make_photo(tmp_path / "blue.png", "blue")]

    red, cut, words, gone, blue = decode_pictures(files, None)

    assert [isinstance(picture, Image.Image) and picture.getpixel((0, 0)) for picture in (red, blue)] == [
        (255, 0, 0),
        (0, 0, 255),
    ]
    assert isinstance(cut, str)
    assert cut.startswith("cannot be decoded: ")
    assert words == "not a picture in a supported format"
    assert gone == "cannot be read: No such file or directory"


def test_a_large_jpeg_may_be_decoded_smaller(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(picture_bytes("red", "JPEG", (1600, 1200)))

    [small], [whole] = (decode_pictures([tmp_path / "large.jpg"], min_edge) for min_edge in (288, None))

    assert isinstance(small, Image.Image)
    assert small.size == (400, 300)  # JPEGs are scaled by eighths: 2/8 is the smallest that leaves at least 288
    assert isinstance(whole, Image.Image)
    assert whole.size == (1600, 1200)


def test_a_picture_beyond_a_limit_is_a_reason(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1001)).save(tmp_path / "two_megapixels.png")
    files: list[FilePath] = [tmp_path / "two_megapixels.png"]

    assert list(decode_pictures(files, None, DecodeLimits(megapixels=2))) == ["more than 2 megapixels"]


def test_pictures_in_object_storage_are_decoded(bucket: Bucket) -> None:
    urls = [bucket.put("a b.png", picture_bytes("red")), bucket.put("cut.png", picture_bytes("red")[:-40])]

    whole, cut, gone = decode_pictures([to_path(url) for url in [*urls, f"{bucket.url}/gone.png"]], None)

    assert isinstance(whole, Image.Image)
    assert isinstance(cut, str)
    assert gone == "cannot be read: No such file or directory"


def test_workers_that_cannot_start_are_not_blamed_on_the_pictures(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")
    (tmp_path / "sitecustomize.py").write_text(NEVER_STARTS)  # Python runs this file as it starts

    script = run_script(DECODES_ONE_PICTURE, tmp_path, PYTHONPATH=str(tmp_path))

    assert script.stdout.startswith("cannot start the decoding processes")
    assert script.stderr == ""


def test_a_script_without_a_guard_learns_what_it_lacks(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")

    script = run_script(DECODES_ONE_PICTURE, tmp_path)

    assert 'script.py again, put its main code under: if __name__ == "__main__":' in script.stdout
    assert script.stderr == ""


def test_ctrl_c_ends_the_workers_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(DECODES_FOR_EVER)
    photo = make_photo(tmp_path / "a.png")
    with subprocess.Popen(
        [sys.executable, tmp_path / "script.py", photo],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "(8, 8)\n"

        os.killpg(script.pid, signal.SIGINT)  # like a terminal, which signals every process
        _, errors = script.communicate(timeout=30)

    assert (script.returncode, errors) == (130, "")


def test_who_waits_for_a_slow_result_can_do_something_else_meanwhile() -> None:
    with decoding_pool() as pool:
        steps = list(pool.map_or_pause(slowly, [(0.0,), (1.0,), (0.0,)], 0.1))

    assert [step for step in steps if step is not None] == [0.0, 1.0, 0.0]
    assert steps.count(None) >= 5
