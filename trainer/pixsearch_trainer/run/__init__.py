"""Training runs: stages, the training loop, and saved state."""
