"""`/api/photos/{id}`: the metadata and the image of a picture in the library, by its id and never by a path."""

from __future__ import annotations

import os
from dataclasses import asdict
from io import BufferedReader, BytesIO
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from pixsearch.errors import PictureError
from pixsearch.library.photo_files import open_first
from pixsearch.library.records import StoredPicture
from pixsearch.regular_files import path_of
from pixsearch.search.explain import Explanation
from pixsearch_cli.json_records import ExplanationRecord, explanation_record, metadata_record
from pixsearch_cli.web.answers import ExposureAnswer, PhotoAnswer
from pixsearch_cli.web.problems import AsciiJson
from pixsearch_cli.web.search_api import PROBLEMS
from pixsearch_cli.web.site import Site, SiteOfApp
from pixsearch_indexer.thumbnail_cache import LARGE, SMALL

EDGES = {"small": SMALL, "large": LARGE}

_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "JPEG2000": "image/jp2",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "JXL": "image/jxl",
    "PSD": "image/vnd.adobe.photoshop",
}
"""Content types, keyed by the format that was detected when a photo was indexed, whatever its file name is."""

Id = Annotated[int, Path(ge=1, le=2**63 - 1, description="The id of a photo.")]
_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}

router = APIRouter(prefix="/api", default_response_class=AsciiJson, responses=PROBLEMS)


@router.get("/photos/{id}", response_model=PhotoAnswer)
async def photo(request: Request, site: SiteOfApp, id: Id) -> Response:
    """Return the metadata of a picture."""
    picture = await _picture(request, site, id)
    first, *copies = [photo.path for photo in picture.photos]
    return AsciiJson(
        {
            "id": picture.content_id,
            "path": first,
            "copies": copies,
            "format": picture.metadata.format,
            "size_bytes": picture.size_bytes,
            "lens": picture.metadata.lens,
            "share_decoded": picture.metadata.share_decoded,
            **metadata_record(picture.metadata),
        }
    )


@router.get("/photos/{id}/exposure", response_model=ExposureAnswer)
async def exposure(request: Request, site: SiteOfApp, id: Id) -> Response:
    """Return the aperture, shutter speed, ISO and focal length, read from the photo's file."""
    picture = await _picture(request, site, id)
    return AsciiJson(asdict(await site.pictures.take(request, site.decoder.exposure, picture)))


@router.get("/photos/{id}/thumbnail", response_class=Response, responses=_IMAGE)
async def thumbnail(
    request: Request, site: SiteOfApp, id: Id, size: Annotated[str, Query(pattern="^(small|large)$")] = "small"
) -> Response:
    """Return the picture as an upright JPEG: `small` for a list, `large` for a full screen."""
    edge = EDGES[size]

    def found() -> tuple[StoredPicture, dict[str, str], bytes | None] | None:
        if (picture := site.engine.library().picture(id)) is None:
            return None
        headers = _kept_by_browsers(f"{picture.digest.hex()[:32]}-{edge}")
        is_known = request.headers.get("if-none-match") == headers["ETag"]
        return picture, headers, b"" if is_known else site.decoder.kept_thumbnail(picture, edge)

    if (answer := await site.pictures.in_thread(request, found)) is None:
        raise _no_picture(id)
    picture, headers, data = answer
    if data == b"":
        return Response(status_code=304, headers=headers)
    if data is None:
        data = await site.pictures.take(request, site.decoder.thumbnail, picture, edge)
    return Response(data, media_type="image/jpeg", headers=headers)


@router.get("/photos/{id}/image", response_class=Response, responses=_FILE)
async def image(
    request: Request,
    site: SiteOfApp,
    id: Id,
    download: Annotated[bool, Query(description="Make a browser save the file instead of showing it.")] = False,
) -> Response:
    """Return the unmodified file of the photo."""
    picture = await _picture(request, site, id)
    try:
        found = await site.pictures.in_thread(request, lambda: open_first(picture.photos, picture.digest))
    except PictureError as error:
        raise HTTPException(404, f"{picture.photos[0].path}: {error}") from error
    photo, file = found
    media_type = _MEDIA_TYPES.get(picture.metadata.format, "application/octet-stream")
    name = photo.path.name.encode(errors="replace").decode()
    disposition = "attachment" if download else "inline"
    headers = {"Cache-Control": "private, no-cache"}
    if isinstance(file, BytesIO):
        headers["Content-Disposition"] = f"{disposition}; filename*=utf-8''{quote(name)}"
        return Response(file.read(), media_type=media_type, headers=headers)
    return _OpenFile(file, media_type=media_type, filename=name, content_disposition_type=disposition, headers=headers)


@router.get("/photos/{id}/explain", response_model=ExplanationRecord)
async def explain(
    request: Request,
    site: SiteOfApp,
    id: Id,
    q: Annotated[str, Query(min_length=1, max_length=1000, examples=["two dogs in snow"])],
) -> Response:
    """Return how well words match a picture, and where each word is found in it."""

    def found() -> Explanation | None:
        engine = site.engine.engine()
        return None if engine is None else engine.explain(q, id)

    explanation = await site.searches.in_thread(request, found)
    if explanation is None:
        raise _no_picture(id)
    return AsciiJson(explanation_record(explanation))


@router.get("/uploads/{name}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def upload(request: Request, site: SiteOfApp, name: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Response:
    """Return an uploaded query picture, as the model sees it."""
    data = await site.pictures.in_thread(request, site.decoder.upload, name, site.engine.input_size)
    return Response(data, media_type="image/png", headers=_kept_by_browsers(name))


async def _picture(request: Request, site: Site, id: int) -> StoredPicture:
    """Return a picture by its id. Raises HTTPException 404."""
    if (picture := await site.pictures.in_thread(request, lambda: site.engine.library().picture(id))) is None:
        raise _no_picture(id)
    return picture


class _OpenFile(FileResponse):
    """Sends an open file, even if its name now refers to a different file, and closes it.

    It sends at most as many bytes as the file had when it was opened. If the file has become shorter, it closes the
    connection early.
    """

    max_ranges = 1

    def __init__(self, file: BufferedReader, **how: Any) -> None:
        super().__init__(path_of(file), stat_result=os.fstat(file.fileno()), **how)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, _as_long_as_promised(send))


def _as_long_as_promised(send: Send) -> Send:
    """Cut off a body at its Content-Length. Raises ClientDisconnect if the body ends before that."""
    missing, is_complete = 0, False

    async def sending(message: Message) -> None:
        nonlocal missing, is_complete
        if message["type"] == "http.response.start":
            missing = int(Headers(raw=message["headers"])["content-length"])
            await send(message)
        elif not is_complete:
            body = message["body"][:missing]
            missing -= len(body)
            is_complete = missing == 0
            await send({**message, "body": body, "more_body": not is_complete})
            if not is_complete and not message.get("more_body", False):
                raise ClientDisconnect  # the guard then ends the response

    return sending


def _no_picture(id: int) -> HTTPException:
    return HTTPException(404, f"the library has no picture {id}")


def _kept_by_browsers(tag: str) -> dict[str, str]:
    """Return headers that make browsers revalidate each time: a different library may use the same URL later."""
    return {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
