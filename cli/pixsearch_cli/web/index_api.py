"""`/api/index`: change the library, if `serve --allow-index` permits it."""

from __future__ import annotations

import os
from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from pixsearch.paths import is_at_or_below
from pixsearch.progress import Progress
from pixsearch_cli.web.allowed_folders import is_where_it_was, outermost
from pixsearch_cli.web.library_runs import Action, LibraryRun, LibraryRuns
from pixsearch_cli.web.problems import AsciiJson
from pixsearch_cli.web.raw_parameters import JsonPath, bytes_parameter
from pixsearch_cli.web.search_api import PROBLEMS
from pixsearch_cli.web.site import Site, SiteOfApp

_LISTED = 1000


class RunRecord(TypedDict):
    """The latest run started by this server."""

    action: Action
    folders: list[str]
    started: str
    ended: str | None
    """Null while the run is in progress."""
    stopped: bool
    progress: Progress | None
    summary: str | None
    """The summary of a finished run."""
    failures: dict[str, int]
    """The number of files in the run's folders that could not be read, by kind of reason."""
    error: str | None
    """Why the run failed."""


class IndexAnswer(TypedDict):
    """The folders that may be added, and the latest run."""

    allowed: list[str]
    run: RunRecord | None


class FolderRecord(TypedDict):
    """A folder that may be added."""

    name: str
    path: str
    indexed: bool
    """True if the library contains the folder or one above it."""


class FoldersAnswer(TypedDict):
    """The subfolders of a folder."""

    path: str | None
    """Null for the list of the folders named with `--allow-index`."""
    parent: str | None
    """Null if the folder itself is named with `--allow-index`."""
    folders: list[FolderRecord]
    more: bool
    """True if there are more folders than the ones listed."""


class IndexRequest(BaseModel):
    """The folder to index."""

    model_config = ConfigDict(extra="forbid")

    folder: JsonPath | None = None
    """The folder to add or rescan. If it is null, all folders in the library that may be changed are rescanned."""


class ForgetRequest(BaseModel):
    """The folder to forget."""

    model_config = ConfigDict(extra="forbid")

    folder: JsonPath


router = APIRouter(prefix="/api/index", default_response_class=AsciiJson, responses=PROBLEMS)


@router.get("", response_model=IndexAnswer)
async def state(site: SiteOfApp) -> Response:
    """Return the folders that may be added, and the latest run."""
    return _state(site)


@router.get("/folders", response_model=FoldersAnswer)
async def folders(request: Request, site: SiteOfApp) -> Response:
    """Return the subfolders of the folder `in`, or the folders named with `--allow-index` if `in` is missing."""
    path = bytes_parameter(request, b"in")
    return AsciiJson(await site.listings.in_thread(request, _listing, site, path))


@router.post("", response_model=IndexAnswer, status_code=202)
async def index(request: Request, site: SiteOfApp, wanted: IndexRequest) -> Response:
    """Start `pixsearch index`: add a folder or rescan it. Returns 409 while another run is in progress."""

    def folders() -> list[bytes]:
        allowed = _runs(site).allowed
        known = [root for root in site.engine.library().roots() if allowed.covers(root) and is_where_it_was(root)]
        if wanted.folder is None:
            return outermost(known)
        return [
            wanted.folder if wanted.folder in known else allowed.resolve(wanted.folder)
        ]  # a known folder may be offline

    chosen = await site.listings.in_thread(request, folders)
    if not chosen:
        raise HTTPException(404, "the library has no folder that can be changed here: add one first")
    _runs(site).start("index", chosen)
    return _state(site, 202)


@router.delete("", response_model=IndexAnswer)
async def stop(site: SiteOfApp) -> Response:
    """Stop the current run. The photos that it has already encoded are kept."""
    await _runs(site).stop()
    return _state(site)


@router.post("/duplicates", response_model=IndexAnswer, status_code=202)
async def compare(site: SiteOfApp) -> Response:
    """Start `pixsearch duplicates --alike`: compare the photos, so that the page can show which ones look alike."""
    _runs(site).start("duplicates")
    return _state(site, 202)


@router.post("/forget", response_model=IndexAnswer, status_code=202)
async def forget(request: Request, site: SiteOfApp, wanted: ForgetRequest) -> Response:
    """Start `pixsearch forget`: remove a folder from the library. Its files are not touched."""
    roots = await site.listings.in_thread(request, lambda: site.engine.library().roots())
    if wanted.folder not in roots or not _runs(site).allowed.covers(wanted.folder):
        raise HTTPException(404, "not a library folder that can be changed here")
    _runs(site).start("forget", [wanted.folder])
    return _state(site, 202)


def _run_record(run: LibraryRun) -> dict[str, object]:
    return {
        "action": run.action,
        "folders": [_text(folder) for folder in run.folders],
        "started": run.started.isoformat(timespec="seconds"),
        "ended": None if run.ended is None else run.ended.isoformat(timespec="seconds"),
        "stopped": run.stopped,
        "progress": None if run.progress is None else asdict(run.progress),
        "summary": run.summary,
        "failures": run.failures,
        "error": run.error,
    }


def _state(site: Site, status: int = 200) -> Response:
    runs = _runs(site)
    run = None if runs.latest is None else _run_record(runs.latest)
    return AsciiJson({"allowed": [_text(path) for path in runs.allowed.paths], "run": run}, status)


def _listing(site: Site, path: bytes | None) -> FoldersAnswer:
    """Return the subfolders of a folder, or the allowed folders if `path` is None. Raises HTTPException 403 and 404."""
    allowed, roots = _runs(site).allowed, site.engine.library().roots()

    def record(name: bytes, path: bytes) -> FolderRecord:
        return {"name": _text(name), "path": _text(path), "indexed": any(is_at_or_below(path, root) for root in roots)}

    if path is None:
        return {"path": None, "parent": None, "folders": [record(one, one) for one in allowed.paths], "more": False}
    folder = allowed.resolve(path)
    try:
        names = sorted(allowed.subfolders(folder), key=lambda name: (_text(name).casefold(), name))
    except OSError as error:
        raise HTTPException(404, f"this folder cannot be listed: {error.strerror}") from error
    parent = os.path.dirname(folder)  # noqa: PTH120 - bytes
    return {
        "path": _text(folder),
        "parent": _text(parent) if folder not in allowed.paths else None,
        "folders": [record(name, os.path.join(folder, name)) for name in names[:_LISTED]],  # noqa: PTH118 - bytes
        "more": len(names) > _LISTED,
    }


def _runs(site: Site) -> LibraryRuns:
    assert site.runs is not None, "these routes exist only with runs"
    return site.runs


def _text(path: bytes) -> str:
    return path.decode(errors="surrogateescape")
