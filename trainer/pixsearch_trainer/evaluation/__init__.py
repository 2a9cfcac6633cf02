"""Evaluation: recall@k in both directions before and after the re-rank, judged queries, near misses, calibration."""
