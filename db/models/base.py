"""Shared by all tables: names of constraints, UTC times, finite numbers, enums as checked text, JSON."""

import json
import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, Double, Enum, MetaData, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Json = JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC. Refuses a naive one; SQLite, which knows no zones, gives UTC back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To the database."""
        if value is not None and value.tzinfo is None:
            raise ValueError(
                f"a time in the catalog has a zone, got the naive {value.isoformat()}; use datetime.now(UTC)"
            )
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Finite(TypeDecorator[float]):
    """A number. Refuses NaN, which SQLite would store as NULL and PostgreSQL would carry into every mean."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:  # noqa: ARG002
        """To the database, from NumPy's numbers too."""
        if value is not None and not math.isfinite(value):
            raise ValueError(f"a number in the catalog is finite, got {value}; NULL stands for a value that is not")
        return float(value) if value is not None else None


class StoredText(TypeDecorator[str]):
    """Text. NUL and half surrogate pairs, from unusual file names and messages of libraries, become U+FFFD.

    PostgreSQL refuses NUL, every database refuses half pairs, and the whole transaction would fail.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the database."""
        return storable(value) if value is not None else None


def storable(value: Any) -> Any:
    """`value` with U+FFFD for each letter that no database stores; in lists and dicts too."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(key): storable(part) for key, part in value.items()}
    return [storable(part) for part in value] if isinstance(value, list | tuple) else value


def json_text(value: Any) -> str:
    """JSON as the catalog's columns hold it."""
    return json.dumps(storable(value))


class Base(DeclarativeBase):
    """The catalog's tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime(), float: Finite(), str: StoredText(), dict[str, Any]: Json, list[Any]: Json,
    }  # fmt: skip


def now() -> datetime:
    """This instant, in UTC."""
    return datetime.now(UTC)


def checked(enum: type[StrEnum], name: str) -> Enum:
    """A text column that takes the enum's values only."""
    return Enum(
        enum,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


class RowId:
    """A numbered row."""

    id: Mapped[int] = mapped_column(primary_key=True)


class Made:
    """When a row was made, and by which Prefect flow run (None outside one)."""

    created_at: Mapped[datetime] = mapped_column(default=now)
    flow_run_id: Mapped[str | None] = mapped_column(index=True)
