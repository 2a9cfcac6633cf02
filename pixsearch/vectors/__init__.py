"""Nearest neighbours: one small protocol, and FAISS behind it."""
