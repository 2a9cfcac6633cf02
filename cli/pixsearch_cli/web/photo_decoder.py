"""Decodes pictures for the page: thumbnails that no run has made yet, and uploads to search with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool
from PIL import Image
from starlette.exceptions import HTTPException

from pixsearch.decoding import DecodeLimits
from pixsearch.disk_cache import DiskCache
from pixsearch.errors import PictureError
from pixsearch.library.photo_files import content_digest
from pixsearch.library.records import StoredPicture
from pixsearch.search.candidate_reader import open_stored
from pixsearch_indexer.exposures import photo_exposure
from pixsearch_indexer.metadata.exposure import Exposure
from pixsearch_indexer.thumbnail_cache import ThumbnailCache
from pixsearch_indexer.thumbnails import NoThumbnail, photo_thumbnail, upload_as_png

UPLOADS_LIMIT_BYTES = 128 << 20

Decoded = TypeVar("Decoded")


class PhotoDecoder:
    """Decodes pictures in separate processes, within the indexer's limits, and keeps the results in the cache folder.

    The key of a result is the digest of the file's content, so libraries share results, and no result is ever outdated.
    """

    def __init__(self, pool: ProcessPool, limits: DecodeLimits, folder: Path, thumbnails: ThumbnailCache) -> None:
        self._pool = pool
        self._limits = limits
        self._thumbnails = thumbnails
        self._uploads = DiskCache(folder / "uploads", lambda: UPLOADS_LIMIT_BYTES)

    def kept_thumbnail(self, picture: StoredPicture, edge: int) -> bytes | None:
        """Return the thumbnail of a picture if it already exists. The run that indexes a photo makes a small one."""
        return self._thumbnails.get(picture.digest, edge)

    async def thumbnail(self, picture: StoredPicture, edge: int) -> bytes:
        """Make a JPEG whose shorter edge has `edge` pixels. Raises HTTPException 404 with the reason if that fails."""
        reason = ""
        for photo in picture.photos:
            made = await self._decode(photo_thumbnail, photo, picture.digest, edge, self._limits.megapixels)
            if isinstance(made, bytes):
                await asyncio.to_thread(self._thumbnails.put, picture.digest, edge, made)
                return made
            reason = reason or made.reason
        raise HTTPException(404, f"{picture.photos[0].path}: {reason}")

    def open_stored(self, picture: StoredPicture, min_edge: int) -> Image.Image:
        """Decode a picture in the library for a model, like `candidate_reader.open_stored`. Raises PictureError."""
        future = self._pool.schedule(open_stored, (picture, min_edge), timeout=self._limits.seconds)
        try:
            return future.result()
        except (TimeoutError, ProcessExpired) as error:
            raise PictureError(_failure(error, self._limits)) from error

    async def exposure(self, picture: StoredPicture) -> Exposure:
        """Read the exposure from the picture's file. Raises HTTPException 404 with the reason if that fails."""
        read = await self._decode(photo_exposure, picture.photos, picture.digest, self._limits.megapixels)
        if isinstance(read, NoThumbnail):
            raise HTTPException(404, f"{picture.photos[0].path}: {read.reason}")
        return read

    async def keep_upload(self, data: bytes, min_edge: int) -> tuple[str, bytes]:
        """Store an uploaded picture, and return its name and the PNG that the model receives. Raises PictureError."""
        name = content_digest(data).hex()
        file = _file_of(name, min_edge)
        if (kept := await asyncio.to_thread(self._uploads.get, file)) is not None:
            return name, kept
        made = await self._decode(upload_as_png, data, min_edge, self._limits.megapixels)
        if isinstance(made, NoThumbnail):
            raise PictureError(f"the picture: {made.reason}")
        await asyncio.to_thread(self._uploads.put, file, made)
        return name, made

    def upload(self, name: str, min_edge: int) -> bytes:
        """Return the PNG of an uploaded picture. Raises HTTPException 404 if it is no longer in the cache."""
        if (kept := self._uploads.get(_file_of(name, min_edge))) is None:
            raise HTTPException(404, "this picture is no longer available: upload it again")
        return kept

    async def _decode(
        self, function: Callable[..., Decoded | NoThumbnail], *arguments: object
    ) -> Decoded | NoThumbnail:
        future = self._pool.schedule(function, arguments, timeout=self._limits.seconds)
        try:
            return await asyncio.wrap_future(future)
        except (TimeoutError, ProcessExpired) as error:
            return NoThumbnail(_failure(error, self._limits))


def _failure(error: TimeoutError | ProcessExpired, limits: DecodeLimits) -> str:
    if isinstance(error, ProcessExpired):
        return f"its decoder crashed (exit code {error.exitcode})"
    return f"not decoded within {limits.seconds:.0f} s"


def _file_of(name: str, min_edge: int) -> str:
    return f"{name}-{min_edge}.png"
