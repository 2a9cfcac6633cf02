"""`pixsearch query` for text in photos, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo

_XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:Rating="4">
<exif:DateTimeOriginal>2019-03-15T12:00:00</exif:DateTimeOriginal>
<exif:GPSLatitude>35,2.1N</exif:GPSLatitude><exif:GPSLongitude>135,45.7E</exif:GPSLongitude>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Temple of Anna</rdf:li></rdf:Alt></dc:title>
<dc:subject><rdf:Bag><rdf:li>京都旅行</rdf:li></rdf:Bag></dc:subject>
<Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Zoë Müller</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def told(run: Run, library: Path, model: ColourRuntime, tmp_path: Path) -> Path:
    """An indexed folder with a blue photo full of text and a red one without any."""
    model.calibrated, model.words_taught = True, {"red": 100, "in": 100, "stars": 100}
    folder = tmp_path / "album"
    make_photo(folder / "Trip_2" / "IMG_2043.png", "blue")
    (folder / "Trip_2" / "IMG_2043.xmp").write_text(_XMP, encoding="utf-8")
    make_photo(folder / "plain.png", "red")
    assert run("index", folder).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("Zoë", "people"),
        ("zoe muller", "people"),
        ("Kyoto", "place"),
        ("japan", "place"),
        ("旅行", "keyword"),
        ("temple of anna", "title"),
        ("IMG_2043", "file"),
        ("img_2043.png", "file"),
        ("043", "file"),
        ("trip", "folder"),
        ("2019", "date"),
        ("March 2019", "date"),
        ("15.3.2019", "date"),
        ("4 stars", "rating"),
    ],
)
def test_a_photo_is_found_by_what_it_says(run: Run, told: Path, words: str, source: str) -> None:
    first, *_ = [json.loads(line) for line in run("query", words, "--json").stdout.splitlines()]
    alone = run("query", words, "--says", "--paths")

    assert first["path"] == f"{told}/Trip_2/IMG_2043.png"
    assert {one["source"] for one in first["says"]} == {source}
    assert (first["certainty"], first["likely"]) == ("strong", True)
    assert alone.stdout.splitlines() == [f"{told}/Trip_2/IMG_2043.png"]


def test_the_table_says_why(run: Run, told: Path) -> None:
    # A match of 5 less 6, because Zoë is not in the text: 1 / (1 + e) = 27%. A match of -5: 1 / (1 + e^5) = 0.7%.
    assert run("query", "red Zoë", "--no-pictures").stdout.splitlines() == [
        "rank      score  similarity                              why  photo",
        "less likely:",
        f"   1   27% weak   1.000 (1)                        shows 99%  {told}/plain.png",
        f'   2  0.7% weak   0.000 (2)  shows 0.7%, says "Zoë" (people)  {told}/Trip_2/IMG_2043.png',
    ]


def test_shows_and_says_exclude_each_other(run: Run, told: Path) -> None:
    outcome = run("query", "red", "--shows", "--says")

    assert outcome.exit_code == 2
    assert "--shows and --says cannot be used together" in outcome.stderr


def test_a_filter_by_place_goes_by_the_nearest_town_too(run: Run, told: Path) -> None:
    assert run("query", "--place", "kyo", "--paths").stdout.splitlines() == [f"{told}/Trip_2/IMG_2043.png"]


def test_a_page_names_nobody_unless_asked(run: Run, told: Path, tmp_path: Path) -> None:
    quiet, open_ = tmp_path / "quiet.html", tmp_path / "open.html"

    run("query", "trip", "--html", quiet)
    run("query", "trip", "--html", open_, "--html-names")

    for text in ("Zoë Müller", "Kyoto, Japan", "Temple of Anna"):
        assert text not in quiet.read_text(encoding="utf-8")
        assert text in open_.read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--person", "--place", "--keyword", "--camera", "--name"])
def test_an_empty_filter_is_refused(run: Run, told: Path, option: str) -> None:
    outcome = run("query", option, " ")

    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "a filter is empty" in outcome.stderr
