"""`pixsearch serve`: serve the web page and the HTTP API."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from pixsearch.errors import LibraryNotFound, UsageError
from pixsearch.printable import plural
from pixsearch.settings import cache_folder, library_location
from pixsearch_cli.index_cmd import show_switch
from pixsearch_cli.options import LibraryOption, ModelOption
from pixsearch_cli.output import show_message
from pixsearch_cli.rerank_model import RerankModelOption, load_rerank_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixsearch import Library
    from pixsearch.search.runtime import Runtime
    from pixsearch.settings import Location
    from pixsearch_cli.web.access import Access

_LEAST_TOKEN = 16
_TURN_S = 0.0002
"""Seconds between thread switches. Python's 5 ms would delay each answer while a thread counts 100,000 photos."""


def serve(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 for any free port.")
    ] = 7860,
    host: Annotated[
        str,
        typer.Option("--host", metavar="NAME", help="Address to listen on; anything but localhost requires a token."),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="PIXSEARCH_TOKEN",
            show_envvar=False,
            help="Access token that clients must send. [default: none on localhost, otherwise generated]",
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Do not require a token, because a reverse proxy controls access.")
    ] = False,
    root_path: Annotated[
        str | None,
        typer.Option("--root-path", metavar="PATH", help="Path under which a proxy serves the page, e.g. /photos."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Host name of a reverse proxy; repeatable."),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-proxy",
            metavar="ADDRESS",
            help="Address of a proxy whose X-Forwarded headers to trust; repeatable.",
        ),
    ] = None,
    allow_index: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-index",
            metavar="DIR",
            help="Let the page add, rescan and forget folders at or below this one; repeatable.",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Log requests (including queries) to stderr.")
    ] = False,
    library: LibraryOption = None,
    model: ModelOption = None,
    rerank_model: RerankModelOption = None,
) -> None:
    """Serve the web page and the HTTP API, until Ctrl-C.

    For example: pixsearch serve --open

    The page and the API can only be reached from this machine unless --host is set. Photos are never modified. The
    library is only modified if --allow-index is set. Nothing is sent to other servers.
    """
    if token is not None and no_token:
        raise UsageError("--token and --no-token cannot be used together", "Omit one of them")
    if token is not None and len(token) < _LEAST_TOKEN:
        raise UsageError(
            f"the token is too short ({plural(len(token), 'character')})",
            f"Use {_LEAST_TOKEN} characters or more, or omit the token",
        )
    if token is not None and not (token.isprintable() and token == token.strip()):
        raise UsageError(
            "the token begins or ends with a space, or contains a character that HTTP headers do not allow",
            "Use ASCII letters, digits and punctuation",
        )
    from pixsearch.decoding import DecodeLimits, decoding_processes
    from pixsearch.model.load_runtime import load_runtime
    from pixsearch.search.candidate_reader import CandidateReader
    from pixsearch_cli.web.access import access_at
    from pixsearch_cli.web.addresses import names_of
    from pixsearch_cli.web.allowed_folders import allowed_folders
    from pixsearch_cli.web.app import make_app
    from pixsearch_cli.web.library_runs import LibraryRuns
    from pixsearch_cli.web.photo_decoder import PhotoDecoder
    from pixsearch_cli.web.proxies import proxies_at
    from pixsearch_cli.web.server import listen, run, server_of
    from pixsearch_cli.web.warm_engine import WarmEngine
    from pixsearch_indexer.thumbnail_cache import ThumbnailCache

    def load(library: Library) -> Runtime:
        return load_runtime(library.checkpoint(model))

    proxies = proxies_at(trust_proxy or ())
    location = library_location(library)
    allowed = allowed_folders(allow_index or ())
    if allowed.paths:
        _make_if_missing(location)
    engine = WarmEngine(location, load)
    pair_reader = None if rerank_model is None else load_rerank_model(rerank_model)
    with listen(host, port) as listening:
        access = access_at(
            host,
            token,
            root_path=root_path,
            allowed_hosts=allow_host or (),
            asks_for_token=not no_token,
            may_index=bool(allowed.paths),
        )
        sys.setswitchinterval(_TURN_S)
        engine.warm_up()
        show_switch(engine.library().switch())
        address = _announce(
            engine.library().name, names_of(host), listening.getsockname()[1], access, token is not None
        )
        if open_it:
            webbrowser.open(address)
        folder, limits = cache_folder(), DecodeLimits()
        thumbnails = ThumbnailCache(folder, engine.library().name, lambda: engine.library().count_contents())
        thumbnails.claim_room()
        with decoding_processes(limits, preload=["pixsearch_indexer.thumbnails"]) as pool:
            runs = LibraryRuns(allowed, location, model, lambda: engine.library().failures()) if allowed.paths else None
            decoder = PhotoDecoder(pool, limits, folder, thumbnails)
            reader = None if pair_reader is None else CandidateReader(pair_reader, decoder.open_stored)
            app = make_app(engine, decoder, access, runs, reader)
            run(server_of(app, proxies, log_requests=log_requests), listening)
    engine.close()


def _make_if_missing(library: Location) -> None:
    """Create an empty library for the page to fill, if there is none. Raises LibraryError."""
    from pixsearch import Library

    try:
        Library.open(library, show_message).close()
    except LibraryNotFound:
        Library.create(library, show_message).close()


def _announce(library: str, names: Sequence[str], port: int, access: Access, knows_token: bool) -> str:
    """Show the addresses of the page, and return one of them with the token.

    A token that the user has chosen is shown only on a terminal, so that it does not end up in the log of a service.
    """
    from pixsearch_cli.web.addresses import qr_code, shows_blocks

    query = "" if access.token is None else f"?token={quote(access.token, safe='')}"
    address = f"http://{names[0]}:{port}{access.root_path}/{query}"
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    if access.any_address and is_watched and shows_blocks(sys.stderr):
        print(qr_code(address), file=sys.stderr)
    page = f"{access.root_path}/{query if is_watched or not knows_token else ''}"
    show_message(f"Serving {library} at http://{names[0]}:{port}{page} (press Ctrl-C to stop)")
    for name in names[1:]:
        show_message(f"also at http://{name}:{port}{page}")
    for name in sorted(access.proxied_names):
        show_message(f"behind the proxy at {name}{page}")
    return address
