"""Places by coordinates and by name, without a network: a table cut from GeoNames."""
