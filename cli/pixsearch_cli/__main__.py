"""Runs the `pixsearch` command with `python -m pixsearch_cli`."""

from pixsearch_cli.main import run

run()
