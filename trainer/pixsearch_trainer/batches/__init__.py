"""Which pictures a step trains on, and how they come from disk."""
