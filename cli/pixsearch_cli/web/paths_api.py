"""`/api/paths`: the file paths of many photos."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pixsearch_cli.web.answers import PathsAnswer
from pixsearch_cli.web.photo_ids import BODY, read_ids
from pixsearch_cli.web.problems import AsciiJson
from pixsearch_cli.web.search_api import PROBLEMS
from pixsearch_cli.web.site import SiteOfApp

router = APIRouter(prefix="/api", default_response_class=AsciiJson, responses=PROBLEMS)


@router.post("/paths", response_model=PathsAnswer, openapi_extra=BODY)
async def paths(request: Request, site: SiteOfApp) -> Response:
    """Return the first path of each given photo that is in the library, in the order of the given ids."""
    ids = await read_ids(request)

    def found() -> dict[str, object]:
        paths = site.engine.library().first_paths(ids)
        return {
            "paths": [paths[content_id] for content_id in ids if content_id in paths],
            "unknown": len(ids) - len(paths),
        }

    return AsciiJson(await site.searches.in_thread(request, found))
