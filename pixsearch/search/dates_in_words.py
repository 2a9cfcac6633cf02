"""Dates as people write them in a query: "March 2021", "last summer", "2019-07-04"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from pixsearch.library.terms import date_terms

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The month that each begins with, on the northern half of the earth; a winter is of the year that it begins in."""

_YEAR = r"(?P<{}>(?:19|20)\d\d)(?!\d)"
_MONTH = (
    r"(?P<{}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_SEASON = r"(?P<{}>spring|summer|autumn|fall|winter)"
_DAY = r"(?P<{}>[0-3]?\d)(?:st|nd|rd|th)?"
_DATE = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(
        (
            _YEAR.format("iso_year") + r"-(?P<iso_month>[01]\d)(?:-(?P<iso_day>[0-3]\d))?(?![\d-])",
            r"(?:" + _DAY.format("day") + r"\s+(?:of\s+)?)?" + _MONTH.format("month") + r",?\s+"
            r"(?:" + _DAY.format("day_behind") + r"(?:,\s*|\s+))?" + _YEAR.format("year"),
            _SEASON.format("season") + r"\s+(?:of\s+)?" + _YEAR.format("season_year"),
            r"(?P<which>last|this)\s+(?:(?P<unit>year|month|week)|"
            + _SEASON.format("which_season")
            + "|"
            + _MONTH.format("which_month")
            + r")\b",
            r"(?P<day_name>today|yesterday)\b",
            _YEAR.format("only_year") + r"(?![\w-])",
        )
    )
    + ")",
    re.IGNORECASE,
)


class DatePhrase(NamedTuple):
    """A date that stands in a text."""

    start: int
    end: int
    first: date
    behind: date
    """The day after the last."""

    @property
    def is_year(self) -> bool:
        """Whether it is a whole year, which may be a number of something else."""
        return (self.first.month, self.first.day) == (1, 1) == (self.behind.month, self.behind.day)

    def terms(self) -> list[str]:
        """Return the terms of which each of its photos has one."""
        years, months, days = [], [], []
        day = self.first
        while day < self.behind:
            year, month, whole = date_terms(day)
            if (day.month, day.day) == (1, 1) and _next_year(day) <= self.behind:
                years.append(year)
                day = _next_year(day)
            elif day.day == 1 and _months_later(day, 1) <= self.behind:
                months.append(month)
                day = _months_later(day, 1)
            else:
                days.append(whole)
                day += timedelta(days=1)
        return [*years, *months, *days]


def find_dates(text: str, today: date) -> Iterator[DatePhrase]:
    """Yield the dates in a text, in their order. What is no day of the calendar is none."""
    for found in _DATE.finditer(text):
        try:
            first, behind = _range(found.groupdict(), today)
        except ValueError:
            continue
        yield DatePhrase(found.start(), found.end(), first, behind)


def _range(found: dict[str, str | None], today: date) -> tuple[date, date]:
    """Raises ValueError for a day that there is not."""
    if found["only_year"]:
        return _year(int(found["only_year"]))
    if found["iso_year"]:
        return _day_or_month(int(found["iso_year"]), int(found["iso_month"] or 0), found["iso_day"])
    if found["year"] and found["month"]:
        return _day_or_month(int(found["year"]), _number(found["month"]), found["day"] or found["day_behind"])
    if found["season"] and found["season_year"]:
        return _season(found["season"], int(found["season_year"]))
    if found["day_name"]:
        day = today - timedelta(days=found["day_name"].lower() == "yesterday")
        return day, day + timedelta(days=1)
    is_last = (found["which"] or "").lower() == "last"
    if found["unit"]:
        return _unit(found["unit"].lower(), today, is_last)
    if name := found["which_season"]:
        seasons = [_season(name, year) for year in range(today.year + 1, today.year - 3, -1)]
    else:
        month = _number(found["which_month"] or "")
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
