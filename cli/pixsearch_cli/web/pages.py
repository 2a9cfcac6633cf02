"""The search page, the library page, and the manifest for adding the page to the home screen of a phone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from pixsearch.library.records import Failure, LibraryStatus, Note, RootStatus
from pixsearch.storage import FilePath, path_bytes
from pixsearch_cli.index_cmd import unfinished
from pixsearch_cli.json_records import json_text
from pixsearch_cli.query_filters import FILTERS
from pixsearch_cli.status_cmd import last_run, rules, size
from pixsearch_cli.web.library_runs import LibraryRuns, kind
from pixsearch_cli.web.rendering import page, shown
from pixsearch_cli.web.search_requests import MOST_HITS, MOST_LIKE
from pixsearch_cli.web.site import SiteOfApp
from pixsearch_cli.web.static_files import MODULES

_SHOWN_OF_A_KIND = 100
_NEWEST = 200
"""The number of photos that the page requests before it knows how many there are."""
_GROUND = "#ffffff"
"""The theme colour of the light page, as in style.css. A manifest has only one; dark pages set their own."""

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def photos(request: Request) -> Response:
    """Return the page that shows and searches the photos. Its script gets them from the API."""
    return page(
        request,
        "search.html",
        is_home=not request.url.query,
        modules=MODULES,
        newest=_NEWEST,
        most_hits=MOST_HITS,
        most_like=MOST_LIKE,
        filters=FILTERS,
        chips=json_text([(name, one.is_list, one.chip) for name, one in FILTERS.items()]),
    )


@router.get("/library")
async def library(request: Request, site: SiteOfApp) -> Response:
    """Return the page with the status of the library, as `pixsearch status` shows it."""

    def found() -> tuple[LibraryStatus, list[Failure], list[Note]]:
        opened = site.engine.library()
        return opened.status(), opened.failures(), opened.notes()

    status, failures, notes = await site.searches.in_thread(request, found)
    return page(
        request,
        "library.html",
        status=status,
        folders=[_folder(root, site.runs) for root in status.roots],
        failures=_by_kind([(failure.path, failure.reason) for failure in failures]),
        notes=_by_kind([(note.path, note.note) for note in notes]),
        noted=len({note.path for note in notes}),
        shown_of_a_kind=_SHOWN_OF_A_KIND,
        switch=None if status.switch is None else unfinished(status.switch),
        last_run=last_run(status.last_run),
        library=shown(os.fsencode(status.library)),
        text_files=[_shown(path) for path in status.text_files],
        size=size,
    )


@dataclass(frozen=True, slots=True)
class _Folder:
    """An indexed folder, as the page shows it."""

    path: str
    photos: int
    online: bool
    rules: str
    address: str | None
    """The path as JSON, which can contain bytes that HTML cannot; None if the page may not change the folder."""


def _folder(root: RootStatus, runs: LibraryRuns | None) -> _Folder:
    may_change = runs is not None and runs.allowed.covers(path_bytes(root.path))
    address = json_text(root.path) if may_change else None
    return _Folder(_shown(root.path), root.photos, root.online, rules(root), address)


def _by_kind(reasons: Sequence[tuple[FilePath, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Group files by the kind of their reason, most frequent kind first. Each file keeps its full reason."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for path, reason in reasons:
        kinds.setdefault(kind(reason), []).append((_shown(path), reason))
    return sorted(kinds.items(), key=lambda one: -len(one[1]))


@router.get("/manifest.webmanifest")
async def manifest(request: Request) -> Response:
    """Return the web application manifest (W3C), for adding the page to the home screen of a phone."""
    root = request.scope["root_path"]
    icons = [
        {"src": f"{root}/static/icon.svg", "type": "image/svg+xml", "sizes": "any"},
        *(
            {
                "src": f"{root}/static/{name}-{edge}.png",
                "type": "image/png",
                "sizes": f"{edge}x{edge}",
                "purpose": purpose,
            }
            for name, purpose in (("icon", "any"), ("icon-maskable", "maskable"))
            for edge in (192, 512)
        ),
    ]
    content = {
        "name": "pixsearch",
        "short_name": "pixsearch",
        "description": "Find photos by words or by other photos.",
        "id": f"{root}/",
        "start_url": f"{root}/",
        "scope": f"{root}/",
        "display": "standalone",
        "theme_color": _GROUND,
        "background_color": _GROUND,
        "icons": icons,
    }
    return Response(json_text(content), media_type="application/manifest+json")


def _shown(path: FilePath) -> str:
    return shown(path_bytes(path))
