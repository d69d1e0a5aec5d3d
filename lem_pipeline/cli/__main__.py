"""The `lem` command, also as `python -m lem_pipeline.cli`: from its first import on, Ctrl-C is no traceback."""

import atexit
import gc
import signal
import sys

OBJECTS = 20_000
"""How many new objects make Python look for dead ones that refer to each other. With its own 700, it looks a hundred
times during the imports and finds nothing: 0.1 s of a command that takes one."""


def start() -> None:
    """Entry point: carry out the command line."""
    gc.set_threshold(OBJECTS)
    # Python looks through all that was imported once more before it ends: 0.2 s. The memory goes with the process.
    atexit.register(gc.freeze)
    try:
        from lem_pipeline.cli.app import main

        main()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("Stopped by Ctrl-C.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except SystemExit as end:
        if end.code == 128 + signal.SIGINT:  # it was told already, and who presses Ctrl-C again wants no other answer
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise


if __name__ == "__main__":
    start()
