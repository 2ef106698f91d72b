"""The password of a home's Prefect server: one file, which every command of the home reads.

It is what Prefect calls an auth string, `user:password`. The server asks for it on every route of its API but the
health check. Clients find it in `PREFECT_API_AUTH_STRING`, browsers in the link that a command prints.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import quote

from kits_core.errors import KitsError
from kits_core.files import keep_to_folder, written_aside

LOGIN = "/kits/login"
"""The page of the server that lets a browser in."""
_BYTES = 24


def password_file(folder: Path) -> Path:
    """Where the password is. `folder`: that of the home's server."""
    return folder / "auth-string"


def make_password(folder: Path, chosen: str | None = None) -> str:
    """The home's password, made where there is none. `chosen` replaces it.

    Call it while holding `starting`, so that no two processes make one. Its owner alone can read the file; in a home
    that is shared with a group, its members can too. Raises `KitsError` for one that is someone else's.
    """
    path = password_file(folder)
    if chosen or not path.exists():
        with written_aside(path) as aside:
            aside.touch(mode=0o600)
            keep_to_folder(aside, folder.parent)
            aside.write_text(chosen or f"kits:{secrets.token_urlsafe(_BYTES)}", encoding="utf-8")
    elif path.stat().st_uid == os.getuid():
        keep_to_folder(path, folder.parent)  # which may have become shared since
    return read_password(folder)


def read_password(folder: Path) -> str:
    """The home's password. Raises `KitsError` where it cannot be read."""
    path = password_file(folder)
    try:
        if password := path.read_text(encoding="utf-8").strip():  # an editor may have ended the line
            return password
        raise KitsError(f"{path}: expected a password, got an empty file; delete it, and the next server makes one")
    except OSError as error:
        raise KitsError(
            f"{path}: expected the password of this home's Prefect server, got: {error.strerror}; end that server, and "
            "the next command makes a password; to share a home, set KITS_HOME_GROUP"
        ) from error


def login_link(dashboard: str, password: str, page: str = "") -> str:
    """The address that lets a browser in, and leads to the dashboard or a page of it, as `/runs/flow-run/…`.

    The password stands behind the `#`: browsers keep that part to themselves, so that no server and no log gets it.
    """
    return f"{dashboard}{LOGIN}{page}#{quote(password, safe=':')}"
