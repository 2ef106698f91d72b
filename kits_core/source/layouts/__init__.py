"""The layouts that a folder of cases can have: each module here is one, called by its name, with a `LAYOUT`."""

from kits_core.registry import Registry
from kits_core.source.layout import Layout

LAYOUTS: Registry[Layout] = Registry(__name__, "LAYOUT")
