"""The source that people name: the KiTS23 preset, a URL, or a folder in one of the layouts."""

from collections.abc import Iterable
from pathlib import Path

from kits_core.errors import KitsError
from kits_core.source.address import check_address
from kits_core.source.kits23 import Kits23Source
from kits_core.source.layout import Layout, Reading
from kits_core.source.layouts import LAYOUTS
from kits_core.source.layouts.kits import open_url
from kits_core.source.location import Source
from kits_core.source.preset import NAME, Kits23Addresses
from kits_core.source.transfer import Transfer

__all__ = ["open_source"]

_SHOWN = 5


def open_source(
    text: str,
    *,
    layout: str | None = None,
    reading: Reading | None = None,
    transfer: Transfer | None = None,
    addresses: Kits23Addresses | None = None,
) -> Source:
    """The source that `text` names: `kits23`, an http(s) URL, or a folder.

    A URL is asked for its list of SHA-256 and `kits23.json` here, once. A folder may be in any layout, found by looking
    or named by `layout`; `reading` is what people say of its labels and files. Raises `KitsError` for anything else,
    with what is expected; `TransferError` if a URL's root cannot be read.
    """
    check_address(text)
    reading = reading or Reading()
    if text == NAME:
        if layout not in (None, "kits") or reading != Reading():
            raise KitsError(f"{NAME}: expected no layout, labels or patterns, got some; they are known of it")
        return Kits23Source(addresses or Kits23Addresses())
    if text.startswith(("http://", "https://")):
        if layout not in (None, "kits"):
            raise KitsError(f"{text}: expected a folder in the layout {layout}; download it first and name it instead")
        return open_url(text.rstrip("/"), transfer or Transfer(), reading)
    if "://" in text:
        raise KitsError(f"{text}: expected an http or https address; download the folder first and name it instead")
    return _open_folder(Path(text).expanduser(), layout, reading)


def _open_folder(folder: Path, layout: str | None, reading: Reading) -> Source:
    if not folder.is_dir():
        raise KitsError(f"{folder}: expected {NAME}, an http(s) address or an existing folder; check the spelling")
    folder = folder.resolve()
    if layout is None and reading.images is not None:
        layout = "pairs"
    chosen = sorted(LAYOUTS.load().values(), key=lambda one: one.order) if layout is None else [_named(layout)]
    found = next((source for one in chosen if (source := one.find(folder, reading)) is not None), None)
    if found is None:
        raise KitsError(
            f"{folder}: expected {_expected(chosen)}; got {_seen(folder)}; name the folder that holds the cases, or "
            "bring the files into one of these layouts (docs/data.md)"
        )
    return found


def _named(layout: str) -> Layout:
    try:
        return LAYOUTS[layout]
    except ValueError as error:
        raise KitsError(f"layout: {error}; name one of these") from error


def _expected(chosen: Iterable[Layout]) -> str:
    return " -- or ".join(f"[{one.name}] {one.looks_for}" for one in chosen)


def _seen(folder: Path) -> str:
    """What a folder holds, for people."""
    entries = sorted(folder.iterdir())
    if not entries:
        return "an empty folder"
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
