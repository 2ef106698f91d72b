"""What lies in a folder that people copy into, and is whole."""

import os
import time
from collections.abc import Sequence
from pathlib import Path


def settled(folders: Sequence[Path], settle_seconds: float) -> list[Path]:
    """What lies in the folders and has not changed for so long, by name; nothing that is called with a dot first."""
    before = time.time() - settle_seconds
    things = [thing for folder in folders if folder.is_dir() for thing in sorted(folder.iterdir())]
    return [thing for thing in things if not thing.name.startswith(".") and last_change(thing) <= before]


def last_change(thing: Path) -> float:
    """When anything of a file or folder last changed, seconds since 1970.

    The system's own note of that (`st_ctime`) counts beside the file's time: a copy that gives the file its old time at
    once still grows. What vanishes meanwhile has just changed.
    """
    paths = [thing]
    for folder, folders, names in os.walk(thing):
        paths += [Path(folder) / name for name in (*folders, *names)]
    try:
        return max(max(found.st_mtime, found.st_ctime) for found in (path.lstat() for path in paths))
    except FileNotFoundError:
        return time.time()
