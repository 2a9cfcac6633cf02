"""OpenVINO, begun once in a process."""

from __future__ import annotations

from functools import cache

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip


@cache
def core() -> openvino.Core:
    """Return the core of this process, which stays until the process ends.

    Its plugin for CPUs gives the thread that begins it a stack for signals, and frees that whichever thread ends it:
    the next signal, such as Ctrl-C, would then crash the process.
    """
    return openvino.Core()
