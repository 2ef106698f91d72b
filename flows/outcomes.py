"""What a flow says of cases that failed: each with its reason, and all of them in the state that the flow ends in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from prefect.states import Completed

from flows.artifacts import table
from flows.fan_out import Outcome
from kits_core.errors import CaseError, why

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
