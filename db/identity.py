"""Names of recipes and training runs, computed from their settings again at every upgrade of a catalog."""

import json
from typing import Any

from sqlalchemy import Connection, text

from kits_core.errors import KitsError
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from kits_core.stored import StoredSettings

_HASHED: tuple[tuple[str, str, str, type[StoredSettings]], ...] = (
    ("recipe", "settings", "hash", Recipe),
    ("training_run", "config", "config_hash", TrainingConfig),
)


def name_by_settings(connection: Connection) -> None:
    """Give each row the hash that this release gives to its settings, so that the same settings find it again.

    Older releases made several rows with the same settings when a field was added. Of these the newest that can have
    the name gets it; the others keep theirs. Settings that this release cannot read keep their names too, and do not
    stop an upgrade.
    """
    for table, settings, digest, model in _HASHED:
        rows = connection.execute(text(f"SELECT id, {settings}, {digest} FROM {table} ORDER BY id DESC")).all()  # noqa: S608
        for row_id, stored, before in rows:
            found = read_json(stored)
            name = _name(model, found) or before
            if name != before and not _is_taken(connection, table, row_id, digest, name):
                rename = text(f"UPDATE {table} SET {digest} = :name WHERE id = :id")  # noqa: S608
                connection.execute(rename, {"name": name, "id": row_id})


def _name(model: type[StoredSettings], stored: dict[str, Any]) -> str | None:
    if "schema" not in stored:
        return None
    try:
        return model.hash_of_stored(stored)
    except (KitsError, ValueError):  # of a newer release, or with a field that went before there were versions
        return None


def read_json(stored: Any) -> dict[str, Any]:
    """A column of JSON, which SQLite gives as text."""
    found: dict[str, Any] = json.loads(stored) if isinstance(stored, str) else stored
    return found


def _is_taken(connection: Connection, table: str, row_id: int, digest: str, name: str) -> bool:
    """Whether another row has the name: among all recipes; among the runs of one recipe, split and data."""
    same = (
        ""
        if table == "recipe"
        else "".join(f" AND o.{column} = r.{column}" for column in ("recipe_id", "split_id", "data_hash"))
    )
    others = f"{table} r JOIN {table} o ON o.id <> r.id{same}"
    query = text(f"SELECT 1 FROM {others} WHERE r.id = :id AND o.{digest} = :name")  # noqa: S608
    return connection.execute(query, {"id": row_id, "name": name}).first() is not None
