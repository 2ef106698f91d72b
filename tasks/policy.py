"""Retries, time limits and tags of every task, in one place."""

import logging
from typing import Any, TypedDict

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from db.engine import CatalogUnreachableError
from kits_core.errors import KitsError

_MINUTE = 60


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Timeout of ")


# Prefect logs for every task in a worker thread that its time limit is checked only when the call returns. So the
# network's time limits are set in the HTTP client, which can interrupt a transfer.
logging.getLogger("prefect.task_runs").addFilter(_is_news)


class Policy(TypedDict, total=False):
    """Keyword arguments of `prefect.task`."""

    retries: int
    retry_delay_seconds: Any
    retry_condition_fn: Any
    timeout_seconds: float
    tags: list[str]


def _worth_a_retry(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry everything except a refusal: a refusal stays the same however often it is tried.

    A failed transfer is not retried either: its client has already done that, with the waits that the host asked for.
    """
    try:
        state.result()
    except CatalogUnreachableError:
        return True
    except KitsError:
        return False
    except Exception:  # noqa: BLE001 - whatever a library raises
        return True
    return False


DOWNLOAD = Policy(
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=_worth_a_retry,
    timeout_seconds=120 * _MINUTE,
    tags=["kits", "download"],
)
COMPUTE = Policy(
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=_worth_a_retry,
    timeout_seconds=60 * _MINUTE,
    tags=["kits", "compute"],
)
CATALOG = Policy(
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=_worth_a_retry,
    timeout_seconds=10 * _MINUTE,
    tags=["kits", "catalog"],
)
# No time limit: a training may take days. It saves every epoch, so a retry costs one.
TRAINING = Policy(retries=1, retry_delay_seconds=10, retry_condition_fn=_worth_a_retry, tags=["kits", "train", "gpu"])
