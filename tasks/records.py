"""Clinical records of a table, to the cases of a dataset that are in the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from db.engine import catalog_session, reading_session
from db.queries import ingest as queries
from db.settings import current_settings
from kits_core.errors import KitsError
from kits_core.source.tables import Table, read_table


@dataclass(frozen=True)
class Merged:
    """What a table has for a dataset. `cases`: records for which there is a case; `unknown`: names that no case has."""

    dataset: str
    table: Table
    cases: int
    unknown: tuple[str, ...]


def merge_records(file: Path, columns: Mapping[str, str], dataset: str | None, *, write: bool) -> Merged:
    """Match the records of a CSV or XLSX file with the cases of a dataset; with `write`, put them into the catalog.

    Raises `KitsError` as `read_table` does, where there is no such dataset, and for one whose source has records.
    """
    table = read_table(file, columns)
    records = table.clinical.records
    with (catalog_session if write else reading_session)(current_settings()) as session:
        row = queries.find_dataset(session, dataset)
        if row.clinical_sha256 is not None:
            raise KitsError(
                f"{row.name}: expected a dataset without records of its own, got one whose source has kits23.json, "
                "which every ingestion takes again; add the columns there"
            )
        known = {case.name for case in queries.cases_of(session, row.id)}
        if write:
            queries.merge_clinical(session, row, records)
        unknown = tuple(record["case_id"] for record in records if record["case_id"] not in known)
        return Merged(row.name, table, len(records) - len(unknown), unknown)
