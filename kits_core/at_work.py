"""Who is working on what: one file for each piece of work, locked by every process that works on it.

The operating system releases a lock however its process ends. So a file that nobody holds was left by killed processes.
No clock is needed.
"""

import fcntl
import getpass
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class AtWork:
    """What a process notes about its work: since when (UTC), who, where, `what` it does, and `how` it was started."""

    since: datetime
    user: str
    host: str
    pid: int
    what: str
    how: str

    @classmethod
    def now(cls, what: str, how: str) -> "AtWork":
        """The note of this process, starting now."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container may give its user no name
            user = str(os.getuid())
        return cls(datetime.now(UTC), user, socket.gethostname(), os.getpid(), what, how)


def hold(path: Path, said: AtWork | None = None) -> IO[str]:
    """Hold a piece of work's file until the result is closed, or this process ends; others may hold it too.

    `said` is written into it and replaces the note of another process. Raises `OSError` where the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a+", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # another process has just removed it as a leftover
    if said is not None:
        file.truncate(0)
        file.write(json.dumps(asdict(said) | {"since": said.since.isoformat()}))
        file.flush()
    return file


def is_held(path: Path) -> bool:
    """Whether a process works on this; False where there is no file."""
    try:
        # Network disks lock a file alone only for who may write to it.
        with path.open("r+" if os.access(path, os.W_OK) else "r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # it is held, or it cannot be known
        return True
    return False


def read(path: Path) -> AtWork | None:
    """The note about a piece of work; None where there is none, or where it was only half written."""
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return AtWork(**fields | {"since": datetime.fromisoformat(fields["since"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
