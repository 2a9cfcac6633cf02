"""Assembles the app: the routes behind an access guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from pixsearch import __version__
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch_cli.web import (
    duplicates_page,
    folders_page,
    index_api,
    pages,
    paths_api,
    photos_api,
    search_api,
    static_files,
    timeline_api,
    zip_api,
)
from pixsearch_cli.web.access import Access
from pixsearch_cli.web.guard import AccessGuard
from pixsearch_cli.web.library_runs import LibraryRuns
from pixsearch_cli.web.photo_decoder import PhotoDecoder
from pixsearch_cli.web.photo_ids import IDS_LIMIT_BYTES
from pixsearch_cli.web.problems import answer_errors_with_problems
from pixsearch_cli.web.request_queue import RequestQueue
from pixsearch_cli.web.site import Site
from pixsearch_cli.web.warm_engine import WarmEngine

SEARCHES_AT_ONCE, SEARCHES_WAITING = 2, 62
READINGS_AT_ONCE, READINGS_WAITING = 1, 63
PICTURES_AT_ONCE, PICTURES_WAITING = 8, 248
LISTINGS_AT_ONCE, LISTINGS_WAITING = 2, 14
ZIPS_AT_ONCE = 2
_BODY_LIMITS = {"/api/zip": IDS_LIMIT_BYTES, "/api/paths": IDS_LIMIT_BYTES}


def make_app(
    engine: WarmEngine,
    decoder: PhotoDecoder,
    access: Access,
    runs: LibraryRuns | None = None,
    reader: CandidateReader | None = None,
) -> ASGIApp:
    """Return the app with the pages and the API of a library. `reader` is the second stage of searches, if given.

    The app never writes to photos. It writes to the library only through `runs`.
    """

    @asynccontextmanager
    async def stop_run_at_end(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if runs is not None:
            await runs.stop()

    app = FastAPI(
        lifespan=stop_run_at_end,
        title="pixsearch",
        version=__version__,
        description="Find photos by words or by other photos.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's documentation pages would load scripts from the network
        redoc_url=None,
        redirect_slashes=False,  # each page has exactly one URL
    )
    app.state.site = Site(
        engine,
        decoder,
        reader,
        searches=RequestQueue(SEARCHES_AT_ONCE, SEARCHES_WAITING),
        readings=RequestQueue(READINGS_AT_ONCE, READINGS_WAITING),
        pictures=RequestQueue(PICTURES_AT_ONCE, PICTURES_WAITING),
        listings=RequestQueue(LISTINGS_AT_ONCE, LISTINGS_WAITING),
        zips=asyncio.Semaphore(ZIPS_AT_ONCE),
        runs=runs,
    )
    answer_errors_with_problems(app)
    apis = (search_api, timeline_api, photos_api, zip_api, paths_api)
    for part in (*apis, pages, folders_page, duplicates_page, static_files):
        app.include_router(part.router)
    if runs is not None:
        app.include_router(index_api.router)
    return AccessGuard(app, access, _BODY_LIMITS)
