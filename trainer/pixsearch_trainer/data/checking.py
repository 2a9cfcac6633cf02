"""Enforce a limit on the number of problems in a data set."""

from __future__ import annotations

from collections.abc import Sequence

from pixsearch.errors import DatasetError
from pixsearch.printable import plural
from pixsearch_trainer.data.problems import Problem

_NAMED_PROBLEMS = 3
_ALWAYS_ALLOWED = 10


def enforce_limit(problems: Sequence[Problem], limit: int | None, pictures: int) -> None:
    """Raise DatasetError, listing the first few problems, if there are more than the limit.

    Args:
        limit: the number of problems allowed; None for one per 100 pictures, but at least 10.
    """
    if limit is None:
        limit = max(_ALWAYS_ALLOWED, pictures // 100)
    if len(problems) <= limit:
        return
    named = ", ".join(str(problem) for problem in problems[:_NAMED_PROBLEMS])
    more = ", .." if len(problems) > _NAMED_PROBLEMS else ""
    count = plural(len(problems), "problem")
    raise DatasetError(
        f"{count} in the data, more than the {limit:,} allowed: {named}{more}", "Fix them, or raise --max-bad"
    )
