"""The `pixsearch` command. Nothing here is for others to import."""
