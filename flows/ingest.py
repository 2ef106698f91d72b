"""Bring a source's cases into the home and the catalog."""

from dataclasses import dataclass
from typing import cast

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.states import Completed

from flows.artifacts import table
from flows.fan_out import fan_out, task_runner
from flows.parameters import IngestParameters
from kits_core.errors import KitsError
from tasks.ingest import CaseToIngest, Listing, convert_case, fetch_case, ingest_clinical_records, list_source


@dataclass(frozen=True)
class Ingested:
    """What an ingestion did: the dataset's name, and how many cases were chosen, brought in and refused."""

    dataset: str
    chosen: int
    brought_in: int
    refused: int


@flow(name="ingest", flow_run_name="ingest · {parameters.source}", task_runner=task_runner(), persist_result=False)
def ingest(parameters: IngestParameters) -> Ingested:
    """List the source, fetch, verify and convert what is missing, then write the clinical records."""
    listing = list_source(parameters.source, parameters.dataset, parameters.cases)
    outcomes = fan_out(
        "ingest",
        listing.missing,
        _submit,
        workers=parameters.workers,
        name=lambda case: case.name,
    )
    ingest_clinical_records(parameters.source, listing.dataset)
    refused = [(outcome.item.name, str(outcome.error)) for outcome in outcomes if outcome.error]
    done = Ingested(listing.dataset, listing.chosen, len(outcomes) - len(refused), len(refused))
    create_markdown_artifact(_markdown(listing, done, refused), key="ingest", description="What an ingestion did")
    if len(refused) > parameters.allowed_failures * listing.chosen:
        raise KitsError(
            f"{listing.dataset}: expected at most {parameters.allowed_failures:.0%} of {listing.chosen} cases in "
            f"quarantine, got {len(refused)} (first: {refused[0][1]}); see kits status, then run ingest again"
        )
    if refused:
        # Prefect takes the state for the run and hands its data to the caller.
        message = f"Completed with problems: {len(refused)} cases in quarantine"
        return cast("Ingested", Completed(message=message, data=done))
    return done


def _submit(case: CaseToIngest) -> list[PrefectFuture[None]]:
    fetched = fetch_case.submit(case)
    return [fetched, convert_case.submit(case, wait_for=[fetched], return_state=False)]


def _markdown(listing: Listing, done: Ingested, refused: list[tuple[str, str]]) -> str:
    kept = listing.chosen - len(listing.missing)
    rows = [{"cases": done.chosen, "already there": kept, "brought in": done.brought_in, "quarantined": done.refused}]
    text = f"# Ingested {listing.dataset}\n\nFrom {listing.source}\n\n{table(rows)}\n"
    if refused:
        text += f"\n## In quarantine\n\n{table([{'case': name, 'reason': reason} for name, reason in refused])}\n"
    return text
