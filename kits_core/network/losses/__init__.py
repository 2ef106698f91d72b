"""The losses that can be minimised: each module here is one, called by its name.

The first line of its docstring is what a paper's methods call it. Its function `loss_of(config)` makes the loss, a
`keras.losses.Loss`, from a `TrainingConfig`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kits_core.registry import Registry

if TYPE_CHECKING:
    from kits_core.network.config import TrainingConfig

LOSSES: "Registry[Callable[[TrainingConfig], Any]]" = Registry(__name__, "loss_of")
