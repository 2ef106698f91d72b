"""The catalog as tasks see it: a session, the home's folders, and the flow run that the rows belong to."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run
from sqlalchemy.orm import Session

from db.engine import catalog_session, reading_session
from db.settings import current_settings


@contextmanager
def catalog() -> Iterator[Session]:
    """A session that commits when the block ends well."""
    with catalog_session(current_settings()) as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """A session for questions alone, which waits for no writer."""
    with reading_session(current_settings()) as session:
        yield session


def flow_run_id() -> str | None:
    """Id of the Prefect flow run that this code runs in; None outside one."""
    run_id = flow_run.get_id()
    return str(run_id) if run_id else None
