"""`/api/timeline` and `/api/values`: the photos by date, and the values to filter by."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from pixsearch.library.records import TimelinePicture
from pixsearch_cli.web.answers import TimelineAnswer, TimelineIdsAnswer, TimelinePhotosAnswer, ValuesAnswer
from pixsearch_cli.web.problems import AsciiJson
from pixsearch_cli.web.search_api import PROBLEMS, check_folders
from pixsearch_cli.web.search_requests import FilteredRequest, TimelineRequest
from pixsearch_cli.web.site import SiteOfApp

router = APIRouter(prefix="/api", default_response_class=AsciiJson, responses=PROBLEMS)


@router.get("/timeline", response_model=TimelineAnswer)
async def timeline(request: Request, site: SiteOfApp, wanted: Annotated[FilteredRequest, Query()]) -> Response:
    """Return the number of pictures per day, newest first, and then per folder for pictures without a date."""

    def found() -> dict[str, object]:
        library, filters = site.engine.library(), wanted.filters()
        if not (parts := library.timeline(filters)):
            check_folders(site, filters)
        return {
            "days": [{"day": day, "id": first, "count": count} for day, _, first, count in parts if day],
            "undated": [
                {"folder": folder, "id": first, "count": count} for day, folder, first, count in parts if not day
            ],
            "damaged": len(library.damage()),
        }

    return AsciiJson(await site.searches.in_thread(request, found))


@router.get("/timeline/photos", response_model=TimelinePhotosAnswer)
async def photos(request: Request, site: SiteOfApp, wanted: Annotated[TimelineRequest, Query()]) -> Response:
    """Return consecutive pictures of the timeline, in order."""

    def found() -> list[dict[str, object]] | None:
        pictures = site.engine.library().timeline_pictures(wanted.start, wanted.k, wanted.filters())
        return None if pictures is None else [_record(picture) for picture in pictures]

    if (records := await site.searches.in_thread(request, found)) is None:
        raise HTTPException(404, f"the library has no picture {wanted.start}")
    return AsciiJson({"photos": records})


@router.get("/timeline/ids", response_model=TimelineIdsAnswer)
async def ids(request: Request, site: SiteOfApp, wanted: Annotated[FilteredRequest, Query()]) -> Response:
    """Return the ids of all pictures, in the order of the timeline."""
    found = await site.searches.in_thread(request, lambda: site.engine.library().timeline_ids(wanted.filters()))
    return AsciiJson({"ids": found})


@router.get("/values", response_model=ValuesAnswer)
async def values(request: Request, site: SiteOfApp) -> Response:
    """Return the values that photos can be filtered by, the most frequent first."""

    def found() -> dict[str, object]:
        of_kinds = site.engine.library().values()
        return {
            kind: [{"value": value, "count": photos} for value, photos in of_kind] for kind, of_kind in of_kinds.items()
        }

    return AsciiJson(await site.searches.in_thread(request, found))


def _record(picture: TimelinePicture) -> dict[str, object]:
    known = {
        name: getattr(picture.metadata, name, None) for name in ("title", "caption", "taken_at", "width", "height")
    }
    path, *copies = picture.paths or (None,)
    return {
        "id": picture.content_id,
        "day": picture.day,
        "folder": picture.folder,
        "path": path,
        "copies": copies,
        **known,
    }
