"""What the routes share."""

from __future__ import annotations

from asyncio import Semaphore
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from pixsearch_cli.web.library_runs import LibraryRuns
from pixsearch_cli.web.photo_decoder import PhotoDecoder
from pixsearch_cli.web.request_queue import RequestQueue
from pixsearch_cli.web.warm_engine import WarmEngine


@dataclass(frozen=True, slots=True)
class Site:
    """What answers are made of."""

    engine: WarmEngine
    decoder: PhotoDecoder
    searches: RequestQueue
    pictures: RequestQueue
    listings: RequestQueue
    """For folders on disks that may not answer: whoever waits for one keeps nobody from searching."""
    zips: Semaphore
    """Nobody waits for it: a zip may take an hour."""
    runs: LibraryRuns | None
    """None where the library may not be changed from here."""


def _site(request: Request) -> Site:
    return cast(Site, request.app.state.site)


SiteOfApp = Annotated[Site, Depends(_site)]
