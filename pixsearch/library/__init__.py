"""The photo library: a database, and a vector index derived from it."""
