"""Parse dates in the formats that programs write. A date with blanks or zeros in place of digits is rejected."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

_LONGEST = 64
"""The maximum length of a date in characters."""
_FIRST_YEAR = 1000
"""The earliest year that is accepted. Programs write earlier years for unknown dates."""
_LEAP_SECOND = 60
"""A leap second, which `datetime` does not support. It is read as second 59."""

_DATE = r"(?P<year>\d{4})(?:[-:/. ]\s?(?P<month>\d{1,2})(?:[-:/. ]\s?(?P<day>\d{1,2}))?)?"
_TIME = (
    r"(?P<early>[AaPp]\.?[Mm]\.?\s+)?(?P<hour>\d{1,2})(?P<sign>[:.-])\s?(?P<minute>\d{1,2})"
    r"(?:(?P=sign)\s?(?P<second>\d{1,2})(?:[.,:]\d*)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_ZONE = r"(?P<zone>Z|z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)"
_WRITTEN = re.compile(rf"{_DATE}(?:[T,_ -]\s*{_TIME})?\s*{_ZONE}?")
_NO_TIME = re.compile(r"[T\s]*[:.\s]+$")
"""The separators that remain of a time with blank digits (EXIF 2.32, 4.6.4, tag 306: unknown parts are blank)."""
_COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    rf"(?:[T _-]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?:[.,]\d*)?)?\s*{_ZONE}?"
)
_ASCTIME = "%a %b %d %H:%M:%S %Y"


def read_date(value: object, zone: object = None) -> datetime | None:
    """Parse a date and time. Return None if the value is not one. Missing parts, such as seconds, get the lowest value.

    Args:
        zone: a time zone such as +09:00, used if the value itself does not contain one.
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = _NO_TIME.sub("", value.partition("\0")[0].strip())
    for pattern in (_COMPACT, _WRITTEN):
        if (found := pattern.fullmatch(text)) is not None:
            return _time(found, zone)
    return _spelled_out(text)


def read_gps_time(date: object, time: object) -> datetime | None:
    """Return the time from a GPS receiver, in UTC, or only its date if there is no valid time of day.

    Args:
        date: the date as text.
        time: the hour, minute and second as numbers.
    """
    day = read_date(date)
    if day is None:
        return None
    try:
        hour, minute, second = (float(part) for part in time)  # type: ignore[attr-defined]
        return day.replace(hour=int(hour), minute=int(minute), second=int(second), tzinfo=UTC)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return day


def read_timestamp(seconds: object) -> datetime | None:
    """Return the UTC time of a Unix timestamp, which may be text or a number. Return None if it is invalid."""
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(str(seconds)))
    except (TypeError, ValueError, OverflowError):
        return None


def _time(found: re.Match[str], zone: object) -> datetime | None:
    parts = found.groupdict()
    year, month, day, hour, minute, second = (
        None if parts[name] is None else int(parts[name])
        for name in ("year", "month", "day", "hour", "minute", "second")
    )
    assert year is not None, "every pattern has a year"
    half = (parts.get("half") or parts.get("early") or " ")[0].lower()
    if hour is not None and half in "ap" and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    if year < _FIRST_YEAR:
        return None
    second = 59 if second == _LEAP_SECOND else second or 0
    with suppress(ValueError):
        time = datetime(year, 1 if month is None else month, 1 if day is None else day, hour or 0, minute or 0, second)
        named = parts["zone"] or (zone if hour is not None else None)
        return time.replace(tzinfo=_zone(named))
    return None


def _zone(text: object) -> timezone | None:
    """Parse a time zone such as +09:00 or Z. Return None if the text is not one."""
    found = re.fullmatch(
        r"(?:(?P<utc>Z|z|UTC|GMT)|(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?)", _stripped(text)
    )
    if found is None:
        return None
    if found["utc"]:
        return UTC
    offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
    if offset >= timedelta(hours=24):
        return None
    return timezone(-offset if found["sign"] == "-" else offset)


def _stripped(text: object) -> str:
    return text.partition("\0")[0].strip() if isinstance(text, str) else ""


def _spelled_out(text: str) -> datetime | None:
    """Parse a date such as "Sat, 04 May 2019 10:11:12 GMT" (RFC 1123), or one in the format of C's asctime."""
    for parse in (parsedate_to_datetime, lambda spelled: datetime.strptime(" ".join(spelled.split()), _ASCTIME)):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            time = parse(text)
            return time if time.year >= _FIRST_YEAR else None
    return None
