"""Which pairs a step trains on, and how their pictures come."""
