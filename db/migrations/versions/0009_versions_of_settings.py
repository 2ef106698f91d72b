"""Versions of stored settings, whose hashes leave defaults out from now on."""

import hashlib
import json

from alembic import op
from sqlalchemy import text

from db.identity import read_json

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """To this version: all settings until now are of version 1. Hashes are made anew after every upgrade."""
    connection = op.get_bind()
    for row_id, stored, name in connection.execute(text("SELECT id, settings, hash FROM recipe")).all():
        settings = read_json(stored)
        code = next((code for code in (2, 1) if _name_until_now(code, settings) == name), None)
        if code is not None:  # else it is of a code that no release has had, and keeps its name
            _store("recipe", "settings", row_id, {"schema": 1, "code": code, **settings})
    for row_id, stored in connection.execute(text("SELECT id, config FROM training_run")).all():
        _store("training_run", "config", row_id, {"schema": 1, "code": 1, **read_json(stored)})


def downgrade() -> None:
    """To the version before."""
    connection = op.get_bind()
    for table, column in (("recipe", "settings"), ("training_run", "config")):
        for row_id, stored in connection.execute(text(f"SELECT id, {column} FROM {table}")).all():  # noqa: S608
            settings = read_json(stored)
            _store(table, column, row_id, {name: settings[name] for name in settings if name not in ("schema", "code")})


def _store(table: str, column: str, row_id: int, settings: dict[str, object]) -> None:
    value = ":settings" if op.get_bind().dialect.name == "sqlite" else "CAST(:settings AS JSONB)"
    change = text(f"UPDATE {table} SET {column} = {value} WHERE id = :id")  # noqa: S608
    op.get_bind().execute(change, {"settings": json.dumps(settings), "id": row_id})


def _name_until_now(code: int, settings: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps([code, settings], sort_keys=True).encode()).hexdigest()[:16]
