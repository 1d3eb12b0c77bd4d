"""Files and folders that several users share: the group may do with them what it may with theirs.

A user's mask mostly takes the right to write from the group, so that nobody else could add to a
file, or to a folder, that one member of a group made in a store of all.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

# Who may write, not what is written.
CHANGES_NO_VALUE = True


def share(path: Path) -> None:
    """Give a file or a folder the rights that its folder gives the group, if they have one group.

    What belongs to somebody else stays as it is.
    """
    with suppress(OSError):
        above, own = path.parent.stat(), path.stat()
        rights = above.st_mode & (0o070 if path.is_dir() else 0o060)
        if own.st_gid == above.st_gid and rights & ~own.st_mode:
            path.chmod(S_IMODE(own.st_mode) | rights)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, each shared as the one that it lies in.

    Raises:
        OSError: one cannot be made.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(made):
        share(folder)
