"""Error responses: `application/problem+json` (RFC 9457) for programs, and a page for browsers."""

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
from pixsearch_cli.web.rendering import page

PROBLEM = "application/problem+json"
_MOST_ERRORS = 5

_STATUS_OF = {
    UsageError: HTTPStatus.BAD_REQUEST,
    PictureError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LibraryError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class AsciiJson(JSONResponse):
    """An ASCII JSON response, since a path that is not valid UTF-8 contains surrogates, which UTF-8 cannot encode."""

    def render(self, content: Any) -> bytes:
        return json_text(content, (",", ":")).encode("ascii")


def problem(
    request: Request,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """Return the response for an error, as a page for a browser and as JSON for other clients."""
    title, detail = HTTPStatus(status).phrase, without_passwords(detail)
    if "text/html" in request.headers.get("accept", ""):
        needs_token = status == HTTPStatus.UNAUTHORIZED
        answer = page(request, "problem.html", status, title=title, sentence=_sentence(detail), needs_token=needs_token)
        answer.headers.update(headers or {})
        return answer
    content: dict[str, object] = {"type": "about:blank", "title": title, "status": int(status), "detail": detail}
    if errors is not None:
        content["errors"] = errors
    return AsciiJson(content, status, headers, PROBLEM)


def _sentence(detail: str) -> str:
    """Return a message as a sentence with a full stop, and with a capital letter unless it begins with a name."""
    first = detail.partition(" ")[0]
    capital = detail[:1].upper() if first.isalpha() else detail[:1]
    return f"{capital}{detail[1:]}{'' if detail.endswith(('.', '?', '!')) else '.'}"


def answer_errors_with_problems(app: FastAPI) -> None:
    """Turn all exceptions in the app into error responses. Unexpected ones are also logged by the server."""

    @app.exception_handler(PixsearchError)
    async def known(request: Request, error: PixsearchError) -> Response:
        kinds = (status for kind, status in _STATUS_OF.items() if isinstance(error, kind))
        return problem(request, next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR), str(error))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        is_without_words = error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase
        detail = "there is nothing at this address" if is_without_words else error.detail
        return problem(request, error.status_code, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _invalid_fields(request, error.errors())

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return problem(
            request, HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}: please report it"
        )


def _invalid_fields(request: Request, errors: Any) -> Response:
    """Return the response that lists the invalid fields of a request and the reasons, without the fields' values."""
    fields = [
        {"field": ".".join(str(part) for part in error["loc"][-2:]), "message": str(error["msg"])}
        for error in errors[:_MOST_ERRORS]
    ]
    detail = "; ".join(f"{field['field']}: {field['message']}".removeprefix(": ") for field in fields)
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=fields)
