"""Find dates in a query, such as "March 2021", "last summer" or "2019-07-04"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from typing import NamedTuple

from pixsearch.library.terms import date_terms

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The first month of each season in the northern hemisphere. A winter belongs to the year in which it begins."""

_YEAR = r"(?P<{}>(?:19|20)\d\d)(?!\d)"
_MONTH = (
    r"(?P<{}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_SEASON = r"(?P<{}>spring|summer|autumn|fall|winter)"
_DAY = r"(?P<{}>[0-3]?\d)(?:st|nd|rd|th)?"
_DATE = re.compile(
    r"(?<![\w./-])(?:"
    + "|".join(
        (
            r"(?:(?:between|from)\s{1,3})?"
            + _YEAR.format("first_year")
            + r"\s{0,3}(?:-|\u2013|to|and)\s{0,3}"
            + _YEAR.format("last_year")
            + r"(?![\w-])",
            r"(?P<number>[0-3]?\d)(?P<mark>[./])(?P<other_number>[0-3]?\d)(?P=mark)" + _YEAR.format("numbers_year"),
            _YEAR.format("slash_year") + r"/(?P<slash_month>[01]\d)(?:/(?P<slash_day>[0-3]\d))?(?![\d/])",
            _YEAR.format("iso_year") + r"-(?P<iso_month>[01]\d)(?:-(?P<iso_day>[0-3]\d))?(?![\d-])",
            r"(?:" + _DAY.format("day") + r"\s{1,3}(?:of\s{1,3})?)?" + _MONTH.format("month") + r",?\s{1,3}"
            r"(?:" + _DAY.format("day_after_month") + r"(?:,\s*|\s{1,3}))?" + _YEAR.format("year"),
            _SEASON.format("season") + r"\s{1,3}(?:of\s{1,3})?" + _YEAR.format("season_year"),
            r"(?P<relative>last|this)\s{1,3}(?:(?P<unit>year|month|week)|"
            + _SEASON.format("relative_season")
            + "|"
            + _MONTH.format("relative_month")
            + r")\b(?!\s{1,3}of\b)",
            r"(?P<day_name>today|yesterday)\b",
            _YEAR.format("only_year") + r"(?![\w-])",
        )
    )
    + ")",
    re.IGNORECASE,
)


class DatePhrase(NamedTuple):
    """A date or a range of dates found in a text."""

    start: int
    end: int
    first: date
    end_date: date
    """The day after the last day."""
    is_relative: bool = False
    """True if the date is relative to today, like "last summer"."""
    others: tuple[tuple[date, date], ...] = ()
    """Other possible meanings: 5/3/2021 may be in March or in May."""

    @property
    def is_year(self) -> bool:
        """True if the date is a whole year, which may also be an ordinary number."""
        return (self.first, self.end_date) == _year(self.first.year)

    def terms(self) -> list[str]:
        """Return the index terms for this date. Every photo taken on this date has one of them."""
        return [
            term for first, end_date in ((self.first, self.end_date), *self.others) for term in _terms(first, end_date)
        ]


def find_dates(text: str, today: date) -> Iterator[DatePhrase]:
    """Yield the dates in a text in order, skipping days that do not exist."""
    for found in _DATE.finditer(text):
        parts = found.groupdict()
        try:
            first, *others = _numbers(parts) if parts["numbers_year"] else [_range(parts, today)]
        except ValueError:
            continue
        is_relative = bool(parts["relative"] or parts["day_name"])
        yield DatePhrase(found.start(), found.end(), *first, is_relative, tuple(others))


def _terms(first: date, end_date: date) -> Iterator[str]:
    day = first
    while day < end_date:
        year, month, day_term = date_terms(day)
        if (day.month, day.day) == (1, 1) and _next_year(day) <= end_date:
            yield year
            day = _next_year(day)
        elif day.day == 1 and _months_later(day, 1) <= end_date:
            yield month
            day = _months_later(day, 1)
        else:
            yield day_term
            day += timedelta(days=1)


def _numbers(found: dict[str, str | None]) -> list[tuple[date, date]]:
    """Return the days that a numeric date may mean: two for 5/3/2021, but only 5 March for 5.3.2021.

    Raises ValueError if there is no such day.
    """
    first, other, year = (int(found[name] or 0) for name in ("number", "other_number", "numbers_year"))
    days = []
    for day, month in {(first, other), (other, first) if found["mark"] == "/" else (first, other)}:
        with suppress(ValueError):
            days.append((date(year, month, day), date(year, month, day) + timedelta(days=1)))
    if not days:
        raise ValueError("there is no such day")
    return sorted(days)


def _range(found: dict[str, str | None], today: date) -> tuple[date, date]:
    """Return the first day of a date and the day after its last day. Raises ValueError if a day does not exist."""
    if found["only_year"]:
        if (year := int(found["only_year"])) > today.year:
            raise ValueError("the year is in the future")
        return _year(year)
    if found["first_year"] and found["last_year"]:
        first, last = sorted((int(found["first_year"]), int(found["last_year"])))
        return date(first, 1, 1), date(last + 1, 1, 1)
    if found["slash_year"]:
        return _day_or_month(int(found["slash_year"]), int(found["slash_month"] or 0), found["slash_day"])
    if found["iso_year"]:
        return _day_or_month(int(found["iso_year"]), int(found["iso_month"] or 0), found["iso_day"])
    if found["year"] and found["month"]:
        return _day_or_month(int(found["year"]), _number(found["month"]), found["day"] or found["day_after_month"])
    if found["season"] and found["season_year"]:
        return _season(found["season"], int(found["season_year"]))
    if found["day_name"]:
        day = today - timedelta(days=found["day_name"].lower() == "yesterday")
        return day, day + timedelta(days=1)
    is_last = (found["relative"] or "").lower() == "last"
    if found["unit"]:
        return _unit(found["unit"].lower(), today, is_last)
    if name := found["relative_season"]:
        seasons = [_season(name, year) for year in range(today.year + 1, today.year - 3, -1)]
    else:
        month = _number(found["relative_month"] or "")
        seasons = [_day_or_month(year, month, None) for year in range(today.year + 1, today.year - 3, -1)]
    if is_last:
        return next(season for season in seasons if season[1] <= today)
    now = (season for season in seasons if season[0] <= today < season[1])
    return next(now, next(season for season in seasons if season[0].year == today.year))


def _unit(unit: str, today: date, is_last: bool) -> tuple[date, date]:
    if unit == "year":
        return _year(today.year - is_last)
    if unit == "month":
        first = _months_later(today.replace(day=1), -is_last)
        return first, _months_later(first, 1)
    monday = today - timedelta(days=today.weekday() + 7 * is_last)
    return monday, monday + timedelta(days=7)


def _year(year: int) -> tuple[date, date]:
    return date(year, 1, 1), date(year + 1, 1, 1)


def _season(name: str, year: int) -> tuple[date, date]:
    first = date(year, _SEASONS[name.lower()], 1)
    return first, _months_later(first, 3)


def _day_or_month(year: int, month: int, day: str | None) -> tuple[date, date]:
    first = date(year, month, int(day or 1))
    return first, first + timedelta(days=1) if day else _months_later(first, 1)


def _number(month: str) -> int:
    return _MONTHS.index(month.lower()[:3]) + 1


def _months_later(first: date, months: int) -> date:
    number = first.year * 12 + first.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def _next_year(day: date) -> date:
    return date(day.year + 1, 1, 1)
