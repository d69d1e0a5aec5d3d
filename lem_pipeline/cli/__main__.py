"""The `lem` command, also as `python -m lem_pipeline.cli`: from its first import on, Ctrl-C is no traceback."""

import signal
import sys


def start() -> None:
    """Entry point: carry out the command line."""
    try:
        from resources.collecting import collect_rarely

        collect_rarely()
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
