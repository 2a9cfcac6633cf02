"""The library on disk: SQLite is the truth, the vector file is derived from it."""
