"""The page and the HTTP API of `pixsearch serve`."""
