"""What commands say, also where nobody reads on: `make status | head`."""

import os
import sys


def say(text: str, *, end: str = "\n") -> None:
    """Print it at once. Where the reader has gone, what was asked for is done all the same."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # Python writes what is left once more when it ends: that must go somewhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
