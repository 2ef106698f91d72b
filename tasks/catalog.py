"""The catalog for tasks: a session, the home's folders, and the flow run that rows belong to."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run
from sqlalchemy.orm import Session

from db.engine import catalog_session, reading_session
from db.models import Case, CaseFile, FileKind
from db.settings import current_settings
from kits_core.errors import CaseError


@contextmanager
def catalog() -> Iterator[Session]:
    """A session that commits when the block ends well."""
    with catalog_session(current_settings()) as session:
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads, and waits for no writer."""
    with reading_session(current_settings()) as session:
        yield session


def flow_run_id() -> str | None:
    """Id of the Prefect flow run that this code runs in; None outside one."""
    run_id = flow_run.get_id()
    return str(run_id) if run_id else None


def file_of(case: Case, kind: FileKind) -> CaseFile:
    """The newest version of a case's file of a kind. Raises `CaseError` where there is none: a retry would not help."""
    file = case.file(kind)
    if file is None:
        raise CaseError(
            case.name, expected=f"its {kind} in the catalog", got="none", next_step="bring it in with kits ingest"
        )
    return file
