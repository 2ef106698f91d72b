"""Replaces what a user names by pseudonyms before Prefect stores a flow's parameters."""

from collections.abc import Sequence
from pathlib import Path

from db.settings import Settings
from tasks.names import hide, hide_path


def hidden_paths(paths: Sequence[Path]) -> list[str]:
    """The pseudonyms of paths, absolute, for `tasks.names.reveal`."""
    Settings().open_home()
    return [hide_path(path) for path in paths]


def hidden_source(source: str) -> str:
    """The pseudonym of a source: an address, or a folder's absolute path."""
    Settings().open_home()
    return hide(source) if "://" in source else hide_path(source)


def hidden(text: str | None) -> str | None:
    """The pseudonym of a choice; None where none was made."""
    return hide(text) if text else None
