"""What can go wrong on one machine, each with a message that says what to do."""

import getpass
from contextlib import suppress
from pathlib import Path


class LocalError(Exception):
    """The local system can't start or go on; the message is for the person at the terminal."""


class DidNotStart(LocalError):
    """A program ended, or did not become ready in time."""


class AlreadyRunning(LocalError):
    """Another supervisor holds this state directory."""


def explain_refusal(error: PermissionError) -> str:
    """Return one line that names the path which we may not use, and what to do."""
    if error.filename is None:
        return f"{error.strerror or error}: what runs here belongs to another user"
    path = Path(str(error.filename))
    return (
        f"{path}: permission denied{_owner(path)}. Run as the user whom it belongs to, give it to"
        " yourself (`sudo chown -R`), or name another directory in EBBTIDE_LOCAL_DIR"
    )


def _owner(path: Path) -> str:
    with suppress(OSError, KeyError):
        return f" to {getpass.getuser()}; it belongs to {path.owner()}"
    return ""
