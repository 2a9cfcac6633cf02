"""Evaluate queries for what photos show, for words in their metadata, and for both, in an album with made-up metadata.

    python benchmarks/says_and_shows.py --album album/images --benchmark album/benchmark.json

Each photo in the album gets a random name, folder and date (with a fixed seed), and most get people, a town and
keywords. 30 queries are the benchmark queries with the largest numbers of correct photos. 30 can be answered from
metadata alone. 30 need both: each combines a benchmark query with a name that some, but not all, of its correct photos
have, and that other photos also have. Each query runs with metadata and without (--shows), so the first 30 show how
much metadata hurts visual queries.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from xml.sax.saxutils import escape

import typer

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.settings import library_location
from pixsearch_indexer import index_folders

QUERIES = 30
"""The number of queries of each kind."""
_PEOPLE = [
    "Anna Lindqvist",
    "Bertrand Okoye",
    "Chiara Moretti",
    "Dimitri Volkov",
    "Zoë Hartley",
    "Fatoumata Diallo",
    "Grace Whitcombe",
    "Hiroshi Tanaka",
    "Ingrid Solheim",
    "João Figueira",
    "Katarzyna Nowak",
    "Liam O'Brien",
    "Mireille Dubois",
    "Nikhil Rao",
    "Olga Petrenko",
    "Rose Delacroix",
    "Betty White",
    "Al Green",
    "Neil Young",
]
_TOWNS = {
    "Kyoto": (35.0211, 135.7538),
    "Lisbon": (38.7167, -9.1333),
    "Reykjavík": (64.1355, -21.8954),
    "Cusco": (-13.5226, -71.9673),
    "Salzburg": (47.7994, 13.0440),
    "Marrakesh": (31.6342, -7.9999),
    "Dubrovnik": (42.6481, 18.0922),
    "Long Beach": (33.7701, -118.1937),
    "Salt Lake City": (40.7608, -111.8911),
    "Hanoi": (21.0245, 105.8412),
    "New York": (40.7128, -74.0060),
    "Paris": (48.8534, 2.3488),
}
_KEYWORDS = [
    "birthday",
    "honeymoon",
    "invoice",
    "Christmas",
    "camping",
    "school project",
    "moving house",
    "reunion",
    "for grandma",
    "printed",
    "to sell",
    "wallpaper",
    "garden",
    "dinner",
    "holiday",
    "work",
]
_FOLDERS = (
    "Camera Uploads",
    "Pictures/from phone",
    "scans",
    "holidays/{town}",
    "{year}/{town}",
    "{year}",
    "family/{person}",
)
_NAMES = ("IMG_{number:04}", "DSC{number:05}", "PXL_{date:%Y%m%d_%H%M%S}", "P{number:07}", "{keyword}-{number:03}")


@dataclass(frozen=True, slots=True)
class MadeUpPhoto:
    """The made-up metadata of a photo."""

    number: str
    """The photo's number in the benchmark file."""
    file: str
    folder: str
    taken_at: datetime
    people: tuple[str, ...]
    town: str | None
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnsweredQuery:
    """A query, and the numbers of all photos that answer it."""

    text: str
    right: frozenset[str]


def main(
    album: Annotated[Path, typer.Option(help="Folder with the album's photos.")],
    benchmark: Annotated[Path, typer.Option(help="Judged queries for the album.")],
    library: Annotated[
        str | None, typer.Option(help="Empty library, which may be in PostgreSQL. [default: a new one]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for the made-up metadata.")] = 0,
    failures: Annotated[bool, typer.Option("--failures", help="Print the queries whose first hit is wrong.")] = False,
) -> None:
    judged = json.loads(benchmark.read_text(encoding="utf-8"))
    made = make_up(sorted(judged["photos"]), random.Random(seed))
    kinds = {
        "shows": shown_queries(judged["queries"]),
        "says": metadata_queries(made, random.Random(seed + 1)),
        "both": mixed_queries(judged["queries"], made, random.Random(seed + 2)),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = write_album(Path(folder) / "photos", album, made)
        runtime = PixelBertRuntime(find_checkpoint(None))
        with Library.create(library_location(library or f"{folder}/library")) as opened:
            index_folders(opened, runtime, [Path(folder) / "photos"])
            engine = SearchEngine(opened, runtime)
            for kind, queries in kinds.items():
                for evidence in ("shows", "both"):
                    ranks = [rank(engine, Query((Words(one.text),), evidence=evidence), one, files) for one in queries]
                    hits = {k: sum(1 <= one <= k for one in ranks) for k in (1, 5)}
                    name = "with metadata" if evidence == "both" else "pixels only"
                    print(f"{kind:5}  {name:13}  hit@1 {hits[1]}, hit@5 {hits[5]} of {len(queries)}", flush=True)
                    if failures and evidence == "both":
                        for one, found in zip(queries, ranks, strict=True):
                            if found != 1:
                                print(f"       {found or '-':>3}  {one.text}  (of {len(one.right)})")


def make_up(numbers: Sequence[str], draw: random.Random) -> list[MadeUpPhoto]:
    """Return made-up metadata for each photo."""
    made = []
    for index, number in enumerate(numbers):
        taken_at = datetime(2015, 1, 1) + timedelta(minutes=draw.randrange(8 * 365 * 24 * 60))
        people = tuple(draw.sample(_PEOPLE, draw.choice((0, 0, 1, 1, 2))))
        town = draw.choice([None, *_TOWNS])
        keywords = tuple(draw.sample(_KEYWORDS, draw.choice((0, 0, 1, 2))))
        folders = [one for one in _FOLDERS if (town or "{town" not in one) and (people or "{person" not in one)]
        folder = draw.choice(folders).format(town=town, year=taken_at.year, person="".join(people[:1]).split(" ")[0])
        keyword = draw.choice(keywords or ("scan",)).replace(" ", "_")
        file = draw.choice(_NAMES).format(number=3 * index + 1007, date=taken_at, keyword=keyword)
        made.append(MadeUpPhoto(number, f"{file}.jpg", folder, taken_at, people, town, keywords))
    return made


def write_album(folder: Path, album: Path, made: Sequence[MadeUpPhoto]) -> dict[str, Path]:
    """Copy the photos to their new names, each with an .xmp sidecar, and return their files keyed by number."""
    files = {}
    for one in made:
        file = folder / one.folder / one.file
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(next(album.glob(f"*{one.number}.*")), file)
        file.with_name(f"{file.name}.xmp").write_text(_xmp(one), encoding="utf-8")
        files[one.number] = file
    return files


def _xmp(one: MadeUpPhoto) -> str:
    gps = ""
    if one.town is not None:
        latitude, longitude = _TOWNS[one.town]
        gps = (
            f"<exif:GPSLatitude>{abs(latitude) // 1:.0f},{abs(latitude) % 1 * 60:.4f}{'N' if latitude >= 0 else 'S'}"
            f"</exif:GPSLatitude><exif:GPSLongitude>{abs(longitude) // 1:.0f},{abs(longitude) % 1 * 60:.4f}"
            f"{'E' if longitude >= 0 else 'W'}</exif:GPSLongitude>"
        )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<exif:DateTimeOriginal>{one.taken_at.isoformat()}</exif:DateTimeOriginal>{gps}"
        f"<dc:subject><rdf:Bag>{_items(one.keywords)}</rdf:Bag></dc:subject>"
        f"<Iptc4xmpExt:PersonInImage><rdf:Bag>{_items(one.people)}</rdf:Bag></Iptc4xmpExt:PersonInImage>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<rdf:li>{escape(text)}</rdf:li>" for text in texts)


def shown_queries(judged: Sequence[dict[str, object]]) -> list[AnsweredQuery]:
    """Return the judged queries with the largest numbers of correct photos."""
    queries = [_judged(query) for query in judged]
    return sorted(queries, key=lambda one: -len(one.right))[:QUERIES]


def _judged(query: dict[str, object]) -> AnsweredQuery:
    assert isinstance(query["photos"], list)
    return AnsweredQuery(str(query["query"]), frozenset(query["photos"]))


Name = tuple[str, Callable[[MadeUpPhoto], bool]]
"""Words in metadata, and a function that returns whether a photo has them."""


def _names(made: Sequence[MadeUpPhoto], draw: random.Random) -> list[Name]:
    """Return names for all people, towns and years."""
    names: list[Name] = []
    for person in _PEOPLE:
        text = person.split()[0] if draw.random() < 0.6 else person
        names.append((text, lambda one, person=person: person in one.people))  # type: ignore[misc]
    for town in _TOWNS:
        names.append((town, lambda one, town=town: one.town == town))  # type: ignore[misc]
    for year in sorted({one.taken_at.year for one in made}):
        names.append((str(year), lambda one, year=year: one.taken_at.year == year))  # type: ignore[misc]
    return names


def metadata_queries(made: Sequence[MadeUpPhoto], draw: random.Random) -> list[AnsweredQuery]:
    """Return queries for metadata: people, towns, years, keywords, months, file names, and people in a town."""
    options: list[Name] = _names(made, draw)
    for keyword in _KEYWORDS:
        options.append((keyword, lambda one, keyword=keyword: keyword in one.keywords))  # type: ignore[misc]
    for one in draw.sample(list(made), 6):
        month = one.taken_at.replace(day=1)
        options.append((f"{month:%B %Y}", lambda other, month=month: _month(other) == _month_of(month)))  # type: ignore[misc]
        if one.people and one.town:
            person, town = one.people[0], one.town
            text = f"{person.split()[0]} in {town}"
            options.append((text, lambda o, p=person, t=town: p in o.people and o.town == t))  # type: ignore[misc]
    for one in draw.sample([one for one in made if one.file.startswith(("IMG", "DSC", "P0"))], 6):
        options.append((one.file.removesuffix(".jpg"), lambda other, one=one: other.file == one.file))  # type: ignore[misc]
    queries = [_of_name(name, made) for name in options]
    return draw.sample([one for one in queries if one.right], QUERIES)


def mixed_queries(
    judged: Sequence[dict[str, object]], made: Sequence[MadeUpPhoto], draw: random.Random
) -> list[AnsweredQuery]:
    """Return judged queries combined with a name.

    Some, but not all, of the correct photos for the judged query have the name, and so do some other photos.
    """
    found = []
    templates = ("{shown} {name}", "{name} {shown}", "{shown} in {name}", "{name} with {shown}", "{shown}, {name}")
    for query in map(_judged, judged):
        for text, has in _names(made, draw):
            of_name = {one.number for one in made if has(one)}
            right = query.right & of_name
            if right and of_name - query.right and query.right - of_name:
                found.append((query, AnsweredQuery(draw.choice(templates).format(shown=query.text, name=text), right)))
    draw.shuffle(found)
    once = {query.text: mixed for query, mixed in found}
    return list(once.values())[:QUERIES]


def _of_name(name: Name, made: Sequence[MadeUpPhoto]) -> AnsweredQuery:
    text, has = name
    return AnsweredQuery(text, frozenset(one.number for one in made if has(one)))


def _month(one: MadeUpPhoto) -> tuple[int, int]:
    return _month_of(one.taken_at)


def _month_of(day: datetime) -> tuple[int, int]:
    return day.year, day.month


def rank(engine: SearchEngine, query: Query, answered: AnsweredQuery, files: dict[str, Path]) -> int:
    """Return the rank of the first correct photo among ten hits, from 1, or 0 if there is none."""
    right = {files[number].resolve() for number in answered.right}
    hits = engine.search(replace(query, duplicates="show"), k=10)
    return next((hit.rank for hit in hits if hit.path in right), 0)


if __name__ == "__main__":
    typer.run(main)
