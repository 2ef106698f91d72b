from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

from db.models import Base


def test_every_reference_is_found_by_an_index():
    """Neither database makes one for a foreign key by itself; a unique constraint that begins with it will do."""
    missing = []
    for table in Base.metadata.tables.values():
        unique = [c for c in table.constraints if isinstance(c, UniqueConstraint | PrimaryKeyConstraint)]
        whole = [index for index in table.indexes if index.dialect_options["sqlite"]["where"] is None]
        first = {next(iter(found.columns)).name for found in (*unique, *whole)}
        missing += [f"{table.name}.{key.parent.name}" for key in table.foreign_keys if key.parent.name not in first]
    assert missing == []
