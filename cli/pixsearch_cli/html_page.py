"""The hits of a query as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.durable import write_durably
from pixsearch.errors import PictureError

if TYPE_CHECKING:
    from PIL import Image

    from pixsearch import Hit

THUMBNAIL = 320
"""Longer edge in pixels."""

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
h1 { font-size: 1.3rem; font-weight: 600; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 1.2rem;
     grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); }
img { width: 100%; height: 12rem; object-fit: contain; background: #8882; border-radius: .3rem; }
p { margin: .3rem 0 0; overflow-wrap: anywhere; }
.figures { font-variant-numeric: tabular-nums; }
.path, .more { font-size: .8rem; opacity: .75; }
"""


def write_page(file: Path, answers: Sequence[tuple[str, Sequence[Hit]]]) -> None:
    """Write a page of queries and their hits. Raises OSError."""
    sections = "\n".join(_section(query, hits) for query, hits in answers)
    title = html.escape(answers[0][0] if len(answers) == 1 else f"{len(answers)} queries")
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - pixsearch</title>
<style>{_STYLE}</style>
</head>
<body>
{sections}
</body>
</html>
"""
    write_durably(file, page.encode(errors="backslashreplace"))


def _section(query: str, hits: Sequence[Hit]) -> str:
    found = "".join(_item(hit) for hit in hits) or "<p>nothing in this library matches</p>"
    return f"<section>\n<h1>{html.escape(query)}</h1>\n<ol>\n{found}</ol>\n</section>"


def _item(hit: Hit) -> str:
    path = str(hit.path)
    match = "" if hit.match is None else f"match {hit.match:.2f}, "
    if hit.probability is not None:
        match = f"match {hit.probability:.0%}, "
    facts = [f"{hit.metadata.taken_at:%Y-%m-%d %H:%M}"] if hit.metadata.taken_at else []
    facts += filter(None, [hit.metadata.camera, hit.metadata.title or hit.metadata.caption])
    more = "".join(f"<p class=more>also {html.escape(str(other))}</p>" for other in (*hit.copies, *hit.similar))
    return f"""<li>
<a href="{html.escape(_link(hit.path))}">{_thumbnail(hit.path)}</a>
<p class=figures>{hit.rank}: {match}similarity {hit.similarity:.3f} ({hit.similarity_rank})</p>
<p>{html.escape(", ".join(facts))}</p>
<p class=path>{html.escape(path)}</p>
{more}</li>
"""


def _link(path: Path) -> str:
    return path.as_uri()


def _thumbnail(path: Path) -> str:
    from pixsearch.pictures import open_picture

    try:
        picture = open_picture(path, min_edge=THUMBNAIL)
    except PictureError as error:
        return f"<p>{html.escape(error.message)}</p>"
    return f'<img alt="{html.escape(path.name)}" src="{data_url(picture)}">'


def data_url(picture: Image.Image) -> str:
    """The picture as a small JPEG inside an address."""
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
