"""The OpenVINO core, created once per process."""

from __future__ import annotations

from functools import cache

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip


@cache
def core() -> openvino.Core:
    """Return this process's core, which is never destroyed before the process ends.

    The CPU plugin allocates a signal stack for the thread that creates the core, and frees it in the thread that
    destroys the core. If these were different threads, the next signal, such as Ctrl-C, would crash the process.
    """
    return openvino.Core()
