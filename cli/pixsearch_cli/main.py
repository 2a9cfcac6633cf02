"""Starts and ends the process of the `pixsearch` command, and reports errors.

The commands are defined in `app`, which takes a tenth of a second to import. Ctrl-C must not show a traceback during
that time either, so this module imports nothing slow at the top.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys

WRONG_USAGE, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 wrong usage, 3 no match, 130 interrupted."""
    import gc
    import io
    import logging

    from pixsearch_cli.app import app
    from pixsearch_cli.output import LoggedLines, in_one_line, show_message, show_traceback

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may not fit the terminal's encoding
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "0").isdecimal():  # rich parses "²" as a number
            del os.environ[name]
    # A command creates few reference cycles before it ends. Looking for them takes 0.2 s of the 1 s that an update of
    # 100,000 photos takes.
    gc.set_threshold(200_000, 20, 20)
    logging.lastResort = LoggedLines(logging.WARNING)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments or ["--help"], standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - every error is reported
        if debug:
            show_traceback(error)
        else:
            show_message(in_one_line(error))
        sys.exit(getattr(error, "exit_code", 1))
    sys.exit(code if arguments else WRONG_USAGE)


def run() -> None:
    """Run `main`, then end the process.

    Most processes end without the interpreter's cleanup, which takes 0.2 to 0.4 s. If worker processes were started,
    the exit handlers are run first. Otherwise, the workers would leave their sockets behind.
    """
    by_python = signal.getsignal(signal.SIGINT)
    if by_python is signal.default_int_handler:  # false in a shell's background job, which ignores SIGINT
        signal.signal(signal.SIGINT, _end_at_once)
    import pixsearch_cli.app  # noqa: F401

    signal.signal(signal.SIGINT, by_python)
    try:
        main()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    if by_python is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)
    try:
        if sys.stdout is not None:  # None if the parent process closed it
            sys.stdout.flush()
    except OSError as error:
        if code == 0 and not isinstance(error, BrokenPipeError):  # the reader has seen enough
            from pixsearch_cli.output import show_message

            show_message(f"the output could not be written: {error.strerror}")
            code = 1
    if "torch" in sys.modules:
        sys.exit(code)
    if "multiprocessing.forkserver" in sys.modules:
        atexit._run_exitfuncs()  # run the exit handlers, but skip the interpreter's cleanup
    os._exit(code)


def _end_at_once(_number: int, _frame: object) -> None:
    """End the process immediately, before anything has begun or after everything is done."""
    os._exit(INTERRUPTED)
