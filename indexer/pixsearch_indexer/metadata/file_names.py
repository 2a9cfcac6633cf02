"""Read dates from file names, as written by phones, messengers and screenshot programs."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime

_DAY = (
    r"(?P<year>19[89]\d|20[0-4]\d)(?P<between>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=between)(?P<day>0[1-9]|[12]\d|3[01])"
)
_TIME = r"(?P<hour>[01]\d|2[0-3])(?P<sign>[-_.:h]?)(?P<minute>[0-5]\d)(?P=sign)(?P<second>[0-5]\d)"
_HALF_DAYS = (  # the 12-hour clock of macOS and WhatsApp in English
    r"(?P<hour12>0?[1-9]|1[0-2])(?P<sign12>[-_.:])(?P<minute12>[0-5]\d)(?P=sign12)(?P<second12>[0-5]\d)"
    r"\s?(?P<half>[AaPp])[Mm](?![A-Za-z])"
)
_BETWEEN = r"(?:[-_ T.]|, |[ _-](?:at|um|à|om|a las|alle)[ _-])?"
# A date inside a longer number is rejected: that is an id or a Unix timestamp. Milliseconds may follow a time.
_NAMES = re.compile(rf"(?<!\d){_DAY}(?:{_BETWEEN}(?:{_HALF_DAYS}|{_TIME}(?=\D|\d{{1,3}}(?!\d)|$))|(?!\d))")
_LONGEST = 255


def date_in_name(name: str) -> datetime | None:
    """Return the date in a file name, with the time if there is one. Return None if there is no valid date.

    This is a guess, because any eight digits in a name may look like a date.
    """
    for found in _NAMES.finditer(name[:_LONGEST]):
        year, month, day = (int(found[part]) for part in ("year", "month", "day"))
        hour, minute, second = (int(found[part] or found[f"{part}12"] or 0) for part in ("hour", "minute", "second"))
        if found["half"]:
            hour = hour % 12 + (12 if found["half"] in "Pp" else 0)
        with suppress(ValueError):
            return datetime(year, month, day, hour, minute, second)
    return None
