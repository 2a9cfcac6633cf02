"""Offline lookup of places by coordinates or name, using an extract from GeoNames."""
