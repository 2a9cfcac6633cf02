"""Python's fork server, which starts worker processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_SAFE_PATH = "PYTHONSAFEPATH"


def fork_server(preload: Sequence[str] = ()) -> ForkServerContext:
    """Start the fork server if necessary, and return its multiprocessing context.

    The server preloads the modules from the first call that specifies any. This process cannot simply fork, because it
    may use a lot of memory and have threads, such as those started by torch. The server is started here with
    PYTHONSAFEPATH. Otherwise Python would search the current folder for modules first (as `python -c` does) and could
    run, for example, a logging.py stored with the photos.
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
