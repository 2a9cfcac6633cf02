"""Writes the hits of queries to a self-contained HTML page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.durable import write_output
from pixsearch.errors import PictureError
from pixsearch_cli.query_results import StoredPictures, bytes_of_hit, figures_of, why

if TYPE_CHECKING:
    from PIL import Image

    from pixsearch import Hit
    from pixsearch.search.explain import Explanation
    from pixsearch.search.remarks import Remarks

THUMBNAIL = 320
"""The longer edge of a thumbnail in pixels."""
_MAP = 120

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
h1 { font-size: 1.3rem; font-weight: 600; }
h2 { font-size: 1rem; font-weight: 600; opacity: .75; border-top: 1px solid #8888; padding-top: .6rem; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 1.2rem;
     grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); }
img { width: 100%; height: 12rem; object-fit: contain; background: #8882; border-radius: .3rem; }
p { margin: .3rem 0 0; overflow-wrap: anywhere; }
.figures { font-variant-numeric: tabular-nums; }
.path, .more, details { font-size: .8rem; }
.path, .more { opacity: .75; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(6rem, 1fr)); gap: .4rem; }
.maps img { height: auto; }
figure { margin: 0; }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A query, its hits, and their explanations."""

    query: str
    hits: Sequence[Hit]
    explanations: Sequence[Explanation | None]
    """One for each hit; None if there are no words to explain."""
    stored: StoredPictures = field(default_factory=dict)
    """The stored pictures of the hits, if their files are to be opened."""
    remarks: Remarks | None = None


def write_page(file: Path, sections: Sequence[Section], *, names: bool = False) -> None:
    """Write queries and their hits to an HTML page. Raises OSError.

    If `names` is true, the page includes titles, captions, people and places.
    """
    title = html.escape(sections[0].query if len(sections) == 1 else f"{len(sections)} queries")
    shown = "\n".join(_section(section, names=names) for section in sections)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - pixsearch</title>
<style>{_STYLE}</style>
</head>
<body>
{shown}
</body>
</html>
"""
    write_output(file, page.encode(errors="backslashreplace"))


def _section(section: Section, *, names: bool) -> str:
    explained = zip(section.hits, section.explanations, strict=True)
    items = [_item(hit, section.stored, explanation, names=names) for hit, explanation in explained]
    likely = sum(hit.likely is not False for hit in section.hits)
    found = _list(items[:likely]) if items else "<p>nothing in this library matches</p>"
    if likely < len(items):
        found += f"<h2>Less likely</h2>\n{_list(items[likely:])}"
    return f"<section>\n<h1>{html.escape(section.query)}</h1>\n{found}\n</section>"


def _list(items: Sequence[str]) -> str:
    return f"<ol>\n{''.join(items)}</ol>\n" if items else ""


def _item(hit: Hit, stored: StoredPictures, explanation: Explanation | None, *, names: bool) -> str:
    from pixsearch.pictures import data_url, open_picture

    try:
        picture = open_picture(bytes_of_hit(hit, stored), min_edge=THUMBNAIL)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        thumbnail = f'<img alt="{html.escape(hit.path.name)}" src="{data_url(picture)}">'
        maps = "" if explanation is None else _maps(explanation, picture)
    except PictureError as error:
        thumbnail, maps = f"<p>{html.escape(error.message)}</p>", ""
    figures = ", ".join(figures_of(hit))
    reasons = why(hit) if names and hit.says else ""
    facts = [f"{hit.metadata.taken_at:%Y-%m-%d %H:%M}"] if hit.metadata.taken_at else []
    facts += filter(None, [hit.metadata.camera])
    if names:
        facts += filter(None, [hit.metadata.title or hit.metadata.caption, ", ".join(hit.metadata.people)])
        facts += filter(None, [hit.metadata.location or hit.metadata.place])
    more = f"<p class=more>{html.escape(reasons)}</p>" if reasons else ""
    more += "".join(f"<p class=more>also {html.escape(str(other))}</p>" for other in (*hit.copies, *hit.similar))
    return f"""<li>
<a href="{html.escape(hit.path.as_uri())}">{thumbnail}</a>
<p class=figures>{hit.rank}{": " if figures else ""}{figures}</p>
<p>{html.escape(", ".join(facts))}</p>
<p class=path>{html.escape(str(hit.path))}</p>
{more}{maps}</li>
"""


def _maps(why: Explanation, picture: Image.Image) -> str:
    """Return a collapsed section with a map for each word that shows where it is found."""
    from pixsearch.pictures import data_url
    from pixsearch.search.explain import heat

    small = picture.copy()
    small.thumbnail((_MAP, _MAP))
    figures = "".join(
        f'<figure><img alt="where {html.escape(word)} is found" src="{data_url(heat(small, region))}">'
        f"<figcaption>{html.escape(word)}</figcaption></figure>"
        for word, region in zip(why.words, why.regions, strict=True)
    )
    return f"<details><summary>why</summary><div class=maps>{figures}</div></details>\n"
