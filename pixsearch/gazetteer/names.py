"""Normalisation of place names."""

from __future__ import annotations

import re

from pixsearch.unicode_forms import unaccented

_LEFT_OUT = re.compile("['`.\u2018\u2019\u02bb\u02bc]")  # includes typographic and transliteration apostrophes
_BLANKS = re.compile("[ ,_\u00a0\u2010\u2011\u2013-]+")  # includes typographic hyphens and the en dash


def name_key(name: str) -> str:
    """Return a normalised name for comparisons.

    Case and accents are folded, apostrophes and full stops are removed, and hyphens, commas and underscores become
    spaces. Tabs and newlines, which separate names, are kept.
    """
    return _BLANKS.sub(" ", _LEFT_OUT.sub("", unaccented(name))).strip()
