"""`pixsearch serve`: a page for one's photos."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from pixsearch.errors import LibraryNotFound, UsageError
from pixsearch.settings import cache_folder, library_place
from pixsearch_cli.index_cmd import tell_switch
from pixsearch_cli.options import LibraryOption, ModelOption
from pixsearch_cli.output import say
from pixsearch_cli.rerank_model import RerankModelOption, load_rerank_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixsearch import Library
    from pixsearch.search.runtime import Runtime
    from pixsearch.settings import Place
    from pixsearch_cli.web.access import Access

_LEAST_TOKEN = 16
_TURN_S = 0.0002
"""For which a thread may hold up the others: one that counts 100,000 photos would hold up each answer by 5 ms."""


def serve(
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Where to listen; 0 is any that is free.")
    ] = 7860,
    host: Annotated[
        str,
        typer.Option("--host", metavar="NAME", help="Of which address. Others than this machine's own need a token."),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="PIXSEARCH_TOKEN",
            show_envvar=False,
            help="What whoever asks must bring. [default: none on this machine alone, else one that is made]",
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Ask nobody for a token: the proxy in front knows who may come.")
    ] = False,
    root_path: Annotated[
        str | None,
        typer.Option("--root-path", metavar="PATH", help="Under which path a proxy shows the page, as in /photos."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="What browsers call the proxy; may be given again."),
    ] = None,
    trust_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-proxy",
            metavar="ADDRESS",
            help="Whose X-Forwarded headers to believe beside this machine's own; may be given again.",
        ),
    ] = None,
    allow_index: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-index",
            metavar="DIR",
            help="Let the page add folders at or below this one, and rescan and forget them; may be given again.",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Say on stderr what is asked, queries included.")
    ] = False,
    library: LibraryOption = None,
    model: ModelOption = None,
    rerank_model: RerankModelOption = None,
) -> None:
    """Search in a browser, and over HTTP, until Ctrl-C.

    For example: pixsearch serve --open

    The page and the API answer this machine alone unless --host says otherwise. Nothing is written to photos, nor to
    the library unless --allow-index lets the page change it, and nothing is sent anywhere.
    """
    if token is not None and no_token:
        raise UsageError("--no-token and a token contradict each other", "Take one of them")
    if token is not None and len(token) < _LEAST_TOKEN:
        raise UsageError(f"a token of {len(token)} characters can be guessed", f"Take {_LEAST_TOKEN} or more, or none")
    if token is not None and not (token.isprintable() and token == token.strip()):
        raise UsageError(
            "the token has a space at an end, or a character that cannot be sent", "Take letters, digits and signs"
        )
    from pixsearch.decoding import DecodeLimits, decoding_processes
    from pixsearch.model.load_runtime import load_runtime
    from pixsearch.search.candidate_reader import CandidateReader
    from pixsearch_cli.web.access import access_at
    from pixsearch_cli.web.addresses import names_of
    from pixsearch_cli.web.allowed_folders import allowed_folders
    from pixsearch_cli.web.app import make_app
    from pixsearch_cli.web.library_runs import LibraryRuns
    from pixsearch_cli.web.looking import Looking
    from pixsearch_cli.web.proxies import proxies_at
    from pixsearch_cli.web.server import listen, run, server_of
    from pixsearch_cli.web.warm_engine import WarmEngine
    from pixsearch_indexer.thumbnail_cache import ThumbnailCache

    def load(library: Library) -> Runtime:
        return load_runtime(library.checkpoint(model))

    proxies = proxies_at(trust_proxy or ())
    place = library_place(library)
    allowed = allowed_folders(allow_index or ())
    if allowed.paths:
        _make_if_missing(place)
    engine = WarmEngine(place, load)
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
        tell_switch(engine.library().switch())
        address = _announce(
            engine.library().name, names_of(host), listening.getsockname()[1], access, token is not None
        )
        if open_it:
            webbrowser.open(address)
        folder, limits = cache_folder(), DecodeLimits()
        thumbnails = ThumbnailCache(folder, engine.library().name, lambda: engine.library().count_contents())
        thumbnails.claim_room()
        with decoding_processes(limits, preload=["pixsearch_indexer.thumbnails"]) as pool:
            runs = LibraryRuns(allowed, place, model, lambda: engine.library().failures()) if allowed.paths else None
            looking = Looking(pool, limits, folder, thumbnails)
            reader = None if pair_reader is None else CandidateReader(pair_reader, looking.open_stored)
            app = make_app(engine, looking, access, runs, reader)
            run(server_of(app, proxies, log_requests=log_requests), listening)
    engine.close()


def _make_if_missing(library: Place) -> None:
    """Make an empty library for the page to fill, where there is none. Raises LibraryError."""
    from pixsearch import Library

    try:
        Library.open(library, say).close()
    except LibraryNotFound:
        Library.create(library, say).close()


def _announce(library: str, names: Sequence[str], port: int, access: Access, knows_token: bool) -> str:
    """Say where the page is, and return one of its addresses with the token.

    A token that the user has named is not written into the log of a service.
    """
    from pixsearch_cli.web.addresses import qr_code, shows_blocks

    query = "" if access.token is None else f"?token={quote(access.token, safe='')}"
    address = f"http://{names[0]}:{port}{access.root_path}/{query}"
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    if access.any_address and is_watched and shows_blocks(sys.stderr):
        print(qr_code(address), file=sys.stderr)
    page = f"{access.root_path}/{query if is_watched or not knows_token else ''}"
    say(f"{library} is at http://{names[0]}:{port}{page} until Ctrl-C")
    for name in names[1:]:
        say(f"also at http://{name}:{port}{page}")
    for name in sorted(access.proxied_names):
        say(f"behind the proxy at {name}{page}")
    return address
