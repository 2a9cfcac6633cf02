"""Draw the pairs for each training step, and load their pictures."""
