"""Static files: scripts, styles and icons."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException


class _StaticFile(NamedTuple):
    data: bytes
    media_type: str
    tag: str


def _read(file: Path) -> _StaticFile:
    data = file.read_bytes()
    return _StaticFile(data, _MEDIA_TYPES[file.suffix], f'"{hashlib.sha256(data).hexdigest()[:32]}"')


_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png"}
_FILES = {file.name: _read(file) for file in (Path(__file__).parent / "static").iterdir()}
_OF_OTHER_PAGES = ("theme.js", "library.js", "index_api.js")
MODULES = sorted(name for name in _FILES if name.endswith(".js") and name not in _OF_OTHER_PAGES)
"""Modules that the photo page preloads; otherwise the browser would discover them one after the other."""

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Return a file that the pages load.

    It is kept in memory, because reading it in a thread might have to wait for threads that count photos.
    """
    if (file := _FILES.get(name)) is None:
        raise HTTPException(404)
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.media_type, headers=headers)
