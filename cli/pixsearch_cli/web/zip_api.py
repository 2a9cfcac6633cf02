"""`/api/zip`: the files of many photos in one download. The server keeps only one piece in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from pixsearch.errors import PixsearchError
from pixsearch_cli.web.photo_ids import BODY, read_ids
from pixsearch_cli.web.photo_zip import zip_of
from pixsearch_cli.web.problems import AsciiJson
from pixsearch_cli.web.search_api import PROBLEMS
from pixsearch_cli.web.site import Site, SiteOfApp

_RETRY_AFTER_S = 10
_GIVES_WAY_S = 0.02
"""Seconds that a zip pauses per chunk while a search is running, which limits it to 12 MB/s."""
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
    503: {"description": "Too many zips are being sent; `Retry-After` is the time to wait before retrying."},
}

router = APIRouter(prefix="/api", default_response_class=AsciiJson, responses=PROBLEMS)


@router.post("/zip", response_class=Response, responses=_ZIP, openapi_extra=BODY)
async def zip_photos(request: Request, site: SiteOfApp) -> Response:
    """Return the files of photos in one zip. Files that are missing or have changed are listed in `missing.txt`.

    At most two zips are sent at a time. If a zip ends early, it has no directory, so no program takes it for complete.
    """
    return _ZipOfPhotos(site, await read_ids(request))


@router.get("/zip", status_code=204, response_class=Response, responses={503: _ZIP[503]})
async def zip_is_free(site: SiteOfApp) -> Response:
    """Return 204 if a zip can be sent now. The page checks this first, because an error would replace the page."""
    _check_free(site)
    return Response(status_code=204)


def _check_free(site: Site) -> None:
    """Raise HTTPException 503 if no zip can be sent now."""
    if site.zips.locked():
        raise HTTPException(
            503,
            "other downloads are in progress: try again when they are done",
            {"Retry-After": str(_RETRY_AFTER_S)},
        )


class _ZipOfPhotos(Response):
    """Sends a zip while a separate thread creates it. The thread never waits for the client."""

    media_type = "application/zip"

    def __init__(self, site: Site, ids: Sequence[int]) -> None:
        name = f"{len(ids)} photo{'' if len(ids) == 1 else 's'}.zip"
        super().__init__(headers={"Content-Disposition": f'attachment; filename="{name}"'})
        del self.headers["content-length"]
        self._site = site
        self._ids = ids

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send the zip. Stop early if the client disconnects.

        Raises HTTPException 503 if no zip can be sent now, and PixsearchError if the zip fails before its first byte.
        """
        _check_free(self._site)
        async with self._site.zips:
            sending = asyncio.create_task(self._send(send))
            leaving = asyncio.create_task(_wait_until_gone(receive))
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def _send(self, send: Send) -> None:
        pieces: Generator[bytes, None, None] | None = None

        def next_piece() -> bytes | None:
            nonlocal pieces
            if pieces is None:
                pieces = zip_of(self._site.engine.library(), self._ids)
            return next(pieces, None)

        def close() -> None:
            if pieces is not None:
                pieces.close()

        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "zip")
        try:
            piece = await loop.run_in_executor(thread, next_piece)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while piece is not None:
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if self._site.searches.is_busy:
                    await asyncio.sleep(_GIVES_WAY_S)
                try:
                    piece = await loop.run_in_executor(thread, next_piece)
                except PixsearchError as error:
                    raise ClientDisconnect from error  # the guard then ends the response
            await send({"type": "http.response.body", "body": b""})
        finally:
            thread.submit(close)  # runs after the current piece is done
            thread.shutdown(wait=False)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
