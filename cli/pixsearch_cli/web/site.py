"""What the routes share."""

from __future__ import annotations

from asyncio import Semaphore
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from pixsearch.search.candidate_reader import CandidateReader
from pixsearch_cli.web.library_runs import LibraryRuns
from pixsearch_cli.web.looking import Looking
from pixsearch_cli.web.turns import Turns
from pixsearch_cli.web.warm_engine import WarmEngine


@dataclass(frozen=True, slots=True)
class Site:
    """What answers are made of."""

    engine: WarmEngine
    looking: Looking
    reader: CandidateReader | None
    searches: Turns
    readings: Turns
    """For searches that the reader takes seconds for: the quick answers before them do not wait."""
    pictures: Turns
    listings: Turns
    """For folders on disks that may not answer: whoever waits for one keeps nobody from searching."""
    zips: Semaphore
    """Nobody waits for it: a zip may take an hour."""
    runs: LibraryRuns | None
    """None where the library may not be changed from here."""


def _site(request: Request) -> Site:
    return cast(Site, request.app.state.site)


SiteOfApp = Annotated[Site, Depends(_site)]
