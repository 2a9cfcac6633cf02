"""Searching a library: the query as data, and the two stages that answer it."""
