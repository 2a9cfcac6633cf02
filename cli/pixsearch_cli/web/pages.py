"""The pages: search, and what the library holds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from pixsearch.library.records import Failure, LibraryStatus
from pixsearch.storage import FilePath, path_bytes
from pixsearch_cli.index_cmd import unfinished
from pixsearch_cli.json_records import json_text
from pixsearch_cli.query_filters import FILTERS
from pixsearch_cli.status_cmd import last_run, rules, size
from pixsearch_cli.web.asking import MOST_HITS
from pixsearch_cli.web.rendering import page, shown
from pixsearch_cli.web.site import SiteOfApp

_FAILURES_SHOWN = 200
_NEWEST = 200
"""Photos that are asked for before it is known how many there are."""


class _StaticFile(NamedTuple):
    data: bytes
    media_type: str
    tag: str


def _read(file: Path) -> _StaticFile:
    data = file.read_bytes()
    return _StaticFile(data, _MEDIA_TYPES[file.suffix], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
_FILES = {file.name: _read(file) for file in (Path(__file__).parent / "static").iterdir()}
_MODULES = sorted(name for name in _FILES if name.endswith(".js") and name != "theme.js")
"""Of the page of photos; without being named they would be found one after the other."""

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


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """A file that pages load. From memory: a thread would wait for its turn while others count the photos."""
    if (file := _FILES.get(name)) is None:
        raise HTTPException(404)
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.media_type, headers=headers)


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
        library=shown(os.fsencode(status.library)),
        text_files=[_shown(path) for path in status.text_files],
        size=size,
    )


def _shown(path: FilePath) -> str:
    return shown(path_bytes(path))
