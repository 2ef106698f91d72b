"""Reports and plans by a click in the dashboard: the pages of a home, through http, with the server's password.

A link carries no password. So what it opens, under `OPEN`, is an empty viewer that every reader gets; the viewer asks
for the page's content, under `FILES`, with the password that the login has left in the browser. It shows it in a frame
of no origin, whose scripts reach neither the password nor the API.
"""

import os
import secrets
import stat
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Scope

from kits_core.home_pages import OPEN, parts_of_page

FILES = "/kits/files/"
"""Where the content of a page is: this, and the page's path in the home."""
_VIEWER = Path(__file__).with_name("viewer.html")
# A frame without an origin inherits these; the pages themselves allow less (their own policies).
_OF_VIEWER = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# Of a file that a browser opens without the viewer.
_OF_FILES = "sandbox; default-src 'none'"


class Pages:
    """The pages of a home.

    Args:
        home: its folder.
        auth: the password of the server, `user:password`; None where everyone on this machine is let in.
    """

    def __init__(self, home: Path, auth: str | None) -> None:
        self._home = home
        self._wanted = None if auth is None else f"Basic {b64encode(auth.encode()).decode()}"

    async def answer(self, scope: Scope) -> Response | None:
        """The answer to a request; None where another part of the server has to give it."""
        path: str = scope["path"]
        if not path.startswith((OPEN, FILES)):
            return None
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("pages are read only", 405, {"Allow": "GET, HEAD"})
        if path.startswith(OPEN):
            return HTMLResponse(_VIEWER.read_text(encoding="utf-8"), headers=_headers(_OF_VIEWER))
        if not self._lets_in(Headers(scope=scope)):
            return PlainTextResponse("this page needs the password of the server", 401, _headers(_OF_FILES))
        content = await run_in_threadpool(read_page, self._home, path.removeprefix(FILES))
        if content is None:
            return PlainTextResponse("there is no such page", 404, _headers(_OF_FILES))
        return HTMLResponse(content, headers=_headers(_OF_FILES))

    def _lets_in(self, headers: Headers) -> bool:
        if self._wanted is None:
            return True
        given = headers.get("authorization", "")
        return secrets.compare_digest(given.encode(), self._wanted.encode())


def read_page(home: Path, path: str) -> bytes | None:
    """The content of a page by its path in the home; None where there is none.

    Each folder on the way is opened within the one before and no link is followed, so that nothing outside of the home
    is read, whatever lies in it or is put there meanwhile.
    """
    parts = parts_of_page(path)
    if parts is None:
        return None
    *folders, name = parts
    try:
        with ExitStack() as opened:
            within = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, within)
            for folder in folders:
                within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
                opened.callback(os.close, within)
            # Without waiting for a writer, should it be a pipe.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
            with os.fdopen(file, "rb") as page:
                return page.read() if stat.S_ISREG(os.fstat(file).st_mode) else None
    except OSError:
        return None


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
