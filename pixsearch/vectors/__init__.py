"""Nearest neighbours: a small protocol, and indexes in FAISS and Milvus."""
