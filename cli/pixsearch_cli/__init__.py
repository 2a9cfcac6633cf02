"""The `pixsearch` command. This package has no public API."""
