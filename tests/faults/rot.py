"""Make a library large enough to be damaged in many places, damage it at random, and query it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from pixsearch import Filters, Library, Picture, Query, SearchEngine, Words
from pixsearch.errors import PixsearchError
from pixsearch.filters import Circle
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime, Floats
from tests.loading import load_in_this_process
from tests.photos import make_photo

PHOTOS = 120
MOST = 500
GRID_BYTES = 6000
"""The size of a small photo's grid in bytes, which is larger than an SQLite page."""
_SIZE = 96
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Model="Camera {number}"'
    ' exif:DateTimeOriginal="20{year}-05-06T07:08"'
    ' exif:GPSLatitude="{degrees},30N" exif:GPSLongitude="8,15E"><dc:title>{title}</dc:title><dc:subject><rdf:Bag>'
    "<rdf:li>sea</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
)


class LargeColours(ColourRuntime):
    """A colour model whose features are padded with zeros to the size of real ones."""

    embedding_size = _SIZE

    def encode_pixels(self, pixels: Sequence[np.ndarray]) -> tuple[Floats, list[bytes]]:
        embeddings, grids = super().encode_pixels(pixels)
        return _longer(embeddings), [grid + bytes(GRID_BYTES - len(grid)) for grid in grids]

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return _longer(super().embed_texts(texts))

    def match(self, texts: Sequence[object], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        assert {len(grid) for grid in grids} == {GRID_BYTES}
        return super().match(texts, [grid[:12] for grid in grids], late_scores)  # type: ignore[arg-type]

    def likeness(self, grid: bytes, other: bytes) -> float:
        return super().likeness(grid[:12], other[:12])


def _longer(vectors: Floats) -> Floats:
    return np.pad(vectors, ((0, 0), (0, _SIZE - vectors.shape[1])))


def make_photos(folder: Path) -> None:
    """Make photos, some with copies and some with sidecars, and a text file."""
    for number in range(PHOTOS):
        colour = (1 + 41 * number % 255, 1 + 97 * number % 255, 1 + 193 * number % 255)
        make_photo(folder / f"{number % 3}" / f"{number:03}.png", colour)
        if number % 10 == 0:
            make_photo(folder / "copies" / f"{number:03}.png", colour)
        if number % 3 == 0:
            said = {"number": number % 4, "year": 10 + number % 10, "degrees": number % 80, "title": f"red {number}"}
            (folder / f"{number % 3}" / f"{number:03}.xmp").write_text(_XMP.format(**said))
    (folder / "texts.txt").write_text("".join(f"green and blue {number}\n" for number in range(60)))


def index(library: Path, folder: Path) -> None:
    with Library.create(library) as opened:
        index_folders(opened, LargeColours(), [folder, folder / "texts.txt"], load_files=load_in_this_process)


Ask = Callable[[SearchEngine], Sequence[Any]]
Answers = dict[str, "list[dict[str, Any]] | str"]


def answers(folder: Path, photos: Path) -> tuple[Answers, int]:
    """Return the results of each query, or its error, and the number of rows left out."""
    picture = Picture(photos / "0" / "003.png")

    def photos_like(*parts: Words | Picture, **filters: Any) -> Ask:
        """Return all photos without grouping, so that only the score of a hit depends on other photos."""
        query = Query(parts, filters=Filters(**filters), candidates=MOST, duplicates="show")
        return lambda engine: engine.search(query, MOST)

    asked: dict[str, Ask] = {
        "folded": lambda engine: engine.search("red", 20),
        "all": photos_like(Words("red")),
        "after": photos_like(Words("red"), after=datetime(2015, 1, 1)),
        "camera": photos_like(Words("red"), camera="camera 2"),
        "keyword": photos_like(Words("blue"), keywords=("Sea",)),
        "near": photos_like(Words("blue"), near=Circle(42.5, 8, 900)),
        "folder": photos_like(Words("blue"), folders=(photos / "copies",)),
        "picture": photos_like(picture),
        "texts": lambda engine: engine.find_texts(Query((picture,), candidates=MOST), MOST),
    }
    found: Answers = {}
    left_out = 0
    for name, ask in asked.items():
        try:
            with Library.open(folder) as library:
                found[name] = [asdict(hit) for hit in ask(SearchEngine(library, LargeColours()))]
                left_out += len(library.damage())
        except PixsearchError as error:
            found[name] = str(error)
    return found, left_out


def is_part_of(answer: list[dict[str, Any]], whole: list[dict[str, Any]]) -> bool:
    """Return whether a result contains nothing that is missing from another one.

    It may lack hits, copies, sources and metadata, so its scores may differ.
    """
    known = {hit["text"] if "text" in hit else hit["path"]: hit for hit in whole}
    return all(
        _is_within(value, known[key][name])
        for hit in answer
        for key in [hit["text"] if "text" in hit else hit["path"]]
        for name, value in hit.items()
        if name not in ("rank", "similarity_rank", "score")
    )


def _is_within(value: object, other: object) -> bool:
    if isinstance(value, dict) and isinstance(other, dict):
        return all(one in (None, (), other[name]) for name, one in value.items())
    return value == other or (
        isinstance(value, tuple) and isinstance(other, tuple) and all(one in other for one in value)
    )


def damage(data: bytes, chance: random.Random) -> bytes:
    """Return file data with random damage: to a bit, a few bytes, a sector or a page, or with the end cut off."""
    at, page = chance.randrange(len(data)), 4096
    kind = chance.choice(["bit", "bit", "bytes", "bytes", "sector", "page", "other page", "cut"])
    if kind == "bit":
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == "bytes":
        rubbish = chance.randbytes(chance.randint(1, 64))[: len(data) - at]
        return data[:at] + rubbish + data[at + len(rubbish) :]
    if kind == "sector":
        at -= at % 512
        return data[:at] + bytes(512) + data[at + 512 :]
    at -= at % page
    if kind == "page":
        return data[:at] + bytes(page) + data[at + page :]
    if kind == "other page":
        other = page * chance.randrange(len(data) // page)
        return data[:at] + data[other : other + page] + data[at + page :]
    return data[: max(at, page)]
