"""Write to a temporary name, verify, rename: a file under its final name is complete, even after a kill."""

import grp
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL_SUFFIX = ".partial"
_ASIDE = re.compile(rf"\.\d+{re.escape(PARTIAL_SUFFIX)}(\.\w+)*$")
_CHUNK_BYTES = 1 << 20
_SHARED = stat.S_ISGID | stat.S_IRWXG


@contextmanager
def written_aside(path: Path, *, suffix: str = "") -> Iterator[Path]:
    """Yields a name beside `path` to write to; fsyncs it and renames it to `path` when the block ends well.

    `suffix` is for writers that look at the ending (`.nii`). On an error the aside is removed and `path` is untouched.
    The name holds the process id, so two writers of one file never share an aside: the last rename wins, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL_SUFFIX}{suffix}")
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def is_aside(path: Path) -> bool:
    """Whether a file has a name that `written_aside` gives."""
    return _ASIDE.search(path.name) is not None


def leave_page_cache(file: BinaryIO) -> None:
    """Force what was written to `file` to the disk and free its cache memory, where the system supports that.

    For files that together are larger than memory: cached, they would push out what other programs read.
    """
    file.flush()
    os.fsync(file.fileno())
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link to a file that does not change any more; a copy where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (a directory's entries are data of their own on POSIX)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_private(folder: Path, group: str | None = None) -> int | None:
    """Make a folder, if it is not there, that its owner alone can enter; or the members of `group`, too.

    Returns the former mode if it was open to others. A folder of another owner stays as it is. Files in a folder that a
    user cannot enter are closed to that user, whatever their own modes. Raises `LookupError` for an unknown group, and
    `OSError` for a file in its place, where it cannot be made, and where the owner is no member of the group.
    """
    number = grp.getgrnam(group).gr_gid if group else None
    mode = 0o700 if number is None else 0o2770  # what is made in it belongs to the group, too
    try:
        folder.mkdir(mode=mode, parents=True)
    except FileExistsError:
        if not folder.is_dir():
            raise
        found = folder.stat()
        before = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.getuid() or (before == mode and number in (None, found.st_gid)):
            return None
    else:
        before = mode
    if number is not None:
        os.chown(folder, -1, number)
    folder.chmod(mode)
    return before if before & 0o777 & ~mode else None


def keep_to_folder(path: Path, folder: Path) -> None:
    """Give read access to the users who share a folder, and to nobody else."""
    of_folder = folder.stat()
    shared = of_folder.st_mode & _SHARED == _SHARED
    if shared:
        os.chown(path, -1, of_folder.st_gid)
    path.chmod(0o640 if shared else 0o600)


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 under `path`, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
