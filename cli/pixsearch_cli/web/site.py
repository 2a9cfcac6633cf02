"""The state that the routes share."""

from __future__ import annotations

from asyncio import Semaphore
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from pixsearch.search.candidate_reader import CandidateReader
from pixsearch_cli.web.library_runs import LibraryRuns
from pixsearch_cli.web.photo_decoder import PhotoDecoder
from pixsearch_cli.web.request_queue import RequestQueue
from pixsearch_cli.web.warm_engine import WarmEngine


@dataclass(frozen=True, slots=True)
class Site:
    """The engine, the decoder, the queues and the runs of one server."""

    engine: WarmEngine
    decoder: PhotoDecoder
    reader: CandidateReader | None
    searches: RequestQueue
    readings: RequestQueue
    """The queue of searches with a re-rank model. They take seconds, and must not delay quick searches."""
    pictures: RequestQueue
    listings: RequestQueue
    """The queue of requests to disks that may not respond, so that they do not block searches."""
    zips: Semaphore
    """Requests are refused rather than queued: a zip may take an hour."""
    runs: LibraryRuns | None
    """None if the library may not be changed from the page."""


def _site(request: Request) -> Site:
    return cast(Site, request.app.state.site)


SiteOfApp = Annotated[Site, Depends(_site)]
