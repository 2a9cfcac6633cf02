"""The OpenVINO core, created once per process."""

from __future__ import annotations

from functools import cache

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip


@cache
def core() -> openvino.Core:
    """Return the core of this process, which lives until the process ends.

    Its CPU plugin gives the thread that creates it a signal stack, and frees that stack in the thread that destroys it.
    If that were another thread, the next signal, such as Ctrl-C, would crash the process.
    """
    return openvino.Core()
