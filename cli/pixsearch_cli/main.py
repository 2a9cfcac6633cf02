"""The `pixsearch` command's process: how it begins and ends, and what becomes of an error.

What the commands are is in `app`, which takes a tenth of a second to import; until then Ctrl-C has to be quiet too. So
nothing is imported at the top here that takes time itself.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys

WRONG_USAGE, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 could not, 2 wrong usage, 3 nothing matches, 130 interrupted."""
    import gc
    import io
    import logging

    from pixsearch_cli.app import app
    from pixsearch_cli.output import LoggedLines, in_one_line, show_message, show_traceback

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text in this terminal's encoding
    for name in ("COLUMNS", "LINES"):
        if not os.environ.get(name, "0").isdecimal():  # rich takes "²" for a number
            del os.environ[name]
    # A command makes few cycles and then ends; looking for them costs a refresh of 100,000 photos 0.2 s of its one.
    gc.set_threshold(200_000, 20, 20)
    logging.lastResort = LoggedLines(logging.WARNING)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments or ["--help"], standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        if debug:
            show_traceback(error)
        else:
            show_message(in_one_line(error))
        sys.exit(getattr(error, "exit_code", 1))
    sys.exit(code if arguments else WRONG_USAGE)


def run() -> None:
    """The command itself: `main`, and then the end of the process.

    All at once, since to take apart what has been loaded costs 0.2 to 0.4 s; but processes that were started would
    leave their sockets behind.
    """
    by_python = signal.getsignal(signal.SIGINT)
    if by_python is signal.default_int_handler:  # and not ignored, as in a job of a shell in the background
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
        if sys.stdout is not None:  # where whoever started us closed it
            sys.stdout.flush()
    except OSError as error:
        if code == 0 and not isinstance(error, BrokenPipeError):  # whose reader has seen enough
            from pixsearch_cli.output import show_message

            show_message(f"the output could not be written: {error.strerror}")
            code = 1
    if "torch" in sys.modules:
        sys.exit(code)
    if "multiprocessing.forkserver" in sys.modules:
        atexit._run_exitfuncs()  # what was left for the end is done, and nothing is taken apart
    os._exit(code)


def _end_at_once(_number: int, _frame: object) -> None:
    """End the process: nothing has begun yet, or everything is done."""
    os._exit(INTERRUPTED)
