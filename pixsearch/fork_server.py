"""Python's fork server, from which worker processes come."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_SAFE_PATH = "PYTHONSAFEPATH"


def fork_server(preload: Sequence[str] = ()) -> ForkServerContext:
    """Return the context of a fork server that runs. It has imported the modules of the first call that named any.

    Not fork: this process may have threads, torch's among them, and large memory. And not started by whoever needs it
    first: Python looks for a server's modules in the current folder first (`python -c`), so that a logging.py which
    somebody put among the photos would be run.
    """
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload(list(preload))
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before
    return context
