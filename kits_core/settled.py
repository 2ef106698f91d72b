"""Finds what was completely copied into a watched folder."""

import os
import time
from collections.abc import Sequence
from pathlib import Path


def settled(folders: Sequence[Path], settle_seconds: float) -> list[Path]:
    """Files and folders there that have not changed for so long, by name, without hidden ones."""
    before = time.time() - settle_seconds
    things = [thing for folder in folders if folder.is_dir() for thing in sorted(folder.iterdir())]
    return [thing for thing in things if not thing.name.startswith(".") and last_change(thing) <= before]


def last_change(thing: Path) -> float:
    """When anything of a file or folder last changed, seconds since 1970.

    `st_ctime` counts as well as the file's own time: some copying programs set the old time while the file still grows.
    A file that vanishes in the meantime counts as just changed.
    """
    paths = [thing]
    for folder, folders, names in os.walk(thing):
        paths += [Path(folder) / name for name in (*folders, *names)]
    try:
        return max(max(found.st_mtime, found.st_ctime) for found in (path.lstat() for path in paths))
    except FileNotFoundError:
        return time.time()
