"""Nearest-neighbour search: a small protocol, implemented with FAISS and Milvus."""
