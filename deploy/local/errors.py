"""What can go wrong on one machine, each with a message that says what to do."""


class LocalError(Exception):
    """The local system can't start or go on; the message is for the person at the terminal."""


class DidNotStart(LocalError):
    """A program ended, or did not become ready in time."""


class AlreadyRunning(LocalError):
    """Another supervisor holds this state directory."""
