"""Where a program may live that must not run as root: places that its account can get at."""

import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import LocalError

UNPRIVILEGED = "nobody"
_ELSEWHERE = Path("/var/tmp")  # noqa: S108  kept over a restart, and everybody may pass through


def service_account() -> str | None:
    """Return whom Postgres has to run as: it refuses root. None: as whoever we are."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def passable(directory: Path) -> bool:
    """Tell whether any account may pass through to this directory's entries."""
    whole = directory.resolve()
    return all(
        step.stat().st_mode & stat.S_IXOTH for step in (whole, *whole.parents) if step.exists()
    )


def home_for(directory: Path, *, account: str | None) -> Path:
    """Return `directory`, or a stand-in for it where the account can't get there.

    The stand-in has a name made from the directory's, so the same one is found the next time.
    Raises LocalError when somebody else owns it.
    """
    if account is None or passable(_deepest_existing(directory)):
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    mark = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    stand_in = _ELSEWHERE / f"ebbtide-{mark}"
    stand_in.mkdir(mode=0o711, exist_ok=True)
    if stand_in.stat().st_uid != os.geteuid() or stand_in.is_symlink():
        raise LocalError(f"{stand_in} belongs to somebody else")
    stand_in.chmod(0o711)
    return stand_in


def give_to(path: Path, account: str | None) -> None:
    """Make the account the owner of a path that only it may read."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def readable_copy(
    root: Path, parts: Sequence[str], *, beside: Path, account: str | None, version: str
) -> Path:
    """Return where the account can read these parts of a root: there, or in a copy under `beside`.

    Parts keep their places towards each other: programs find their libraries by them.
    """
    if account is None or all(_readable(root / part) for part in parts):
        return root
    copy = beside / f"programs-{version}"
    if not copy.exists():
        draft = copy.with_name(f".{copy.name}.{os.getpid()}")
        for part in parts:
            shutil.copytree(root / part, draft / part, symlinks=True)
        _open_to_all(draft)
        draft.rename(copy)
    return copy


def _readable(tree: Path) -> bool:
    """Tell whether any account may read a tree, from its own entries: installers treat all alike."""
    return passable(tree) and all(
        entry.stat().st_mode & stat.S_IROTH for entry in (tree, *tree.iterdir())
    )


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _deepest_existing(path: Path) -> Path:
    return next(step for step in (path, *path.parents) if step.exists())
