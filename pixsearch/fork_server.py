"""Python's fork server, which starts worker processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_SAFE_PATH = "PYTHONSAFEPATH"


def fork_server(preload: Sequence[str] = ()) -> ForkServerContext:
    """Return the context of a running fork server. It preloads the modules of the first call that names any.

    This process cannot simply fork: it may have threads, torch's among them, and use much memory. The server is started
    here, with PYTHONSAFEPATH, because Python would otherwise look for its modules in the current folder first
    (`python -c`) and run, for example, a logging.py among the photos.
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
