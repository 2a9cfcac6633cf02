"""What a CPU runs: the network that torch runs, compiled once and kept."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import CONFIG_FILE, SHIPPED, WEIGHTS_FILE, fingerprint
from pixsearch.model.compiled_forwards import CompiledForwards, read_sealed
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.number_formats import NumberFormats
from pixsearch.model.torch_forwards import TorchForwards
from pixsearch.model.tracing import add_graphs
from pixsearch.settings import compiled_folder
from tests.tiny_checkpoint import make_tiny_checkpoint

IDS = np.array([[101, 104, 105, 102], [101, 106, 102, 0]])
MASK = IDS != 0
FULL_PRECISION = NumberFormats()
WITHOUT_TORCH = """
import sys
from pathlib import Path
import numpy as np
from pixsearch.model.grids import pack_grid
from pixsearch.model.runtime import PixelBertRuntime
runtime = PixelBertRuntime(Path(sys.argv[1]))
grid = pack_grid(np.ones((4, 1280), np.float32))
texts = runtime.read_texts(["a cat"])
[late] = runtime.late_scores(texts, [grid] * 2, runtime.embed_texts(["a dog", "a cat"]))
runtime.match(texts, [grid] * 2, late)
print(*sorted({"torch", "transformers", "torchvision", "openvino_telemetry.main"} & set(sys.modules)))
"""
KILLED_WHILE_IT_KEEPS = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pixsearch.model.checkpoints import fingerprint
from pixsearch.model.compiled_forwards import CompiledForwards
from pixsearch.model.number_formats import NumberFormats
folder = Path(sys.argv[1])
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
ids = np.array([[101, 102]])
CompiledForwards(folder, fingerprint(folder), NumberFormats()).run("read_texts", ids, ids != 0)
"""
INTERRUPTED_WHEN_ANOTHER_THREAD_HAS_LET_GO = """
import os, signal, sys
from pathlib import Path
from threading import Thread
from pixsearch.model.compiled_forwards import CompiledForwards
held = [CompiledForwards(Path(sys.argv[1]), "")]
thread = Thread(target=held.clear)
thread.start()
thread.join()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGINT)
"""
ON_A_GPU_WITHOUT_OPENVINO = """
import sys
from pathlib import Path
sys.modules["openvino"] = None  # an import of it is an ImportError
import torch
from pixsearch.model import gpu_drivers, runtime, torch_forwards
gpu_drivers.DRIVERS = (Path("/"),)
torch.cuda.is_available = lambda: True
torch_forwards.TorchForwards = lambda folder, device: print(folder, "on", device)
runtime.forwards_of(Path("shipped"), "", gpu=True)
"""
ON_A_GPU_WITHOUT_TORCH = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # an import of it is an ImportError
from pixsearch.model import gpu_drivers, runtime
gpu_drivers.DRIVERS = (Path("/"),)
gpu_drivers.NVIDIA = Path("/")
print(type(runtime.forwards_of(Path(sys.argv[1]), "", gpu=True)).__name__)
"""


@pytest.fixture
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = compiled_folder()
    assert folder is not None
    return folder


def compiled(folder: Path, formats: NumberFormats | None = FULL_PRECISION) -> CompiledForwards:
    return CompiledForwards(folder, fingerprint(folder), formats)


def pictures(edge: int, count: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, edge, edge, 3), dtype=np.uint8)


def test_each_forward_gives_what_torch_gives(speaking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch.model.torch_forwards.autocast", lambda device: nullcontext())
    by_torch, by_openvino = TorchForwards(speaking, torch.device("cpu")), compiled(speaking)
    grids = by_openvino.run("encode_pictures", pictures(64))
    similarity = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    pixel_mask = np.array([[True] * 4, [True] * 4, [True, True, False, False]])

    for name, inputs in {
        "encode_pictures": (pictures(64),),
        "embed_pictures": (grids,),
        "read_texts": (IDS, MASK),
        "find_words": (grids, pixel_mask, by_openvino.run("read_texts", IDS, MASK)[0, 1:, :-1]),
        "match": (IDS[:1], MASK[:1], grids, pixel_mask, similarity),
        "locate_words": (grids[:1], by_openvino.run("read_texts", IDS, MASK)[0, 1:, :-1]),
    }.items():
        expected = by_torch.run(name, *inputs)
        assert by_openvino.run(name, *inputs) == pytest.approx(expected, abs=0.002 * float(np.abs(expected).max())), (
            name
        )


def test_what_was_compiled_once_is_not_compiled_again(speaking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiled(speaking).run("read_texts", IDS, MASK)
    monkeypatch.setattr("pixsearch.model.compiled_forwards.filled_graph", None)

    assert (compiled(speaking).run("read_texts", IDS, MASK) == first).all()


@pytest.mark.slow
def test_what_was_damaged_is_compiled_again(speaking: Path, nothing_kept: Path) -> None:
    first = compiled(speaking).run("read_texts", IDS, MASK)
    [kept] = nothing_kept.glob("*/read_texts")
    whole, times = kept.read_bytes(), (kept.stat().st_atime_ns, kept.stat().st_mtime_ns)
    kept.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    os.utime(kept, ns=times)

    assert (compiled(speaking).run("read_texts", IDS, MASK) == first).all()
    assert read_sealed(kept).size == len(whole) - 32


@pytest.mark.parametrize("damaged", [b"", b"short", b"a whole one" + bytes(32)])
def test_what_does_not_agree_with_its_checksum_is_not_read(tmp_path: Path, damaged: bytes) -> None:
    file = tmp_path / "forward"
    file.write_bytes(b"a whole one" + sha256(b"a whole one").digest())
    assert read_sealed(file).tobytes() == b"a whole one"

    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"damaged|empty"):
        read_sealed(file)


@pytest.mark.slow
def test_where_nothing_can_be_kept_the_answer_is_the_same(
    speaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled(speaking).run("read_texts", IDS, MASK)
    (tmp_path / "no folder").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no folder"))

    assert (compiled(speaking).run("read_texts", IDS, MASK) == first).all()


def test_the_forwards_of_checkpoints_that_were_used_long_ago_are_let_go(speaking: Path, nothing_kept: Path) -> None:
    for age in range(5):
        (nothing_kept / f"old {age}").mkdir(parents=True)
        os.utime(nothing_kept / f"old {age}", (1000 - age, 1000 - age))

    compiled(speaking).run("read_texts", IDS, MASK)

    kept = {path.name for path in nothing_kept.iterdir()}
    assert {"old 0", "old 1", "old 2"} < kept
    assert len(kept) == 4


@pytest.mark.slow
def test_a_checkpoint_that_is_not_whole_is_named(tmp_path: Path, nothing_kept: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path / "cut")
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1000])

    with pytest.raises(CheckpointInvalid, match=f"{weights} does not hold the weights of its config"):
        compiled(folder).run("read_texts", IDS, MASK)


def test_a_gpu_without_torch_is_not_used_and_that_is_said() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", ON_A_GPU_WITHOUT_TORCH, SHIPPED],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert finished.stdout == "CompiledForwards\n"
    assert finished.stderr == (
        "pixsearch: the CPU is used, because the GPU needs torch. "
        f"Install what is missing with: {sys.executable} -m pip install torch\n"
    )


@pytest.mark.slow
def test_words_and_grids_need_no_torch_and_report_nothing_to_anybody(speaking: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, speaking],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert finished.stdout == "\n"


def test_a_gpu_needs_no_openvino() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", ON_A_GPU_WITHOUT_OPENVINO],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert finished.stdout == "shipped on cuda\n"


@pytest.mark.slow
def test_pictures_that_keep_their_shape_give_what_torch_gives(
    speaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch.model.torch_forwards.autocast", lambda device: nullcontext())
    shutil.copytree(speaking, tmp_path / "shapes")
    config = PixelBertConfig.load(speaking / CONFIG_FILE)
    dataclasses.replace(config, resize="shorter_edge").save(tmp_path / "shapes" / CONFIG_FILE)
    add_graphs(tmp_path / "shapes")
    by_torch, by_openvino = TorchForwards(tmp_path / "shapes", torch.device("cpu")), compiled(tmp_path / "shapes")

    for shape in ((2, 64, 160, 3), (1, 96, 64, 3)):
        shown = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        grids, expected = by_openvino.run("encode_pictures", shown), by_torch.run("encode_pictures", shown)
        assert np.abs(grids - expected).max() < 0.002 * expected.max()
        off = by_openvino.run("embed_pictures", grids) - by_torch.run("embed_pictures", grids)
        assert np.abs(off).max() < 0.002


def test_what_a_killed_process_left_while_it_kept_a_forward_is_gone_with_the_next_run(
    speaking: Path, nothing_kept: Path
) -> None:
    script = [sys.executable, "-c", KILLED_WHILE_IT_KEEPS, str(speaking)]

    killed = subprocess.run(script, env=os.environ | {"XDG_CACHE_HOME": str(nothing_kept.parents[1])}, check=False)
    left = [file.name for file in nothing_kept.rglob("*") if file.is_file()]
    compiled(speaking).run("read_texts", IDS, MASK)

    assert killed.returncode == -signal.SIGKILL
    assert len(left) == 1
    assert "read_texts" not in left
    assert [file.name for file in nothing_kept.rglob("*") if file.is_file()] == ["read_texts"]


def test_ctrl_c_is_heard_whichever_thread_lets_go_of_a_checkpoint(speaking: Path) -> None:
    script = [sys.executable, "-c", INTERRUPTED_WHEN_ANOTHER_THREAD_HAS_LET_GO, str(speaking)]

    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, "heard\n")


def test_what_is_loaded_ahead_answers_as_what_is_not(speaking: Path) -> None:
    grids = np.random.default_rng(0).random((3, 4, 1280), dtype=np.float32)
    inputs = IDS[:1], MASK[:1], grids, np.ones((3, 4), np.bool_), np.zeros(3, np.float32)
    expected = compiled(speaking).run("match", *inputs)
    ahead = compiled(speaking)

    ahead.prepare("match")

    assert ahead.run("match", *inputs) == pytest.approx(expected)


@pytest.mark.slow
def test_the_checkpoint_that_ships_gives_the_same_in_this_cpus_number_format() -> None:
    by_torch, by_openvino = TorchForwards(SHIPPED, torch.device("cpu")), compiled(SHIPPED, None)
    shown = pictures(288, count=8)
    ids = np.array([[101, 1037, 4937, 102]])  # a cat
    mask = ids != 0

    grids = by_openvino.run("encode_pictures", shown)
    embeddings = by_openvino.run("embed_pictures", grids)
    text = by_openvino.run("read_texts", ids, mask)[:, 0, :-1]
    inputs = ids, mask, grids, np.ones(grids.shape[:2], np.bool_), embeddings @ text[0]

    assert (by_torch.run("read_texts", ids, mask)[:, 0, :-1] * text).sum() > 0.999
    assert (by_torch.run("embed_pictures", grids) * embeddings).sum(1) == pytest.approx(1, abs=1e-4)
    # Of pictures of one sentence, the logits' deviation is about 10 (docs/performance.md).
    assert by_openvino.run("match", *inputs) == pytest.approx(by_torch.run("match", *inputs), abs=0.5)
