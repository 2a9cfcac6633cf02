"""Measure how fast and how well text in pictures is read, and print the text.

    python -m benchmarks.writing ~/Pictures/screenshots
    python -m benchmarks.writing --made
    python -m benchmarks.writing receipts/ street/ --first-look

Prints the time in seconds for each picture, followed by the text in it. `--made` generates pictures with known text and
lists the words that were not found. `--first-look` measures how well the embeddings from the built-in model recognise
pictures with text: of all pairs of a picture with text and one without, the share in which the former is nearer to
`pixsearch_indexer.writing.DOCUMENTS` (the area under the ROC curve).
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.measuring import print_machine
from pixsearch.errors import PictureError
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.picture_files import MEGAPIXEL_LIMIT, read_picture_file
from pixsearch_indexer.ocr import decoded_to_read, lines_in
from pixsearch_indexer.writing import DOCUMENTS

SIGN = ("NO LITTER", "Please take your", "rubbish home")
RECEIPT = (
    "CORNER BAKERY",
    "12 Mill Lane",
    "Tel 01234 567890",
    "Sourdough loaf 3.20",
    "Oat milk 1.75",
    "Butter croissant 2.40",
    "Subtotal 9.45",
    "VAT 1.58",
    "TOTAL 11.03",
    "CARD PAYMENT",
    "Thank you for visiting",
)
CHAT = (
    "Mum",
    "Are you coming on Sunday?",
    "Yes, train arrives at 14:35",
    "Platform 7, see you there",
    "Wi-Fi password: blue-otter-91",
    "Delivered",
    "Settings > Battery > Usage",
    "Update available",
)
BOARD = ("Sprint planning", "1. fix login", "2. invoice export", "deadline Friday", "owner: Priya")
LONG = ("The quick brown fox jumps over the lazy dog while seven wizards quietly brew pumpkin juice",)
LETTERS = (1, 10, 40)
"""How many letters and digits a picture with text must have. `--first-look` prints a line for each of these values."""

Made = tuple[str, Image.Image, Sequence[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--made", action="store_true")
    parser.add_argument("--first-look", action="store_true")
    given = parser.parse_args()
    print_machine()
    lines_in(Image.new("RGB", (640, 480), "white"))  # loads the OCR model
    if given.made:
        read_made()
    pictures = {file: picture for folder in given.folders for file, picture in pictures_below(folder)}
    lines = read({str(file): picture for file, picture in pictures.items()})
    if given.first_look:
        print_first_look(list(pictures.values()), [count_letters(found) for found in lines])


def pictures_below(folder: Path) -> Iterator[tuple[Path, Image.Image]]:
    for file in sorted(folder.rglob("*")):
        try:
            yield file, decoded_to_read(read_picture_file(file), MEGAPIXEL_LIMIT)
        except (PictureError, OSError):
            continue


def read(pictures: dict[str, Image.Image]) -> list[tuple[str, ...]]:
    """Read, print and return the text in pictures."""
    if not pictures:
        return []
    found, seconds = [], []
    for name, picture in pictures.items():
        began = time.perf_counter()
        found.append(lines_in(picture))
        seconds.append(time.perf_counter() - began)
        print(f"{seconds[-1]:5.2f} s  {picture.width} x {picture.height}  {name}")
        print("".join(f"         {line}\n" for line in found[-1]), end="")
    memory_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{len(found):,} pictures, {sum(map(bool, found)):,} with text, {sum(map(len, found)):,} lines: "
        f"mean {statistics.fmean(seconds):.2f} s per picture, median {statistics.median(seconds):.2f} s, "
        f"maximum {max(seconds):.2f} s; {memory_gb:.1f} GB"
    )
    return found


def read_made() -> None:
    pictures = list(made())
    found = read({name: picture for name, picture, _ in pictures})
    known = 0
    for (name, _, written), lines in zip(pictures, found, strict=True):
        missing = Counter(words(written)) - Counter(words(lines))
        known += len(words(written)) - missing.total()
        if missing or (lines and not written):
            print(f"not found in {name}: {' '.join(missing.elements()) or 'nothing, but it found ' + ' '.join(lines)}")
    print(f"{known} of {sum(len(words(written)) for _, _, written in pictures)} words found")


def print_first_look(pictures: Sequence[Image.Image], letters: Sequence[int]) -> None:
    """Print how well embeddings distinguish pictures with text from other pictures."""
    runtime = PixelBertRuntime(find_checkpoint(None))
    embeddings, _ = runtime.encode_pictures(pictures)
    similarities = embeddings @ runtime.embed_texts([DOCUMENTS])[0]
    for least in LETTERS:
        has_writing = np.asarray(letters) >= least
        pairs = similarities[has_writing][:, np.newaxis] > similarities[~has_writing]
        share = f"{pairs.mean():.0%}" if pairs.size else "-"
        print(f"{has_writing.sum()} of {len(letters)} pictures have at least {least} letters; AUC {share}")


def words(lines: Sequence[str]) -> list[str]:
    return [word for line in lines for word in re.findall(r"[a-z0-9]+", line.lower())]


def count_letters(lines: Sequence[str]) -> int:
    return sum(map(str.isalnum, "".join(lines)))


def made() -> Iterator[Made]:
    """Generate pictures, and yield each with its name and its text."""
    for degrees in (0, 5, 15, 30, 45, 90, 180, 270):
        yield f"sign turned by {degrees} degrees", placed(board(SIGN, 70), turned=degrees), SIGN
    for size in (40, 24, 16, 12, 9):
        yield f"letters of {size} pixels in 12 megapixels", placed(board(SIGN, size), (4000, 3000)), SIGN
    for ink, paper in (("white", "darkgreen"), ("yellow", "black"), ("#777777", "#999999"), ("#e0e0e0", "white")):
        yield f"sign in {ink} on {paper}", placed(board(SIGN, 70, ink, paper)), SIGN
    for blur in (2, 4, 7):
        yield f"sign blurred by {blur} pixels", placed(board(SIGN, 70), blur=blur), SIGN
    for size in (14, 24, 60):
        edges = max(400, size * 26), max(500, size * 22)
        yield f"receipt with letters of {size} pixels", placed(board(RECEIPT, size), edges), RECEIPT
    for size, ink, paper in ((16, "white", "#202020"), (28, "black", "white"), (44, "white", "#202020")):
        yield f"screenshot with letters of {size} pixels", board(CHAT, size, ink, paper), CHAT
    yield "whiteboard", placed(board(BOARD, 60, "navy"), turned=2), BOARD
    yield "letters one below the other", placed(board(tuple("LIBRARY"), 80), (1200, 1200)), ["LIBRARY"]
    yield "a long line", board(LONG, 30), LONG
    yield "nothing", scene((1600, 1200)), []


def board(lines: Sequence[str], size: int, ink: str = "black", paper: str = "white") -> Image.Image:
    font = ImageFont.load_default(size)
    width = int(max(font.getlength(line) for line in lines)) + 2 * size
    picture = Image.new("RGB", (width, int(1.4 * size * len(lines)) + size), paper)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((size, size // 2 + int(1.4 * size * number)), line, font=font, fill=ink)
    return picture


def placed(
    picture: Image.Image, edges: tuple[int, int] = (1600, 1200), *, turned: int = 0, blur: int = 0
) -> Image.Image:
    """Paste a picture into the middle of a scene."""
    picture = picture.convert("RGBA").rotate(turned, expand=True, resample=Image.Resampling.BICUBIC)
    whole = scene(edges)
    whole.paste(picture, ((edges[0] - picture.width) // 2, (edges[1] - picture.height) // 2), picture)
    return whole.filter(ImageFilter.GaussianBlur(blur)) if blur else whole


def scene(edges: tuple[int, int]) -> Image.Image:
    """Draw blurred colours with noise."""
    random = np.random.default_rng(edges[0])
    colours = Image.fromarray(random.integers(40, 220, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(colours.resize(edges, Image.Resampling.BICUBIC))
    noise = random.normal(0, 8, (edges[1], edges[0], 1))
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
