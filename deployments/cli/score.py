"""`kits score`, `kits compare`."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.catalog import warn_of_stale
from deployments.cli.files import check_new_file, write_csv
from deployments.cli.output import complain, err, out, print_json, say, show_scores, show_table
from kits_core.metrics.score import CSV_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from kits_core.errors import CaseError
    from kits_core.metrics.folders import Pair, ScoredPair


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="Folder of segmentations.")],
    references: Annotated[Path, typer.Argument(help="Folder of the references.")],
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write every value to this file.")] = None,
    cases: Annotated[
        str | None, typer.Option(help="Ids, as 0-9,400, names, or patterns, as 'site1_*'.", show_default="all")
    ] = None,
    predictions_as: Annotated[str, typer.Option(help="How predictions are called, as '{case}_pred'.")] = "{case}",
    references_as: Annotated[str, typer.Option(help="How references are called, as 'labels_{case}'.")] = "{case}",
    names: Annotated[
        Path | None,
        typer.Option(help="A CSV of prediction and reference, for names with nothing in common.", show_default="none"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases scored at once.", show_default="as many as cores")
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Put predictions on another grid onto the reference's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score segmentations of any model against references, as the challenge does and further. Needs no catalog.

    Both folders hold NAME.nii.gz or NAME/segmentation.nii.gz. The order of a file's axes does not matter. A reference
    without a prediction counts as zero. Each problem is named, the rest is scored, and the exit status is then 1.

    Example: `kits score ./predictions ./kits23/dataset --csv scores.csv`
    """
    from dataclasses import asdict

    from kits_core.metrics.aggregate import official_summary, score_frame, summarise
    from kits_core.metrics.folders import Naming, find_pairs, read_names
    from kits_core.report.methods import comparability
    from kits_core.report.tables import score_rows

    check_new_file(csv_file)
    naming = Naming(predictions_as, references_as, read_names(names) if names else {})
    pairs, strangers = find_pairs(predictions, references, naming)
    if cases is not None:
        from kits_core.source.selection import choose

        chosen = set(choose([pair.case for pair in pairs], cases))
        pairs, strangers = [pair for pair in pairs if pair.case in chosen], []
    done = sorted(_score_all(pairs, workers or _cores(), resample=resample), key=lambda pair: pair.case)
    problems = [pair.problem for pair in done if pair.problem]
    problems += [f"{name}: expected a reference, got none; it is left out" for name in strangers]
    notes = [note for pair in done for note in pair.notes]
    scored = [pair for pair in done if pair.scores]
    if csv_file is not None:
        write_csv(csv_file, CSV_COLUMNS, _csv_rows(scored))
    if scored:
        frame = score_frame(
            {pair.case: pair.scores for pair in scored}, {pair.case: pair.diagonal_mm for pair in scored}
        )
        official = official_summary(frame)
    if as_json:
        summary = summarise(frame).astype(object) if scored else None
        print_json(
            {
                "cases": len(scored),
                "official": asdict(official) if scored else None,
                "summary": [] if summary is None else summary.where(summary.notna(), None).to_dict("records"),
                "problems": problems,
                "notes": notes,
            }
        )
    elif scored:
        show_scores(score_rows(frame), f"{len(scored)} cases")
        out.print(f"official: mean Dice {official.dice:.3f}, mean surface Dice {official.surface_dice:.3f}")
        out.print(comparability(official), style="dim", highlight=False)
        if csv_file is not None:
            say(f"every value: {csv_file}")
    for note in notes:
        err.print(note, style="dim", highlight=False, markup=False)
    for problem in problems:
        complain("problem", problem)
    if problems:
        raise typer.Exit(1)


def _score_all(pairs: Sequence["Pair"], workers: int, *, resample: bool) -> list["ScoredPair"]:
    """Every pair's scores, in worker processes."""
    from concurrent.futures import as_completed
    from concurrent.futures.process import BrokenProcessPool

    from loky import get_reusable_executor
    from rich.progress import track

    from kits_core.metrics.folders import score_pair
    from kits_core.orphans import end_with_parent

    workers = min(workers, len(pairs))
    if workers == 1:
        return [score_pair(pair, resample=resample) for pair in track(pairs, "scoring", console=err, transient=True)]
    scored: dict[str, ScoredPair] = {}
    executor = get_reusable_executor(max_workers=workers, initializer=end_with_parent)
    futures = {executor.submit(score_pair, pair, resample=resample): pair.case for pair in pairs}
    try:
        for future in track(as_completed(futures), "scoring", total=len(futures), console=err, transient=True):
            scored[futures[future]] = future.result()
    except BrokenProcessPool:
        err.print("[dim]a worker process ended: the pairs that are left are scored one at a time[/]", highlight=False)
    finally:
        executor.shutdown(wait=False, kill_workers=True)
    left = [pair for pair in pairs if pair.case not in scored]
    return [*scored.values(), *(_score_alone(pair, resample=resample) for pair in left)]


def _score_alone(pair: "Pair", *, resample: bool) -> "ScoredPair":
    """A pair's scores, in a process of its own. If that process dies too, the pair counts as a missing case."""
    from concurrent.futures.process import BrokenProcessPool
    from dataclasses import replace

    from loky import ProcessPoolExecutor

    from kits_core.metrics.folders import ScoredPair, score_pair
    from kits_core.orphans import end_with_parent

    for attempt in (pair, replace(pair, prediction=None)):
        try:
            with ProcessPoolExecutor(1, initializer=end_with_parent) as alone:
                scored = alone.submit(score_pair, attempt, resample=resample).result()
        except BrokenProcessPool:
            continue
        if attempt is pair:
            return scored
        return replace(scored, problem=str(_died(pair, "it counts as zero")))
    return ScoredPair(pair.case, (), 0.0, str(_died(pair, "the case is left out")))


def _died(pair: "Pair", step: str) -> "CaseError":
    from kits_core.errors import CaseError

    return CaseError(
        pair.case,
        expected="its process to finish scoring",
        got="a process that ended, most often because memory ran out",
        next_step=f"look at the size of its files; {step}",
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _csv_rows(scored: Sequence["ScoredPair"]) -> Iterator[tuple[str, ...]]:
    """Long, one value a row, in full precision; a missing value is empty."""
    for pair in scored:
        for one in pair.scores:
            value = "" if one.value is None else repr(float(one.value))
            yield pair.case, one.region, one.metric, value, str(one.status)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="An evaluation's id, or a CSV that kits score wrote.")],
    second: Annotated[str, typer.Argument(help="The one that is asked if it is better.")],
    worst: Annotated[int, typer.Option(min=0, help="How many of the cases that got worse are named.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Compare two evaluations, or two files of scores, case by case: differences, a test, and who got worse.

    Example: `kits compare 3 5`
    """
    from kits_core.metrics.compare import compare as compare_scores
    from kits_core.metrics.known import BY_NAME
    from kits_core.report.tables import comparison_rows, number, signed

    _check_one_dataset(first, second)
    done = compare_scores(_scores_of(first), _scores_of(second))
    for evaluation in dict.fromkeys(int(what) for what in (first, second) if what.isdecimal()):
        warn_of_stale(evaluation)
    settings = _settings_that_differ(first, second)
    losers = done.pairs[(done.pairs["metric"] == "dice") & (done.pairs["region"] == "tumor") & (done.pairs["gain"] < 0)]
    losers = losers.nsmallest(worst, "gain")
    if as_json:
        summary = done.summary.astype(object)
        print_json(
            {
                "summary": summary.where(summary.notna(), None).to_dict("records"),
                "worse": losers.to_dict("records"),
                "settings": settings,
                "unpaired": done.unpaired,
            }
        )
        return
    say(f"{second} against {first}, case by case; a gain is positive where {second} is better")
    for metric in ("dice", "surface_dice", "hausdorff95_mm"):
        if rows := comparison_rows(done, metric):
            show_table(rows, BY_NAME[metric].title)
    out.print(
        "p: Wilcoxon's signed-rank test. Lost, won: cases in which only the first, or only the second, has a value: "
        "where nothing was found there is no distance. Means leave these cases out. Every metric: --json",
        style="dim", highlight=False,
    )  # fmt: skip
    if len(losers):
        rows = [
            {
                "case": row["case"],
                "first": number(row["first"], "dice"),
                "second": number(row["second"], "dice"),
                "gain": signed(row["gain"], "dice"),
            }
            for _, row in losers.iterrows()
        ]
        show_table(rows, "tumour Dice got worse")
    if settings:
        show_table(settings, "settings that differ")
    if done.unpaired:
        say(f"only on one side, left out: {', '.join(done.unpaired)}")


def _settings_that_differ(first: str, second: str) -> list[dict[str, str | None]]:
    """One row for each setting that differs between the trainings of two evaluations; none where a side is a file."""
    if not (first.isdecimal() and second.isdecimal()):
        return []
    from db.read_only import run_query
    from db.settings import Settings
    from deployments.cli.differences import OF_EVALUATIONS, differing

    columns, rows = run_query(Settings(), OF_EVALUATIONS.format(int(first), int(second)), trusted=True)
    found = differing(dict(zip(columns, row, strict=True)) for row in rows)
    sides = found.get(int(first), {}), found.get(int(second), {})
    return [{"setting": name, "first": sides[0][name], "second": sides[1].get(name)} for name in sides[0]]


def _check_one_dataset(*asked: str) -> None:
    """Raise `KitsError` for evaluations of two datasets, whose cases may share names and no patient."""
    ids = [int(what) for what in asked if what.isdecimal()]
    if not ids:
        return
    from db.engine import catalog_session
    from db.queries.evaluation import find_evaluation
    from db.settings import Settings
    from kits_core.errors import KitsError

    with catalog_session(Settings()) as session:
        names = [find_evaluation(session, evaluation).split.dataset.name for evaluation in ids]
    if len(set(names)) > 1:
        raise KitsError(f"expected two evaluations of one dataset, got one of {names[0]} and one of {names[1]}")


def _scores_of(what: str) -> "pd.DataFrame":
    """A frame of scores: of an evaluation in the catalog, or of a file."""
    from kits_core.errors import KitsError

    path = Path(what)
    if not what.isdecimal() and not path.is_file():
        raise KitsError(f"{what}: expected an evaluation's id or a CSV of kits score, got neither")
    if what.isdecimal():
        from db.engine import catalog_session
        from db.queries.evaluation import find_evaluation, score_frame
        from db.settings import Settings

        with catalog_session(Settings()) as session:
            return score_frame(session, find_evaluation(session, int(what)).id)
    import pandas as pd

    frame = pd.read_csv(path, dtype={"case_id": str})
    if tuple(frame.columns) != CSV_COLUMNS:
        got = ", ".join(map(str, frame.columns))
        raise KitsError(f"{what}: expected the columns {', '.join(CSV_COLUMNS)} of kits score, got {got}")
    return frame.rename(columns={"case_id": "case"})
