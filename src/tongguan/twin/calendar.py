"""The twin's own calendar: days counted one after the other, as a clerk does on paper."""

from __future__ import annotations

from datetime import date

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def leap(year: int) -> bool:
    """Whether February has 29 days.

    >>> [leap(year) for year in (1900, 2000, 2022, 2024)]
    [False, True, False, True]
    """
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_length(year: int, month: int) -> int:
    """How many days a month has."""
    return _LENGTHS[month - 1] + (month == 2 and leap(year))


def after(day: date, days: int) -> date:
    """The day so many days after a day; `days` is not negative.

    >>> after(date(2023, 12, 31), 60), after(date(2021, 12, 31), 60)
    (datetime.date(2024, 2, 29), datetime.date(2022, 3, 1))
    """
    year, month, number = day.year, day.month, day.day + days
    while number > month_length(year, month):
        number -= month_length(year, month)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return date(year, month, number)


def between(first: date, last: date) -> int:
    """How many days from one day to a later one, the first not counted.

    >>> between(date(2024, 2, 28), date(2024, 3, 1))
    2
    """
    if (first.year, first.month) == (last.year, last.month):
        return last.day - first.day
    rest = month_length(first.year, first.month) - first.day
    year, month = first.year, first.month
    while True:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        if (year, month) == (last.year, last.month):
            return rest + last.day
        rest += month_length(year, month)
