"""Addresses of databases, taken apart."""

from urllib.parse import unquote

from sqlalchemy import URL, make_url


def address(url: str) -> URL:
    """What an address says. A file's path may hold what means something in an address, written as `%20`."""
    made = make_url(url)
    # SQLAlchemy 2.0 undoes that for user and password alone.
    return made.set(database=unquote(made.database)) if made.get_backend_name() == "sqlite" and made.database else made
