"""Where a program may live that must not run as root: places that its account can get at."""

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.local.errors import LocalError

UNPRIVILEGED = "nobody"
# Kept over a restart of the machine, and everybody may pass through them.
_OUTSIDE = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108  mkdtemp makes names that nobody guesses


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

    The directory then is a link to its stand-in, by which the same one is found the next time.
    Raises LocalError when the directory has moved to where the account can't follow.
    """
    if directory.is_symlink():
        if directory.exists():
            return directory.resolve()
        directory.unlink()  # somebody has deleted the stand-in
    if account is None or passable(_deepest_existing(directory)):
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    if directory.exists() and any(directory.iterdir()):
        raise LocalError(f"{directory} holds data, but {account} may not go there any more")
    return _stand_in(directory)


def remove_home(directory: Path) -> None:
    """Delete the directory, and its stand-in where it has one."""
    if (home := directory.resolve()).exists():
        shutil.rmtree(home)
    if directory.is_symlink():
        directory.unlink()


def _stand_in(directory: Path) -> Path:
    outside = next(place for place in _OUTSIDE if os.access(place, os.W_OK))
    made = Path(tempfile.mkdtemp(prefix="ebbtide-", dir=outside))
    made.chmod(0o711)
    directory.parent.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        directory.rmdir()
    directory.symlink_to(made)
    return made


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
