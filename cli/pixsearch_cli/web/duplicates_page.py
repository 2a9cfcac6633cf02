"""`/duplicates`: the photos that are in the library more than once, a page of groups at a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from pixsearch.library.records import StoredPhoto, StoredPicture
from pixsearch.search.duplicates import Duplicates, KnownDuplicates, Rank, known_duplicates
from pixsearch.storage import path_bytes
from pixsearch_cli.status_cmd import size
from pixsearch_cli.web.rendering import page, shown
from pixsearch_cli.web.site import SiteOfApp

_ON_A_PAGE = 50
_OF_A_GROUP = 60

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/duplicates")
async def duplicates(
    request: Request, site: SiteOfApp, after: Annotated[str | None, Query(pattern=r"^\d{1,18}-\d{1,18}$")] = None
) -> Response:
    """Return the page with the groups that `pixsearch duplicates` lists, without comparing pictures."""
    rank = None
    if after is not None:
        spare_bytes, content_id = map(int, after.split("-"))
        rank = Rank(-spare_bytes, content_id)

    def found() -> tuple[KnownDuplicates, int, int]:
        opened = site.engine.library()
        return known_duplicates(opened, rank, _ON_A_PAGE), opened.count_contents(), len(opened.damage())

    known, pictures, damaged = await site.searches.in_thread(request, found)
    return page(
        request,
        "duplicates.html",
        known=known,
        pictures=pictures,
        damaged=damaged,
        photos_of=_photos_of,
        most_of_a_group=_OF_A_GROUP,
        is_first=rank is None,
        after=None if known.last is None else f"{-known.last.minus_spare_bytes}-{known.last.content_id}",
        shown=lambda path: shown(path_bytes(path)),
        size=size,
    )


def _photos_of(group: Duplicates) -> list[tuple[str, StoredPicture, StoredPhoto]]:
    """Return the first photos of a group, each with its relation to the best one."""
    best = group.pictures[0]
    photos = [
        ("Identical" if picture is best else "Similar", picture, photo)
        for picture in group.pictures
        for photo in picture.photos
    ]
    return [("Best", *photos[0][1:]), *photos[1:_OF_A_GROUP]]
