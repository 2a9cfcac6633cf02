"""The test environment: the same on every machine, for the tests and for the commands they start."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from hypothesis import settings

KEPT = {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV"}
KEPT |= {"DAMAGES"}  # the number of damages that tests/faults/test_rot.py tries
KEPT |= {"PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
KEPT_PREFIXES = ("PYTEST_", "COV_", "COVERAGE_", "CUDA_", "NVIDIA_", "PIP_")
"""Variables that locate programs and devices or control pytest. No result depends on them."""

SET = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "80", "LINES": "24", "OMP_NUM_THREADS": "1"}
"""OMP_NUM_THREADS is also set in tests/__init__.py, before anything loads OpenMP."""


def pin_environment() -> None:
    """Clear every variable that no test sets, and set locale, time zone, umask, Ctrl-C and Hypothesis profile.

    The variables to keep are listed, not those to clear: nobody knows every variable that libraries read (NO_COLOR,
    AWS_PROFILE, http_proxy, PGHOST). What an interpreter reads only at startup cannot be set here, so it is checked.

    Raises pytest.UsageError if this interpreter does not read file names as UTF-8, or drops assertions.
    """
    if sys.getfilesystemencoding() != "utf-8":
        raise pytest.UsageError("the tests need UTF-8 file names; run `make test`, or set PYTHONUTF8=1")
    if not __debug__:
        raise pytest.UsageError("without assertions tests test nothing; run `make test`, or unset PYTHONOPTIMIZE")
    for name in set(os.environ) - KEPT:
        if not name.startswith(KEPT_PREFIXES):
            del os.environ[name]
    os.environ.update(SET)
    time.tzset()
    os.umask(0o022)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in background jobs; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.load_profile("ci")  # Hypothesis's default where CI is set: deterministic, and no deadline on slow machines
