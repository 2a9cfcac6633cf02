"""The database of a library: SQLite in the library's folder, or PostgreSQL."""
