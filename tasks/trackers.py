"""MLflow and Weights & Biases: a training's settings and curves go there too, where their own variables ask for it.

MLflow does with `MLFLOW_TRACKING_URI` (experiment `MLFLOW_EXPERIMENT_NAME`, or else `kits`), Weights & Biases with
`WANDB_PROJECT` (`WANDB_MODE=offline` sends nothing). A key for Weights & Biases alone asks for nothing: a hospital's
figures leave its machines only where someone has said so. No case's name, path or image is sent.
"""

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from kits_core.files import write_text_atomically
from tasks.beside import Beside

Ending = Literal["completed", "cancelled", "failed"]

_EXPERIMENT = "kits"
_MLFLOW_ENDINGS = {"completed": "FINISHED", "cancelled": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True)
class Tracked:
    """What a tracker gets to know of a run. `folder`: the run's, which remembers its name in each tracker."""

    name: str
    folder: Path
    settings: Mapping[str, Any]


class Tracker(ABC):
    """A run in one tracker. Its calls may raise, or take long."""

    def __init__(self, run: Tracked, key: str | None) -> None:
        """Make the run, or go on with the one called `key`."""
        self.key = self._begin(run, key)

    @abstractmethod
    def _begin(self, run: Tracked, key: str | None) -> str:
        """The name that the tracker gave to the run."""

    @abstractmethod
    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """A whole epoch's values."""

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """How the training ended."""


class Mlflow(Tracker):
    """A run of an MLflow experiment, by its client."""

    def _begin(self, run: Tracked, key: str | None) -> str:
        from mlflow import MlflowClient  # noqa: PLC0415 - a second, and an extra
        from mlflow.entities import Param  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        self._client = client = MlflowClient()
        if key is not None:
            try:
                client.update_run(key, status="RUNNING")
            except MlflowException:  # someone has deleted it
                key = None
        if key is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
            experiment = client.get_experiment_by_name(name)
            number = experiment.experiment_id if experiment else client.create_experiment(name)
            source = {"mlflow.source.name": "kits train"}
            key = client.create_run(number, run_name=run.name, tags=source).info.run_id
            client.log_batch(key, params=[Param(name, str(value)) for name, value in run.settings.items()])
        return key

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric  # noqa: PLC0415

        now = time.time_ns() // 1_000_000
        self._client.log_batch(self.key, metrics=[Metric(name, value, now, epoch) for name, value in values.items()])

    def end(self, ending: Ending) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self.key, _MLFLOW_ENDINGS[ending])


class Wandb(Tracker):
    """A run of a Weights & Biases project. Its files lie in the run's folder."""

    def _begin(self, run: Tracked, key: str | None) -> str:
        import wandb  # noqa: PLC0415 - a second, and an extra

        # By default it would send code, git's remote, paths, the machine's hardware and load, and the terminal's text.
        quiet = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            id=key, resume="allow", name=run.name, config=dict(run.settings), dir=run.folder, settings=quiet
        )
        return str(self._run.id)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=epoch)

    def end(self, ending: Ending) -> None:
        """See `Tracker`."""
        self._run.finish(exit_code=0 if ending == "completed" else 1)


class Follower:
    """Tells one tracker what it does not know yet, in a thread of its own: it may be slow, hang, or be gone.

    An epoch that could not be told is told with the next one, or with those of the next call.
    """

    def __init__(self, name: str, open_run: Callable[[Tracked, str | None], Tracker], run: Tracked) -> None:
        self._note = run.folder / f"{name}.json"
        known = json.loads(self._note.read_text(encoding="utf-8")) if self._note.exists() else {}
        self._key: str | None = known.get("run")
        self._told: int = known.get("epochs", 0)
        self._open_run, self._run = open_run, run
        self._tracker: Tracker | None = None
        self._values: dict[int, Mapping[str, float]] = {}
        self.name, self._error, self._ended = name, "", False
        self._beside = Beside(name, self._failed)

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """A whole epoch's values; of an epoch that was told before, nothing is sent."""
        self._values[epoch] = values
        self._beside.put("tell", self._tell)

    def end(self, ending: Ending, wait_s: float) -> str | None:
        """How the training ended. Waits until the tracker knows it, at most `wait_s`; says why it does not."""
        self._beside.put("end", partial(self._end, ending))
        self._beside.close(wait_s)
        return None if self._ended else self._error or f"no answer in {wait_s:.0f} s"

    def _tell(self) -> Tracker:
        if self._tracker is None:
            self._tracker = self._open_run(self._run, self._key)
            if self._tracker.key != self._key:
                self._key, self._told = self._tracker.key, 0
        for epoch, values in sorted(self._values.copy().items()):
            if epoch > self._told:
                self._tracker.epoch(epoch, values)
                self._told = epoch
        write_text_atomically(self._note, json.dumps({"run": self._key, "epochs": self._told}))
        return self._tracker

    def _end(self, ending: Ending) -> None:
        self._tell().end(ending)
        self._ended = True

    def _failed(self, error: Exception) -> None:
        self._error = str(error)


_TRACKERS: dict[str, tuple[str, type[Tracker]]] = {
    "mlflow": ("MLFLOW_TRACKING_URI", Mlflow),
    "wandb": ("WANDB_PROJECT", Wandb),
}


def followers(run: Tracked, warn: Callable[[str], object]) -> list[Follower]:
    """Those of the trackers that the environment asks for. `warn` hears of one that is not installed."""
    found = []
    for name, (variable, tracker) in _TRACKERS.items():
        if not os.environ.get(variable):
            continue
        if find_spec(name) is None:
            warn(
                f"{variable} is set, and the package {name} is not installed; the training goes on without it: "
                f"pip install {name}, or unset {variable}"
            )
            continue
        found.append(Follower(name, tracker, run))
    return found
