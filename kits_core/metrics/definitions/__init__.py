"""The metrics that are measured: each module here is one, called as it is stored, with a `METRIC`."""

from kits_core.metrics.metric import Metric
from kits_core.registry import Registry

DEFINITIONS: Registry[Metric] = Registry(__name__, "METRIC")
