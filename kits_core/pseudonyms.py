"""Pseudonyms: short names made from the real ones with a secret key, which also turns them back.

A pseudonym is a keyed hash (HMAC-SHA256) of what it stands for, so the same patient has the same one at every run, and
without the key nobody can make it from a name and compare. What it stands for lies beside the key, encrypted with it
(Fernet: AES-128-CBC and HMAC-SHA256). Whoever deletes an entry, or the key, makes the pseudonyms irreversible.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from kits_core.errors import KitsError
from kits_core.files import sync_folder

KEY = "key"
"""Name of the key's file: 32 random bytes in hexadecimal."""
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that is taken for a digit."""
_PSEUDONYM = re.compile(rf"P-[{_LETTERS}]{{8,16}}")
_LENGTHS = (8, 12, 16)
"""In a home with a thousand originals, two share eight letters once in two million homes; the second then gets more."""
_OWNER_ONLY = 0o600
_UID_ROOT = "2.25."
"""Root of UIDs that are a number of 128 bits (DICOM PS3.5, B.2)."""


def is_pseudonym(text: str) -> bool:
    """Whether `text` looks like one: `P-` and 8 letters and digits, or 12 or 16."""
    return _PSEUDONYM.fullmatch(text) is not None


@dataclass(frozen=True)
class Original:
    """What a pseudonym stands for. `kind`: the kind of thing; `facts`: what is known about it, by name, for people."""

    kind: str
    facts: dict[str, str]


class Pseudonyms:
    """The pseudonyms of a folder, which only its owner can enter. The key is made where there is none."""

    def __init__(self, folder: Path) -> None:
        """Raises `KitsError` for a key that cannot be read."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = self._read_or_make_key()
        self._fernet = Fernet(base64.urlsafe_b64encode(self._digest("entries")))

    def of(self, kind: str, *parts: str, **facts: str) -> str:
        """The pseudonym for all `parts` together, `P-XXXXXXXX`. `facts`: what it is turned back to."""
        digest = int.from_bytes(self._digest(kind, *parts))
        entry = json.dumps({"kind": kind, "parts": parts, "facts": {k: v for k, v in facts.items() if v}})
        for length in _LENGTHS:
            pseudonym = "P-" + "".join(_LETTERS[digest >> 5 * place & 31] for place in range(length))
            known = self._entry(pseudonym)
            if known is None:
                self._write(self._folder / pseudonym, self._fernet.encrypt(entry.encode()))
            if known is None or (known["kind"], tuple(known["parts"])) == (kind, parts):
                return pseudonym
        raise KitsError(f"{self._folder}: expected a free pseudonym, got none of {len(_LENGTHS)}; report this")

    def original(self, pseudonym: str) -> Original | None:
        """What a pseudonym stands for; None for one that is not known here. Raises `KitsError` for a damaged entry."""
        entry = self._entry(pseudonym) if is_pseudonym(pseudonym) else None
        return None if entry is None else Original(entry["kind"], entry["facts"])

    def uid(self, uid: str) -> str:
        """Another DICOM UID for `uid`, always the same: `2.25.` and a number of 128 bits."""
        return _UID_ROOT + str(int.from_bytes(self._digest("uid", uid)[:16]))

    def digest(self, text: str) -> str:
        """A keyed hash of a text, in hexadecimal. Without the key nobody can guess the text from it."""
        return self._digest("digest", text).hex()

    def _digest(self, *parts: str) -> bytes:
        return hmac.new(self._key, json.dumps(parts).encode(), hashlib.sha256).digest()

    def _entry(self, pseudonym: str) -> dict[str, Any] | None:
        path = self._folder / pseudonym
        try:
            found: dict[str, Any] = json.loads(self._fernet.decrypt(path.read_bytes()))
        except FileNotFoundError:
            return None
        except InvalidToken as error:
            raise KitsError(
                f"{path}: expected an entry that the key beside it opens, got another; put the right key back"
            ) from error
        return found

    def _read_or_make_key(self) -> bytes:
        path = self._folder / KEY
        try:
            if not path.exists():
                self._write(path, secrets.token_hex(32).encode())
            key = bytes.fromhex(path.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "another text"
            raise KitsError(
                f"{path}: expected the key of this home's pseudonyms, got: {reason}; only who made it can use it: work "
                "in a home of your own, or put the key back"
            ) from error
        if path.stat().st_mode & 0o077:
            path.chmod(_OWNER_ONLY)
        return key

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        """Write it whole or not at all, and never over an existing entry: the first writer wins."""
        aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(aside)
            except FileExistsError:
                return
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)
