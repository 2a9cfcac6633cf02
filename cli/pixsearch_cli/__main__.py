"""`python -m pixsearch_cli`: the `pixsearch` command of this very Python."""

from pixsearch_cli.main import run

run()
