"""What people type to name a source and a dataset. Imports little, so that a wrong word is refused at once."""

import re

import httpx

from kits_core.errors import KitsError

_DATASET_NAME = re.compile(r"[^\W_][\w.\- ]*(?:/[^\W_][\w.\- ]*)*")


def check_address(text: str) -> str:
    """`text` itself, unless it is a URL with a password or a query, which would be stored and shown with it.

    Raises `KitsError`, which does not repeat it.
    """
    if "://" in text:
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:  # whose message has a part of the address, as of a password with a slash in it
            raise KitsError(
                "expected an address that can be read, got another, which may hold a password and is not repeated; "
                "give it as https://host/folder, and a bearer token as KITS_SOURCE_TOKEN"
            ) from None
        if url.userinfo or url.query:
            raise KitsError(
                f"{url.scheme}://{url.host}: expected an address without user, password and query, got one with them; "
                "give a bearer token as KITS_SOURCE_TOKEN"
            )
    return text


def check_dataset_name(name: str) -> str:
    """`name` itself if it is safe as a folder in the home: letters, digits, `._- ` and single slashes between them.

    Raises `KitsError` otherwise.
    """
    if _DATASET_NAME.fullmatch(name) is None:
        raise KitsError(
            f"{name!r}: expected a name of letters, digits, '.', '_', '-' and spaces, a letter or digit first; "
            "name the dataset so (--dataset)"
        )
    return name
