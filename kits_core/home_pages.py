"""Which pages of a home its server shows, and at which address: reports, and plans of scans."""

import re
from pathlib import Path
from urllib.parse import quote

OPEN = "/kits/open/"
"""Where a browser opens a page: this, and the page's path in the home."""
_REPORT = re.compile(r"evaluation_\d+\.html")
_PLAN = "plan.html"


def parts_of_page(path: str) -> tuple[str, ...] | None:
    """The folders and the file of a page by its path in the home, as `reports/evaluation_00001.html`.

    None for any other path: no folder, no other file, nothing hidden, nothing that leads elsewhere.
    """
    parts = tuple(path.split("/"))
    if any(not part or part.startswith(".") or "\\" in part or not part.isprintable() for part in parts):
        return None
    match parts:
        case ("reports", name) if _REPORT.fullmatch(name):
            return parts
        case ("predictions", _, *_, name) if name == _PLAN:
            return parts
    return None


def address_of_page(home: Path, page: Path) -> str | None:
    """Where the home's server opens a page, without the server's name; None for one that it does not show.

    A plan in a folder outside of the home, of `kits predict --out`, is such a one: a server that showed it would show
    that folder to everyone with the home's password.
    """
    if not page.is_relative_to(home):
        return None
    path = page.relative_to(home).as_posix()
    return None if parts_of_page(path) is None else OPEN + "/".join(quote(part, safe="") for part in path.split("/"))
