"""Names of cases: free text for people, and the names of their folders and files, which can be read back."""

import unicodedata
from urllib.parse import unquote

from kits_core.errors import CaseError
from kits_core.text import one_line

_MOST_BYTES = 200
"""File systems allow 255; file endings need some of them."""
_PLAIN = "_-"
_INSIDE = " ."
"""Letters that a file's name may have, but not at its ends."""
_SHOWN = 60


def cleaned(name: str) -> str:
    """A name as it is kept: letters with accents as one letter each (Unicode's form C), no spaces around it."""
    return unicodedata.normalize("NFC", name).strip()


def check_name(name: str) -> str:
    """`name` itself if it is allowed for a case: any script, spaces, at most 200 bytes as a file's name.

    Raises `CaseError` for an empty name, control characters and half surrogate pairs, and for a longer one.
    """
    step = "rename the case at the source"
    if not name or not name.isprintable():
        raise CaseError(shown(name), expected="a name of printable letters", got=ascii(name)[:_SHOWN], next_step=step)
    if len(folder_name(name).encode()) > _MOST_BYTES:
        raise CaseError(
            shown(name), expected=f"a name of at most {_MOST_BYTES} bytes", got=f"{len(name)} letters", next_step=step
        )
    return name


def folder_name(case: str) -> str:
    """What a case's folder or file is called: its name, with `%2F` and the like for what file systems may not take."""
    last = len(case) - 1
    return "".join(
        letter
        if letter.isalnum() or letter in _PLAIN or (letter in _INSIDE and 0 < place < last)
        else "".join(f"%{byte:02X}" for byte in letter.encode(errors="surrogatepass"))
        for place, letter in enumerate(case)
    )


def case_of_folder(folder: str) -> str:
    """The name of the case that a folder name stands for."""
    return unquote(folder)


def shown(name: str) -> str:
    """A name for a message and a row of the catalog, whatever it holds."""
    text = one_line(name)
    printable = text if text.isprintable() and text else ascii(name)
    return printable if len(printable) <= _SHOWN else f"{printable[:_SHOWN]}..."
