"""Paths in URLs and in JSON. On Linux, a path may consist of any bytes and need not be text."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import Request
from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_LONGEST = 4096
"""PATH_MAX on Linux."""


def bytes_parameter(request: Request, name: bytes) -> bytes | None:
    """Return the raw bytes of a query parameter, or None if it is missing or empty."""
    for pair in request.scope["query_string"].split(b"&"):
        key, _, value = pair.partition(b"=")
        if unquote_to_bytes(key) == name and value:
            return unquote_to_bytes(value.replace(b"+", b" "))
    return None


def _path(value: Any) -> bytes:
    try:
        path = value.encode(errors="surrogateescape") if isinstance(value, str) else b""
    except UnicodeEncodeError:
        path = b""
    if not 0 < len(path) <= _LONGEST:
        raise PydanticCustomError("path", "should be a path of 1 to {longest} bytes", {"longest": _LONGEST})
    return path


JsonPath = Annotated[
    bytes, PlainValidator(_path), WithJsonSchema({"type": "string", "examples": ["/home/me/Pictures"]})
]
"""A path as a string with a lone surrogate for each byte that is not UTF-8 (PEP 383), as in the API's responses."""
