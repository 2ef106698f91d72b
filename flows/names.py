"""The names of runs, made of what was asked for: given by a flow as it begins, and by `kits up` while a run waits."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

import flows.parameters as declared
from flows.parameters import Parameters
from kits_core.errors import KitsError

PARAMETERS = {
    found.FLOW: found
    for found in vars(declared).values()
    if isinstance(found, type) and issubclass(found, Parameters) and hasattr(found, "FLOW")
}
"""By the flow's name."""


def name_of_run(flow: str, stored: Mapping[str, Any]) -> str | None:
    """The name that a run of a flow will have, by its stored parameters; None where these are no parameters of it."""
    parameters = PARAMETERS.get(flow)
    if parameters is None:
        return None
    try:
        return parameters.RUN.format(parameters=parameters.model_validate(stored.get("parameters", {})))
    except (ValidationError, KitsError):
        return None  # the run itself says why
