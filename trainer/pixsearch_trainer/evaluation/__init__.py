"""Recall@k of both directions, by the first stage and after the re-rank."""
