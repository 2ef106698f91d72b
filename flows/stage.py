"""How a flow is declared: by its parameters, which have its name and that of its runs."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, flow

from flows.parameters import Parameters
from tasks.at_work import FLOW

P = ParamSpec("P")
R = TypeVar("R")


def stage(parameters: type[Parameters], **settings: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a flow of the function, with the hooks that all have. `settings`: more for `prefect.flow`."""
    return flow(name=parameters.FLOW, flow_run_name=parameters.RUN, **FLOW, **settings)
