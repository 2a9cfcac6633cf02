"""One form for the ways in which people write the name of a place."""

from __future__ import annotations

import re

from pixsearch.unicode_forms import unaccented

_LEFT_OUT = re.compile("['`.\u2018\u2019\u02bb\u02bc]")  # and the apostrophes of print and of transliterations
_BLANKS = re.compile("[ ,_\u00a0\u2010\u2011\u2013-]+")  # and the hyphens and the dash of print


def name_key(name: str) -> str:
    """Return a name for comparisons: without case, accents, apostrophes and full stops, and with blanks for hyphens and
    commas. Of many names at once, tabs and line ends between them stay.
    """
    return _BLANKS.sub(" ", _LEFT_OUT.sub("", unaccented(name))).strip()
