"""Evaluate a model: recall, judged queries, near misses and calibration."""
