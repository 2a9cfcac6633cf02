"""`/api/search`, `/api/status` and `/api/health`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from pixsearch import Filters, __version__
from pixsearch.errors import UsageError
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch.search.query import why_not_read
from pixsearch_cli.json_records import hit_record, remarks_record, status_record
from pixsearch_cli.web.answers import HealthAnswer, Problem, SearchAnswer
from pixsearch_cli.web.guard import BODY_LIMIT_BYTES
from pixsearch_cli.web.problems import PROBLEM, AsciiJson
from pixsearch_cli.web.search_requests import SearchRequest
from pixsearch_cli.web.site import Site, SiteOfApp

MOST_PICTURES = 4
"""The maximum number of pictures in one request."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "A problem with the request.",
        "content": {PROBLEM: {"schema": Problem.model_json_schema()}},
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": SearchRequest.model_json_schema(),
                "example": {"q": "a beach", "minus": ["0.5:people"], "after": "2021"},
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "query": {"type": "string", "description": "The query as JSON.", "example": '{"k": 20}'},
                        "picture": {
                            "type": "array",
                            "maxItems": MOST_PICTURES,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Picture files that the photos should be similar to.",
                        },
                    },
                }
            },
        },
    }
}

router = APIRouter(prefix="/api", default_response_class=AsciiJson, responses=PROBLEMS)


@router.get("/search", response_model=SearchAnswer)
async def search(request: Request, site: SiteOfApp, asked: Annotated[SearchRequest, Query()]) -> Response:
    """Find photos by words, by pictures in the library, and by previously uploaded pictures."""
    return AsciiJson({**await _answer(request, site, asked), "uploads": []})


@router.post("/search", response_model=SearchAnswer, openapi_extra=_BODY)
async def search_by_pictures(request: Request, site: SiteOfApp) -> Response:
    """Find photos by a JSON query and by uploaded pictures. The upload only writes to the cache."""
    asked, pictures = await _read(request)
    if await site.searches.in_thread(request, site.engine.engine) is None:
        return AsciiJson({"hits": [], **remarks_record(None), "near": None, "damaged": 0, "uploads": []})
    edge = site.engine.input_size
    kept = dict([await site.pictures.take(request, site.decoder.keep_upload, data, edge) for data in pictures])
    with invalid_is_a_problem():
        asked = SearchRequest.model_validate(asked.model_dump() | {"like": [*asked.like, *kept]})
    return AsciiJson({**await _answer(request, site, asked, kept), "uploads": list(kept)})


@router.get("/status", response_model=None, responses={200: {"description": "What `pixsearch status --json` prints."}})
async def status(request: Request, site: SiteOfApp) -> Response:
    """Return the library's statistics, and the files that could not be read."""

    def record() -> dict[str, object]:
        library = site.engine.library()
        return status_record(library.status(), library.failures(), library.notes())

    return AsciiJson(await site.searches.in_thread(request, record))


@router.get("/health", response_model=HealthAnswer)
async def health() -> Response:
    """Return ok, for health checks."""
    return AsciiJson({"status": "ok", "version": __version__})


async def _answer(
    request: Request, site: Site, asked: SearchRequest, sent: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, object]:
    """Return the hits, the remarks on the query, the town named in it and the number of damaged rows.

    `sent` contains the pictures that were uploaded with the request, keyed by name. They are not read from the cache.
    """

    def upload(name: str) -> bytes:
        return sent.get(name) or site.decoder.upload(name, site.engine.input_size)

    def find(reader: CandidateReader | None) -> dict[str, object]:
        engine, query = site.engine.engine(reader), asked.query(upload)
        hits, remarks = ([], None) if engine is None else (engine.search(query, asked.k), engine.remarks(query))
        if not hits:
            check_folders(site, query.filters)
        near = query.filters.near
        return {
            "hits": [hit_record(hit) for hit in hits],
            **remarks_record(remarks),
            "near": None if near is None else near.centre,
            "damaged": len(site.engine.library().damage()),
        }

    if site.reader is not None:
        query = await site.searches.in_thread(request, asked.query, upload)
        if why_not_read(query) is None:
            return await site.readings.in_thread(request, find, site.reader)
    return await site.searches.in_thread(request, find, None)


def check_folders(site: Site, filters: Filters) -> None:
    """Raise HTTPException 404 if the library has no photos in one of the folders; its name may be misspelt."""
    for folder in filters.folders:
        if not site.engine.library().passing(Filters(folders=(folder,))):
            raise HTTPException(404, f"no photos in {folder}")


async def _read(request: Request) -> tuple[SearchRequest, list[bytes]]:
    """Return the query and the picture files in a POST request.

    Raises HTTPException, RequestValidationError, UsageError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = await request.body()
        with invalid_is_a_problem():
            return SearchRequest.model_validate_json(body), []
    if kind != "multipart/form-data":
        raise HTTPException(415, "send the query as application/json, or with pictures as multipart/form-data")
    async with request.form(max_files=MOST_PICTURES, max_fields=1, max_part_size=BODY_LIMIT_BYTES) as form:
        if strange := set(form) - {"query", "picture"}:
            raise UsageError(f"unknown form field {min(strange)!r}", "Valid fields: query, picture")
        query, files = form.get("query", "{}"), form.getlist("picture")
        if not isinstance(query, str) or not all(isinstance(file, UploadFile) for file in files):
            raise UsageError(
                "the form field query must be text, and picture must be a file", "Check the fields of the form"
            )
        with invalid_is_a_problem():
            asked = SearchRequest.model_validate_json(query)
        return asked, [await file.read() for file in files if isinstance(file, UploadFile)]


@contextmanager
def invalid_is_a_problem() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from error
