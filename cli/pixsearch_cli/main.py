"""The `pixsearch` command: which commands it has, and what becomes of an error."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from pixsearch import PixsearchError, __version__
from pixsearch_cli import (
    add_graphs_cmd,
    calibrate_cmd,
    config_cmd,
    duplicates_cmd,
    evaluate_cmd,
    explain_cmd,
    forget_cmd,
    index_cmd,
    query_cmd,
    serve_cmd,
    status_cmd,
    train_cmd,
    verify_cmd,
    watch_cmd,
)
from pixsearch_cli.command import Command
from pixsearch_cli.config_file import read_config
from pixsearch_cli.output import say

app = typer.Typer(
    name="pixsearch",
    help="Find photos by what is in them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A command's module imports what is heavy (torch, faiss, sqlalchemy) inside its function, so that --help is instant.
app.command("index", cls=Command)(index_cmd.index)
app.command("query", cls=Command)(query_cmd.query)
app.command("explain", cls=Command)(explain_cmd.explain)
app.command("serve", cls=Command)(serve_cmd.serve)
app.command("status", cls=Command)(status_cmd.status)
app.command("watch", cls=Command)(watch_cmd.watch)
app.command("duplicates", cls=Command)(duplicates_cmd.duplicates)
app.command("forget", cls=Command)(forget_cmd.forget)
app.command("verify", cls=Command)(verify_cmd.verify)
app.command("repair", cls=Command)(verify_cmd.repair)
app.command("train", cls=Command)(train_cmd.train)
app.command("evaluate", cls=Command)(evaluate_cmd.evaluate)
app.command("calibrate", cls=Command)(calibrate_cmd.calibrate)
app.command("add-graphs", cls=Command)(add_graphs_cmd.add_graphs)
app.command("config", cls=Command)(config_cmd.config)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pixsearch {__version__}")
        raise typer.Exit


@app.callback()
def _options_of_all_commands(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version this is.")
    ] = False,
    # Taken out of the line by main(), so that it may stand anywhere; here for --help only.
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    assert isinstance(context.command, typer.core.TyperGroup), "it has commands"
    options = {
        name: frozenset(parameter.name for parameter in command.params if parameter.name is not None)
        for name, command in context.command.commands.items()
    }
    context.default_map = read_config(options)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 could not, 2 wrong usage, 3 nothing matches, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text in this terminal's encoding
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "0").isdecimal():  # rich takes "²" for a number
            del os.environ[name]
    # A command makes few cycles and then ends; looking for them costs a refresh of 100,000 photos 0.2 s of its one.
    gc.set_threshold(200_000, 20, 20)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        app([argument for argument in arguments if argument != "--debug"])
    except Exception as error:
        if debug:
            raise
        say(_in_one_line(error))
        sys.exit(error.exit_code if isinstance(error, PixsearchError) else 1)


def run() -> NoReturn:
    """The command itself: `main`, and then the end of the process.

    All at once, since to take apart what a query has loaded would cost it 0.2 s more; but not where it has started
    processes, which would leave their sockets behind.
    """
    try:
        main()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0
    try:
        if sys.stdout is not None:  # where whoever started us closed it
            sys.stdout.flush()
    except OSError as error:
        if code == 0 and not isinstance(error, BrokenPipeError):  # whose reader has seen enough
            say(f"the output could not be written: {error.strerror}")
            code = 1
    if "torch" in sys.modules or "multiprocessing.forkserver" in sys.modules:
        sys.exit(code)
    os._exit(code)


def _in_one_line(error: Exception) -> str:
    if isinstance(error, PixsearchError):
        return str(error)
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error}. Run it again with --debug to see where, and please report it"
