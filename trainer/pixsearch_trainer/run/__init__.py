"""Run training: stages, the training loop, and saved state."""
