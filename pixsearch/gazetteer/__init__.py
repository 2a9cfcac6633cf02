"""Places by coordinates and by name, offline, from an extract of GeoNames."""
