"""A pytest plugin that skips tests whose imports need an extra that is not installed.

The light install has neither torch nor Ray. A module that imports either is skipped as a whole, and so is a folder
whose conftest does. An import inside a test, or inside the code it tests, still fails.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

OF_EXTRAS = ("accelerate", "rapidocr", "ray", "torch", "torchvision", "transformers")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    error = call.excinfo.value if (call := getattr(report, "call", None)) and call.excinfo else None
    while error is not None and not (isinstance(error, ModuleNotFoundError) and error.name in OF_EXTRAS):
        error = getattr(error, "cause", None) or error.__cause__  # pytest's own errors use one or the other
    if error is not None:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {error.name} is not installed")
    return report
