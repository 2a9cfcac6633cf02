"""The forward passes on a CPU give the same results as torch, and are compiled once and cached."""

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
INTERRUPTED_AFTER_ANOTHER_THREAD_RELEASED = """
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
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder for compiled forward passes, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = compiled_folder()
    assert folder is not None
    return folder


def compiled(folder: Path, formats: NumberFormats | None = FULL_PRECISION) -> CompiledForwards:
    return CompiledForwards(folder, fingerprint(folder), formats)


def pictures(edge: int, count: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, edge, edge, 3), dtype=np.uint8)


def test_each_forward_computes_the_same_as_torch(active_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch.model.torch_forwards.autocast", lambda device: nullcontext())
    by_torch, by_openvino = TorchForwards(active_checkpoint, torch.device("cpu")), compiled(active_checkpoint)
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


def test_a_forward_is_compiled_once(active_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compiled(active_checkpoint).run("read_texts", IDS, MASK)
    monkeypatch.setattr("pixsearch.model.compiled_forwards.filled_graph", None)

    assert (compiled(active_checkpoint).run("read_texts", IDS, MASK) == first).all()


@pytest.mark.slow
def test_a_damaged_forward_is_compiled_again_and_kept(
    active_checkpoint: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled(active_checkpoint).run("read_texts", IDS, MASK)
    [kept] = empty_cache.glob("*/read_texts")
    whole, times = kept.read_bytes(), (kept.stat().st_atime_ns, kept.stat().st_mtime_ns)
    kept.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    os.utime(kept, ns=times)

    assert (compiled(active_checkpoint).run("read_texts", IDS, MASK) == first).all()
    monkeypatch.setattr("pixsearch.model.compiled_forwards.filled_graph", None)
    assert read_sealed(kept).size > 0.9 * len(whole)  # compilations differ by some bytes
    assert (compiled(active_checkpoint).run("read_texts", IDS, MASK) == first).all()


@pytest.mark.parametrize("damaged", [b"", b"short", b"a whole one" + bytes(32)])
def test_a_file_with_a_wrong_checksum_is_refused(tmp_path: Path, damaged: bytes) -> None:
    file = tmp_path / "forward"
    file.write_bytes(b"a whole one" + sha256(b"a whole one").digest())
    assert read_sealed(file).tobytes() == b"a whole one"

    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"damaged|empty"):
        read_sealed(file)


@pytest.mark.slow
def test_without_a_writable_cache_the_results_are_the_same(
    active_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled(active_checkpoint).run("read_texts", IDS, MASK)
    (tmp_path / "no folder").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no folder"))

    assert (compiled(active_checkpoint).run("read_texts", IDS, MASK) == first).all()


def test_the_forwards_of_the_oldest_checkpoints_are_deleted(active_checkpoint: Path, empty_cache: Path) -> None:
    for age in range(5):
        (empty_cache / f"old {age}").mkdir(parents=True)
        os.utime(empty_cache / f"old {age}", (1000 - age, 1000 - age))

    compiled(active_checkpoint).run("read_texts", IDS, MASK)

    kept = {path.name for path in empty_cache.iterdir()}
    assert {"old 0", "old 1", "old 2"} < kept
    assert len(kept) == 4


@pytest.mark.slow
def test_the_error_for_an_incomplete_checkpoint_names_its_file(tmp_path: Path, empty_cache: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path / "cut")
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1000])

    with pytest.raises(CheckpointInvalid, match=f"{weights} does not match its config"):
        compiled(folder).run("read_texts", IDS, MASK)


def test_a_gpu_without_torch_is_not_used_with_a_warning() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", ON_A_GPU_WITHOUT_TORCH, SHIPPED],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert finished.stdout == "CompiledForwards\n"
    assert finished.stderr == (
        "pixsearch: using the CPU, because the GPU requires torch. "
        f"To use the GPU, run: {sys.executable} -m pip install torch\n"
    )


@pytest.mark.slow
def test_words_and_grids_need_neither_torch_nor_telemetry(active_checkpoint: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, active_checkpoint],
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
def test_pictures_that_keep_their_shape_give_the_same_as_torch(
    active_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch.model.torch_forwards.autocast", lambda device: nullcontext())
    shutil.copytree(active_checkpoint, tmp_path / "shapes")
    config = PixelBertConfig.load(active_checkpoint / CONFIG_FILE)
    dataclasses.replace(config, resize="shorter_edge").save(tmp_path / "shapes" / CONFIG_FILE)
    add_graphs(tmp_path / "shapes")
    by_torch, by_openvino = TorchForwards(tmp_path / "shapes", torch.device("cpu")), compiled(tmp_path / "shapes")

    for shape in ((2, 64, 160, 3), (1, 96, 64, 3)):
        shown = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        grids, expected = by_openvino.run("encode_pictures", shown), by_torch.run("encode_pictures", shown)
        assert np.abs(grids - expected).max() < 0.002 * expected.max()
        off = by_openvino.run("embed_pictures", grids) - by_torch.run("embed_pictures", grids)
        assert np.abs(off).max() < 0.002


def test_the_next_run_deletes_what_a_killed_process_left_in_the_cache(
    active_checkpoint: Path, empty_cache: Path
) -> None:
    script = [sys.executable, "-c", KILLED_WHILE_IT_KEEPS, str(active_checkpoint)]

    killed = subprocess.run(script, env=os.environ | {"XDG_CACHE_HOME": str(empty_cache.parents[1])}, check=False)
    left = [file.name for file in empty_cache.rglob("*") if file.is_file()]
    compiled(active_checkpoint).run("read_texts", IDS, MASK)

    assert killed.returncode == -signal.SIGKILL
    assert len(left) == 1
    assert "read_texts" not in left
    assert [file.name for file in empty_cache.rglob("*") if file.is_file()] == ["read_texts"]


def test_ctrl_c_works_whichever_thread_releases_a_checkpoint(active_checkpoint: Path) -> None:
    script = [sys.executable, "-c", INTERRUPTED_AFTER_ANOTHER_THREAD_RELEASED, str(active_checkpoint)]

    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, "heard\n")


def test_a_forward_that_is_loaded_ahead_gives_the_same_results(active_checkpoint: Path) -> None:
    grids = np.random.default_rng(0).random((3, 4, 1280), dtype=np.float32)
    inputs = IDS[:1], MASK[:1], grids, np.ones((3, 4), np.bool_), np.zeros(3, np.float32)
    expected = compiled(active_checkpoint).run("match", *inputs)
    ahead = compiled(active_checkpoint)

    ahead.prepare("match")

    assert ahead.run("match", *inputs) == pytest.approx(expected)


@pytest.mark.slow
def test_the_built_in_checkpoint_gives_the_same_in_the_number_format_of_this_cpu() -> None:
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
    # The logits of one sentence with many pictures have a standard deviation of about 10 (docs/performance.md).
    assert by_openvino.run("match", *inputs) == pytest.approx(by_torch.run("match", *inputs), abs=0.5)
