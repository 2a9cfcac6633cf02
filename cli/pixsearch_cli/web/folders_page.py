"""`/folders`: the folders of a library, each with its number of photos and a sample photo."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from pixsearch.library.records import FolderListing
from pixsearch_cli.web.raw_parameters import bytes_parameter
from pixsearch_cli.web.rendering import page, shown
from pixsearch_cli.web.site import SiteOfApp

_ON_A_PAGE = 300

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class _Link:
    """A link to a folder: its name as text, and its path escaped for a URL, since a path may be any bytes."""

    name: str
    address: str


@router.get("/folders")
async def folders(request: Request, site: SiteOfApp) -> Response:
    """Return the page with the subfolders of the folder `in`, or with the indexed folders if it is missing."""
    path, after = bytes_parameter(request, b"in"), bytes_parameter(request, b"after")

    def found() -> tuple[FolderListing | None, int]:
        opened = site.engine.library()
        return opened.folders_in(path, after, _ON_A_PAGE), len(opened.damage())

    listing, damaged = await site.searches.in_thread(request, found)
    if listing is None:
        raise HTTPException(404, f"{shown(path or b'')} is not a folder of this library")
    parents = [*listing.parents, *([] if listing.path is None else [listing.path])]
    crumbs = [_link(path, is_root=not number) for number, path in enumerate(parents)]
    return page(
        request,
        "folders.html",
        listing=listing,
        crumbs=crumbs,
        folders=[(folder, _link(folder.path, is_root=listing.path is None)) for folder in listing.folders],
        after=None if listing.last is None else quote(listing.last, safe=""),
        is_inside=path is not None,
        damaged=damaged,
    )


def _link(path: bytes, *, is_root: bool) -> _Link:
    name = path if is_root else path.rpartition(b"/")[2]
    return _Link(shown(name), quote(path))
