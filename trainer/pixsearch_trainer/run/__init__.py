"""The one run: stages, their loop, and their state."""
