"""When two processes write the same thing at once, the second waits and finds the first one's row.

SQLite needs nothing for it: its transactions take the write lock when they begin (`db.engine`).
"""

import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import Integer, bindparam, func, select
from sqlalchemy.orm import Session

from db.models import Base

Row = TypeVar("Row", bound=Base)


def take_turn(session: Session, table: type[Base], key: int = 0) -> None:
    """Wait until no other transaction has the turn of this table and key; it ends with the transaction."""
    if session.get_bind().dialect.name == "postgresql":
        place = zlib.crc32(table.__tablename__.encode()) - 2**31  # PostgreSQL's integers have a sign
        numbers = (bindparam("place", place, Integer), bindparam("key", key, Integer))
        session.execute(select(func.pg_advisory_xact_lock(*numbers)))


def find_or_add(session: Session, table: type[Row], natural_key: Mapping[str, Any], **new: object) -> Row:
    """The row of a natural key; where there is none, one with the columns `new`, not flushed yet."""
    query = select(table).filter_by(**natural_key)
    row = session.scalar(query)
    if row is None:
        take_turn(session, table)
        row = session.scalar(query)
    if row is None:
        row = table(**natural_key, **new)
        session.add(row)
    return row
