"""Search a library: the query classes and the two stages of a search."""
