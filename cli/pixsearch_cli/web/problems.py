"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from pixsearch.errors import LibraryError, ModelError, PictureError, PixsearchError, UsageError
from pixsearch.printable import without_passwords
from pixsearch_cli.json_records import json_text

PROBLEM = "application/problem+json"

_STATUS_OF = {
    UsageError: HTTPStatus.BAD_REQUEST,
    PictureError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LibraryError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class AsciiJson(JSONResponse):
    """JSON in ASCII, since a file's name need not be text: a path's string may have what UTF-8 has no bytes for."""

    def render(self, content: Any) -> bytes:
        return json_text(content, (",", ":")).encode("ascii")


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, errors: list[dict[str, str]] | None = None
) -> Response:
    """What is wrong, in words for people."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": without_passwords(detail),
    }
    if errors is not None:
        content["errors"] = errors
    return AsciiJson(content, status, headers, PROBLEM)


def answer_errors_with_problems(app: FastAPI) -> None:
    """Whatever is raised in the app becomes a problem; what nobody expected also goes to the server's log."""

    @app.exception_handler(PixsearchError)
    async def known(_request: Request, error: PixsearchError) -> Response:
        kinds = (status for kind, status in _STATUS_OF.items() if isinstance(error, kind))
        return problem(next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR), str(error))

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        return invalid_fields(error.errors())

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, error: Exception) -> Response:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}: please report it")


def invalid_fields(errors: Any) -> Response:
    """Which fields of a request are wrong, and how; what they held is not repeated."""
    fields = [
        {"field": ".".join(str(part) for part in error["loc"][-2:]), "message": str(error["msg"])} for error in errors
    ]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:5])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=fields)
