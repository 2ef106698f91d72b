"""Bring a source's cases into the home and the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.artifacts import listed, markdown, overview, picture, table
from flows.fan_out import fan_out, threads
from flows.outcomes import Reason, completed, counted, reasons, section
from flows.parameters import IngestParameters
from flows.stage import stage
from kits_core.errors import KitsError
from kits_core.source.preset import LICENCE, NAME
from kits_core.source.transfer import TransferError
from tasks.events import dataset_changed
from tasks.fingerprint import Fingerprint, fingerprint_dataset
from tasks.ingest import ingest_case, ingest_clinical_records
from tasks.leftovers import find_leftovers
from tasks.limits import download_slots
from tasks.listing import Listing, list_source
from tasks.source import SourceRequest

_MEGABYTE = 1e6
_OUTLIERS_SHOWN = 20


@dataclass(frozen=True)
class Ingested:
    """What an ingestion did: the dataset's name, and how many cases were chosen, brought in and refused.

    `vanished`: cases with files that the source no longer has. `notes`: what was not used of the source's lists and
    clinical records, which values were converted, and how unusual headers were read.
    """

    dataset: str
    chosen: int
    brought_in: int
    refused: int
    vanished: int
    notes: tuple[str, ...] = ()


@stage(IngestParameters, task_runner=threads(), persist_result=False)
def ingest(parameters: IngestParameters) -> Ingested:
    """List the source, write its clinical records, then fetch, verify and convert what is missing or has changed."""
    if parameters.source == NAME:
        get_run_logger().warning(LICENCE)
    cap = parameters.megabytes_per_second
    most = cap * _MEGABYTE if cap else None
    asked = SourceRequest(
        parameters.source, parameters.workers, most, parameters.deidentify, parameters.layout, parameters.reading
    )
    listing = list_source(
        asked,
        parameters.dataset,
        parameters.cases,
        keep_archives=parameters.keep_archives,
        replace_source=parameters.replace_source,
    )
    listing.budget.check()
    get_run_logger().info("%s", listing.budget.describe())
    notes = _write_clinical(asked, listing)
    with download_slots(min(parameters.workers, len(listing.missing))) as connections:
        fetching = replace(asked, connections=connections)
        # Twice as many cases as connections: the next ones wait for a connection while the last are finished.
        outcomes = fan_out(
            "ingest",
            listing.missing,
            lambda case: [ingest_case.submit(fetching, case, keep_archives=parameters.keep_archives)],
            workers=2 * connections,
            name=lambda case: case.name,
        )
    if listing.clinical is not None and notes is None:
        notes = ingest_clinical_records(asked, listing.clinical, listing.dataset)
    failed = reasons(outcomes, lambda case: case.name)
    of_files = [f"{outcome.item.name}, {note}" for outcome in outcomes if not outcome.error for note in outcome.result]
    refused = [*(Reason(case, text, refused=True) for case, text in listing.refused), *failed]
    done = Ingested(
        listing.dataset,
        listing.chosen,
        len(outcomes) - len(failed),
        len(refused),
        vanished=len(listing.vanished),
        notes=tuple(dict.fromkeys((*listing.notes, *(notes or ()), *of_files))),
    )
    for leftover in find_leftovers(listing.dataset, remove=True):
        get_run_logger().info("removed %s (%.1f MB): %s", leftover.path, leftover.bytes / _MEGABYTE, leftover.what)
    create_markdown_artifact(_markdown(listing, done, refused), key="ingest", description="What an ingestion did")
    if done.brought_in:
        _leave_fingerprint(listing.dataset)
        dataset_changed(listing.dataset, source=parameters.source, brought_in=done.brought_in)
    if done.refused > parameters.allowed_failures * listing.chosen:
        raise KitsError(
            f"{listing.dataset}: expected at most {parameters.allowed_failures:.0%} of {listing.chosen} cases in "
            f"quarantine, got {done.refused} (first: {refused[0].text}); see kits status, mend what it names and run "
            "ingest again"
        )
    return completed(done, counted([reason.text for reason in refused], f"of {listing.chosen} cases in quarantine"))


def _write_clinical(asked: SourceRequest, listing: Listing) -> list[str] | None:
    """Fetch the records before the images, so that a file that is no JSON is refused at once.

    None where the file could not be fetched: then the images come first, and it is fetched again after them.
    """
    if listing.clinical is None:
        return []
    try:
        return ingest_clinical_records(asked, listing.clinical, listing.dataset)
    except TransferError as error:
        get_run_logger().warning("%s; it is asked for again after the images", error)
        return None


def _leave_fingerprint(dataset: str) -> None:
    found = fingerprint_dataset(dataset)
    if found is None:
        return
    create_markdown_artifact(
        _fingerprint_markdown(dataset, found), key="fingerprint", description=f"What {markdown(dataset)} looks like"
    )


def _fingerprint_markdown(dataset: str, found: Fingerprint) -> str:
    counts = {"stored as": _counts(found.source_dtypes), "orientation": _counts(found.orientations)}
    shown = [
        {
            "case": outlier.case,
            "property": outlier.title,
            "value": f"{outlier.value:.4g}",
            "fences": f"{outlier.low:.4g} to {outlier.high:.4g}",
        }
        for outlier in found.outliers[:_OUTLIERS_SHOWN]
    ]
    more = len(found.outliers) - len(shown)
    return (
        f"# {markdown(dataset)}: {found.cases} cases\n\n{overview(counts)}\n\n"
        f"{picture('distributions', found.picture)}\n\n"
        f"## Cases that stand out\n\n{table(shown) if shown else 'None.'}\n"
        + (f"\nand {more} more.\n" if more > 0 else "")
        + "\nFences: 3 interquartile ranges beyond the quartiles (Tukey, 1977). Standing out is no fault; look.\n"
    )


def _counts(values: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in values.items())


def _markdown(listing: Listing, done: Ingested, refused: Sequence[Reason]) -> str:
    kept = listing.chosen - len(listing.missing) - len(listing.refused)
    counts = {
        "cases": done.chosen,
        "unchanged": kept,
        "brought in": done.brought_in,
        "in quarantine": done.refused,
        "gone at the source": done.vanished,
    }
    text = f"# Ingested {markdown(listing.dataset)}\n\nFrom {markdown(listing.source)}\n\n{overview(counts)}\n\n"
    text += f"{markdown(listing.budget.describe())}\n"
    text += section("In quarantine", refused)
    if done.notes:
        text += f"\n## Notes\n\n{listed(done.notes)}\n"
    if listing.vanished:
        text += f"\n## Gone at the source, kept here\n\n{markdown(', '.join(listing.vanished))}\n"
    return text + (f"\n{LICENCE}\n" if listing.dataset == NAME else "")
