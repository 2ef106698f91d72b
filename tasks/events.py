"""Events on the Prefect server, by which one flow starts the next.

Their label `kits.next` is `open` if an automation should start the next flow. It is `arranged` if the emitting flow, or
the one it is part of, goes on by itself, as a pipeline does.
"""

from prefect import runtime
from prefect.events import emit_event

DATASET_CHANGED = "kits.dataset.changed"
MODEL_TRAINED = "kits.model.trained"
NEXT, OPEN, ARRANGED = "kits.next", "open", "arranged"


def dataset_changed(dataset: str, *, source: str, brought_in: int) -> None:
    """An ingestion brought in cases from a source, new ones or new versions."""
    emit_event(
        event=DATASET_CHANGED,
        resource={
            "prefect.resource.id": f"kits.dataset.{dataset}",
            "prefect.resource.name": dataset,
            NEXT: _next(arranged=False),
        },
        payload={"dataset": dataset, "source": source, "brought_in": brought_in},
    )


def model_trained(model_id: int, *, run_id: int, score: float, evaluated: bool) -> None:
    """A training ended and its best checkpoint is registered; `evaluated`: whether the same flow scores it."""
    emit_event(
        event=MODEL_TRAINED,
        resource={
            "prefect.resource.id": f"kits.model.{model_id}",
            "prefect.resource.name": f"model {model_id}",
            NEXT: _next(arranged=evaluated),
        },
        payload={"model": str(model_id), "run": run_id, "score": score},
    )


def _next(*, arranged: bool) -> str:
    return ARRANGED if arranged or runtime.flow_run.parent_flow_run_id else OPEN
