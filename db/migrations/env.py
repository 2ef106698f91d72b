"""Run by Alembic: upgrades through the connection that `db.migrate` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON

from db.models import Base
from db.models.base import Finite, UtcDateTime


def _render(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Writes our own types as SQLAlchemy's, so that an old migration does not depend on newer models."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Finite):
        return "sa.Double()"
    if kind == "type" and isinstance(item, JSON):
        return 'sa.JSON().with_variant(JSONB(), "postgresql")'
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=_render,
    # SQLite alters a table by copying it, which Alembic does in this mode.
    render_as_batch=True,
)
context.run_migrations()
