"""Training from many pairs, end to end: each task a single stage of the one loop."""
