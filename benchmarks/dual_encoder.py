"""Compare the speed of a model in Hugging Face format with rclip. Both use a ViT-B/32 with random weights.

    python -m benchmarks.dual_encoder --pictures album/images [--photos 2000] [--known 10000]

Indexing is measured as in indexing.py: both programs index 12-megapixel JPEGs from scratch, in turn. Queries are
measured as in latency.py. Cold times are from the start of the process to its end, and the two programs take turns. The
warm time is the median over twenty queries in one process.
"""

from __future__ import annotations

import gzip
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.indexing import make_photos
from benchmarks.latency import COLD_ROUNDS, PHOTOS, QUERIES, ROUNDS, make_library, photo
from benchmarks.measuring import PIXSEARCH, Command, Taken, median, print_machine, take
from benchmarks.peer import PROJECT, forget_all, know, make_peer, rclip, rclip_environment
from pixsearch import Library, SearchEngine
from pixsearch.model.conversion import convert
from pixsearch.model.load_runtime import load_runtime

from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer  # isort: skip
from tokenizers.pre_tokenizers import ByteLevel  # isort: skip

EDGE = 256
_MERGES = PROJECT / ".bench" / "rclip" / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz"
_MERGES_USED = 48_894
_SPECIAL = ["<|startoftext|>", "<|endoftext|>"]


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to generate photos from.")],
    photos: Annotated[int, typer.Option(help="Number of photos to index.")] = 2000,
    rounds: Annotated[int, typer.Option(help="Number of times each program indexes them.")] = 2,
    known: Annotated[int, typer.Option(help="Number of photos in the library for the queries.")] = 10_000,
) -> None:
    make_peer()
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        model, folder, library = (Path(scratch) / name for name in ("model", "photos", "library"))
        began = time.perf_counter()
        make_model(model)
        print(f"created and converted the model in {time.perf_counter() - began:.0f} s")
        make_photos(pictures, folder, photos)
        index(folder, library, model, rounds)
        asked = Path(scratch) / "asked"
        make_library(library, asked, known)
        ask(asked, model, known)


def make_model(folder: Path) -> None:
    """Save a model with rclip's architecture in the format of transformers, and convert it."""
    size = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "num_hidden_layers": 12}
    config = CLIPConfig(
        text_config={**size, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407},
        vision_config={"image_size": EDGE, "patch_size": 32},
        projection_dim=512,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE}).save_pretrained(folder)
    lines = gzip.decompress(_MERGES.read_bytes()).decode().splitlines()[1 : _MERGES_USED + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), *_SPECIAL]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)  # type: ignore[arg-type]
    tokenizer.save_pretrained(folder)
    convert(folder)


def index(folder: Path, library: Path, model: Path, rounds: int) -> None:
    """Print how fast each program indexes the photos."""
    photos = len(list(folder.iterdir()))
    taken: dict[str, list[Taken]] = {}
    ours: Command = [PIXSEARCH, "index", folder, "--library", library, "--model", model]
    for _ in range(rounds):
        shutil.rmtree(library, ignore_errors=True)
        forget_all()
        for program, command, environment in (
            ("pixsearch", ours, None),
            ("rclip", rclip("a cat", index=True), rclip_environment()),
        ):
            taken.setdefault(program, []).append(take(command, folder, environment))
    speeds = {program: photos / median(takens).seconds for program, takens in taken.items()}
    for program, speed in speeds.items():
        print(f"{program:10} {speed:6.1f} photos/s ({photos:,} photos), peak {median(taken[program]).peak_mb:,.0f} MB")
    print(f"pixsearch / rclip {speeds['pixsearch'] / speeds['rclip']:.2f}")


def ask(library: Path, model: Path, known: int) -> None:
    """Print the time of a cold query in each program and of a warm query in pixsearch."""
    (library / PHOTOS).mkdir()
    know((photo(library, number), None) for number in range(known))
    commands: dict[str, tuple[list[str | Path], Mapping[str, str] | None]] = {
        "pixsearch": ([PIXSEARCH, "query", "--library", library, QUERIES[0]], None),
        "rclip": (rclip(QUERIES[0], index=False), rclip_environment()),
    }
    takens: dict[str, list[Taken]] = {}
    for number in range(COLD_ROUNDS + 1):
        for program, (command, environment) in commands.items():
            taken = take(command, library / PHOTOS, environment, watch=False)
            if number:  # the first round warms the disk cache
                takens.setdefault(program, []).append(taken)
    seconds = {program: median(taken).seconds for program, taken in takens.items()}
    print(", ".join(f"{program} cold {one:.2f} s" for program, one in seconds.items()), f"in {known:,} photos")
    print(f"pixsearch / rclip {seconds['pixsearch'] / seconds['rclip']:.2f}")
    times = []
    with Library.open(library) as opened:
        engine = SearchEngine(opened, load_runtime(model))
        for text in [*QUERIES[:1], *QUERIES * ROUNDS]:
            began = time.perf_counter()
            engine.search(text)
            times.append(1000 * (time.perf_counter() - began))
    print(f"pixsearch warm {statistics.median(times[1:]):.1f} ms")


if __name__ == "__main__":
    typer.run(main)
