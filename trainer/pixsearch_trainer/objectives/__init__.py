"""The objectives that stages minimise."""
