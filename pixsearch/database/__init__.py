"""The database of a library: SQLite in its folder, or PostgreSQL."""
