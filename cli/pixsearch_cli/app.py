"""The `pixsearch` commands, and the options that they share."""

from __future__ import annotations

from typing import Annotated

import typer

from pixsearch import __version__
from pixsearch_cli import (
    add_graphs_cmd,
    calibrate_cmd,
    config_cmd,
    duplicates_cmd,
    evaluate_cmd,
    explain_cmd,
    forget_cmd,
    index_cmd,
    model_cmd,
    query_cmd,
    serve_cmd,
    status_cmd,
    train_cmd,
    verify_cmd,
    watch_cmd,
)
from pixsearch_cli.command import Command
from pixsearch_cli.config_file import leaf_commands, nested, read_config

app = typer.Typer(
    name="pixsearch",
    help="Find photos by what is in them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The command modules import heavy packages (torch, faiss, sqlalchemy) inside functions, so that --help is instant.
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
app.add_typer(model_cmd.app)
app.command("config", cls=Command)(config_cmd.config)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pixsearch {__version__}")
        raise typer.Exit


@app.callback()
def _options_of_all_commands(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    # The module `main` removes this option from the command line, so that it may appear anywhere. Only --help uses it.
    _debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on errors.")] = False,
) -> None:
    assert isinstance(context.command, typer.core.TyperGroup), "it has commands"
    context.default_map = nested(read_config(leaf_commands(context.command.commands)))
