"""Lets `python -m pixsearch_cli` run the `pixsearch` command."""

from pixsearch_cli.main import run

run()
