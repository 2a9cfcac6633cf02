"""The pages: search, and what the library holds."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pixsearch.library.records import Failure, LibraryStatus
from pixsearch.storage import FilePath, to_path
from pixsearch_cli.index_cmd import unfinished
from pixsearch_cli.json_records import json_text
from pixsearch_cli.query_filters import FILTERS
from pixsearch_cli.status_cmd import last_run, rules, size
from pixsearch_cli.web.asking import MOST_HITS
from pixsearch_cli.web.site import SiteOfApp

_FAILURES_SHOWN = 200
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def search(request: Request, site: SiteOfApp) -> Response:
    """The page to search on; what it shows it asks the API for."""

    def found() -> tuple[int, list[bytes]]:
        opened = site.engine.library()
        # The index knows how many it has; to count the rows of a million photos takes a third of a second.
        return 0 if opened.model() is None else len(opened.vectors()), list(opened.roots())

    pictures, roots = await site.searches.in_thread(request, found)
    return _page(
        "search.html",
        pictures=pictures,
        roots=[_shown(to_path(root)) for root in roots],
        most_hits=MOST_HITS,
        filters=json_text([(name, one.is_list, one.chip) for name, one in FILTERS.items()]),
    )


@router.get("/library")
async def library(request: Request, site: SiteOfApp) -> Response:
    """What `pixsearch status` says."""

    def found() -> tuple[LibraryStatus, list[Failure]]:
        opened = site.engine.library()
        return opened.status(), opened.failures()

    status, failures = await site.searches.in_thread(request, found)
    return _page(
        "library.html",
        status=status,
        folders=[(_shown(root.path), root.photos, root.online, rules(root)) for root in status.roots],
        failures=[(_shown(one.path), one.reason) for one in failures[:_FAILURES_SHOWN]],
        switch=None if status.switch is None else unfinished(status.switch),
        last_run=last_run(status.last_run),
        library=_text(status.library),
        text_files=[_shown(path) for path in status.text_files],
        size=size,
    )


def _page(name: str, **values: object) -> Response:
    page = _TEMPLATES.get_template(name).render(values)
    return HTMLResponse(page.encode(), headers={"Content-Security-Policy": _POLICY})


def _shown(path: FilePath) -> str:
    return _text(str(path))


def _text(name: str) -> str:
    """A path that is no text, with a sign for what is none."""
    return os.fsencode(name).decode(errors="replace")
