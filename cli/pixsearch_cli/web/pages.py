"""The pages: search, and what the library holds."""

from __future__ import annotations

import os

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from pixsearch.library.records import Failure, LibraryStatus
from pixsearch.storage import FilePath
from pixsearch_cli.index_cmd import unfinished
from pixsearch_cli.json_records import json_text
from pixsearch_cli.query_filters import FILTERS
from pixsearch_cli.status_cmd import last_run, rules, size
from pixsearch_cli.web.asking import MOST_HITS
from pixsearch_cli.web.rendering import STATIC, page
from pixsearch_cli.web.site import SiteOfApp

_FAILURES_SHOWN = 200
_NEWEST = 200
"""Photos that are asked for before it is known how many there are."""
_MODULES = sorted(file.name for file in STATIC.glob("*.js") if file.name != "theme.js")
"""Of the page of photos, which would be found one after the other."""

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def photos(request: Request) -> Response:
    """The page that shows the photos and searches them; what it shows it asks the API for."""
    return page(
        request,
        "search.html",
        is_home=not request.url.query,
        modules=_MODULES,
        newest=_NEWEST,
        most_hits=MOST_HITS,
        filters=FILTERS,
        chips=json_text([(name, one.is_list, one.chip) for name, one in FILTERS.items()]),
    )


@router.get("/library")
async def library(request: Request, site: SiteOfApp) -> Response:
    """What `pixsearch status` says."""

    def found() -> tuple[LibraryStatus, list[Failure]]:
        opened = site.engine.library()
        return opened.status(), opened.failures()

    status, failures = await site.searches.in_thread(request, found)
    return page(
        request,
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


def _shown(path: FilePath) -> str:
    return _text(str(path))


def _text(name: str) -> str:
    """A path that is no text, with a sign for what is none."""
    return os.fsencode(name).decode(errors="replace")
