"""Places modelled as discs on the globe, each sized for its population at 8,000 people per km²."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_KM = 6371.0088

Floats = NDArray[np.float64]

_PEOPLE_PER_KM2 = 8000
_SECTION_SHARE = 5


def unit_vectors(latitudes: Floats, longitudes: Floats) -> tuple[Floats, Floats, Floats]:
    """Convert coordinates in degrees to x, y and z on a unit sphere, each [places]."""
    phi, theta = np.radians(latitudes), np.radians(longitudes)
    return np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)


def radii_km(populations: NDArray[np.int64]) -> Floats:
    return np.sqrt(np.maximum(populations, 1) / (math.pi * _PEOPLE_PER_KM2))


def find_sections(
    regions: NDArray[np.int64], latitudes: Floats, longitudes: Floats, populations: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether each place is a section of a city, such as Shibuya in Tokyo or Montmartre in Paris [places].

    A section is inside the disc of a city that is in the same region, has at least five times as many people, and is
    not a section itself. GeoNames lists many sections as separate places, and a photo is nearly always nearer to one of
    them than to the centre of the city.
    """
    vectors = np.stack(unit_vectors(latitudes, longitudes), axis=1)  # [places, 3]
    people, radii = np.maximum(populations, 1), radii_km(populations)
    are_sections = np.zeros(len(people), np.bool_)
    for city in np.argsort(-people, kind="stable"):
        if not are_sections[city]:
            fellows = np.flatnonzero(regions == regions[city])
            distances_km = EARTH_RADIUS_KM * np.arccos(np.minimum(vectors[fellows] @ vectors[city], 1.0))
            are_in_it = (distances_km <= radii[city]) & (people[fellows] * _SECTION_SHARE <= people[city])
            are_sections[fellows[are_in_it]] = True
    return are_sections
