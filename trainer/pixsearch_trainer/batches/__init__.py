"""Batches: draw the pairs of each step, and load their pictures."""
