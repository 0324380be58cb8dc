"""The command `pulid-sdcpp`, also as `python -m pulid_sdcpp`."""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130  # 128 + SIGINT, as `command_group` has it


def start() -> None:
    """Run the command. Ctrl-C ends it quietly even before it can handle that, and after."""
    # Not where it is ignored, as in the background of a script.
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, _leave)
    from .cli import main

    try:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main(prog_name="pulid-sdcpp")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> None:
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    start()
