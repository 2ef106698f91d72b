"""What a flow says of cases that failed: each with its reason, and all of them in the state that the flow ends in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from prefect.states import Completed

from flows.artifacts import table
from flows.fan_out import Outcome
from kits_core.errors import CaseError, KitsError, why

T = TypeVar("T")


@dataclass(frozen=True)
class Reason:
    """Why a case failed. `refused`: by its own content, so that another run would refuse it again."""

    case: str
    text: str
    refused: bool


def reasons(outcomes: Iterable[Outcome[T]], name: Callable[[T], str]) -> list[Reason]:
    """The reasons of those that failed."""
    failed = [(name(outcome.item), outcome.error) for outcome in outcomes if outcome.error]
    return [Reason(case, why(case, error), isinstance(error, CaseError)) for case, error in failed]


def stop_on(found: Sequence[Reason], of: str, expected: str, verb: str) -> None:
    """Raise `KitsError` where there is a reason. `of`, `expected`: what the flow makes, and what it was to reach."""
    if found:
        raise KitsError(
            f"{of}: expected {expected}, got none of {len(found)} (first: {found[0].text}); mend these and run {verb} "
            "again, which goes on from here"
        )


def stop_on_too_many(found: Sequence[Reason], of: str, cases: int, *, allowed: float, became: str, verb: str) -> None:
    """Raise `KitsError` where more than the share `allowed` of the cases have a reason. `became`: what, of these."""
    if len(found) > allowed * cases:
        raise KitsError(
            f"{of}: expected at most {allowed:.0%} of {cases} cases {became}, got {len(found)} "
            f"(first: {found[0].text}); see kits status, mend what it names and run {verb} again"
        )


def section(title: str, found: Sequence[Reason]) -> str:
    """The cases and their reasons as Markdown; nothing where there are none."""
    rows = [{"case": reason.case, "reason": reason.text} for reason in found]
    return f"\n\n## {title}: {len(rows)}\n\n{table(rows)}\n" if rows else ""


def counted(texts: Sequence[str], what: str) -> str:
    """How many there are, and the first of them; nothing where there are none."""
    return f"{len(texts)} {what} (first: {texts[0]})" if texts else ""


def completed(done: T, problems: str) -> T:
    """The result of a flow. Where there are problems, its state is Completed and names them."""
    # Prefect takes a state for the run's own, and hands its data to the caller.
    return cast("T", Completed(message=f"Completed with problems: {problems}", data=done)) if problems else done
