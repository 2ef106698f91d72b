"""The notes of a home's servers, in its folder `prefect/`: their addresses, and whether they ask for a password."""

import json
from dataclasses import dataclass
from pathlib import Path

from deployments.password import login_link, read_password


@dataclass(frozen=True)
class Note:
    """What `server.json` and `up.json` say.

    `prefect`: the server's version; a server of another version is not used. `password`: whether it asks for the home's
    password; a server of an older release does not.
    """

    api_url: str
    pid: int
    prefect: str
    password: bool = False


def prefect_home(home: Path) -> Path:
    """Where the server of a home keeps its database: `PREFECT_HOME` to look at the same history with any server."""
    return home / "prefect"


def read_note(path: Path) -> Note | None:
    """A server's note; None where there is none."""
    try:
        return Note(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def auth_string(home: Path, api_url: str) -> str | None:
    """The password that clients send to the home's server at an address; None for a server without one.

    Raises `KitsError` where the home's password cannot be read.
    """
    note = _note_of(home, api_url)
    return None if note is not None and not note.password else read_password(prefect_home(home))


def dashboard_link(home: Path, api_url: str) -> str:
    """What to open in a browser to see a server. If it is this home's and has a password, the link logs in."""
    dashboard, note = api_url.removesuffix("/api"), _note_of(home, api_url)
    if note is None or not note.password:
        return dashboard
    return login_link(dashboard, read_password(prefect_home(home)))


def _note_of(home: Path, api_url: str) -> Note | None:
    notes = (read_note(prefect_home(home) / f"{name}.json") for name in ("up", "server"))
    return next((note for note in notes if note is not None and note.api_url == api_url), None)
