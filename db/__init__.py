"""The catalog: every case, file, run and metric in SQL.

`import db` is the interface for notebooks and scripts: the names of `__all__` are stable, others may change. Each is
imported where it is first used, so the import itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from db.frames import ModelFile, model_file, query, scores
    from db.settings import Settings

PLACES = {
    "ModelFile": "db.frames",
    "Settings": "db.settings",
    "model_file": "db.frames",
    "query": "db.frames",
    "scores": "db.frames",
}
"""Where each public name is defined."""

__all__ = ["ModelFile", "Settings", "model_file", "query", "scores"]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    """For the completion of names in a notebook."""
    return sorted({*globals(), *__all__})
