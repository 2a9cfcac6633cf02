"""The normal form of the names of places."""

from __future__ import annotations

import re

from pixsearch.unicode_forms import unaccented

_LEFT_OUT = re.compile("['`.\u2018\u2019\u02bb\u02bc]")  # and the apostrophes of print and of transliterations
_BLANKS = re.compile("[ ,_\u00a0\u2010\u2011\u2013-]+")  # and the hyphens and the dash of print


def name_key(name: str) -> str:
    """Return a name in normal form: without case, accents, apostrophes and full stops, and with spaces for hyphens and
    commas. Tabs and newlines between several names are kept.
    """
    return _BLANKS.sub(" ", _LEFT_OUT.sub("", unaccented(name))).strip()
