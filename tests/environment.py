"""The environment of the tests: the same on every machine, for them and for the commands that they start."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from hypothesis import settings

KEPT = {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV"}
KEPT |= {"DAMAGES"}  # how many tests/faults/test_rot.py goes up to
KEPT |= {"PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
KEPT_PREFIXES = ("PYTEST_", "COV_", "COVERAGE_", "CUDA_", "NVIDIA_", "PIP_")
"""Variables that say where programs and devices are, and what pytest is to do. No result depends on them."""

SET = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "COLUMNS": "80", "LINES": "24", "OMP_NUM_THREADS": "1"}
"""OMP_NUM_THREADS is tests/__init__.py's, which sets it before anything loads OpenMP."""


def pin_environment() -> None:
    """Clear every variable that no test sets, and set locale, time zone, umask, Ctrl-C and Hypothesis's profile.

    A list of what is kept, not of what is cleared: nobody knows all that a library reads (NO_COLOR, AWS_PROFILE,
    http_proxy, PGHOST). What an interpreter takes on at its start cannot be set here; it is checked.

    Raises pytest.UsageError where this interpreter does not read file names as UTF-8, or drops assertions.
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
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script, and children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.load_profile("ci")  # where CI is set it is the default: no chance, and no hurry on a slow machine
