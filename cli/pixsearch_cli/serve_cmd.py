"""`pixsearch serve`: a page for one's photos."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.settings import cache_folder, library_place
from pixsearch_cli.index_cmd import tell_switch
from pixsearch_cli.options import LibraryOption, ModelOption
from pixsearch_cli.output import say

if TYPE_CHECKING:
    from pixsearch import Library
    from pixsearch.search.runtime import Runtime

_LEAST_TOKEN = 16


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
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Say on stderr what is asked, queries included.")
    ] = False,
    library: LibraryOption = None,
    model: ModelOption = None,
) -> None:
    """Search in a browser, and over HTTP, until Ctrl-C.

    For example: pixsearch serve --open

    The page and the API answer this machine alone unless --host says otherwise. Nothing is written to photos or
    library, and nothing is sent anywhere.
    """
    if token is not None and len(token) < _LEAST_TOKEN:
        raise UsageError(f"a token of {len(token)} characters can be guessed", f"Take {_LEAST_TOKEN} or more, or none")
    from pixsearch.decoding import DecodeLimits, decoding_processes
    from pixsearch.model.runtime import PixelBertRuntime
    from pixsearch_cli.web.access import access_at
    from pixsearch_cli.web.app import make_app
    from pixsearch_cli.web.looking import Looking
    from pixsearch_cli.web.server import listen, run, server_of
    from pixsearch_cli.web.warm_engine import WarmEngine

    def load(library: Library) -> Runtime:
        return PixelBertRuntime(library.checkpoint(model))

    place = library_place(library)
    engine = WarmEngine(place, load)
    with listen(host, port) as listening:
        access = access_at(host, token)
        engine.warm_up()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        address = f"http://{f'[{shown}]' if ':' in shown else shown}:{listening.getsockname()[1]}/"
        if access.token is not None:
            address += f"?token={access.token}"
        tell_switch(engine.library().switch())
        say(f"{engine.library().name} is at {address} until Ctrl-C")
        if open_it:
            webbrowser.open(address)
        limits = DecodeLimits()
        with decoding_processes(limits, preload=["pixsearch_indexer.thumbnails"]) as pool:
            app = make_app(engine, Looking(pool, limits, cache_folder()), access)
            run(server_of(app, log_requests=log_requests), listening)
    engine.close()
