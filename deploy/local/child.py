"""Become another program that dies with the one that started it. Run as a script, never imported.

    python -I -S child.py PARENT SIGNAL USER PROGRAM ARGUMENT…

PARENT is the process that must outlive this one, SIGNAL what the kernel sends when it does not,
USER whom to become first (`-`: nobody else). A change of user clears the wish, so it comes after.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main(parent: str, signal: str, user: str, *command: str) -> None:
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):
        raise SystemExit("the parent has ended already")
    os.execv(command[0], command)  # noqa: S606  that is its purpose


if __name__ == "__main__":
    main(*sys.argv[1:])
