"""The networks that can be trained: each module here is one, called by its name.

The first line of its docstring is what a paper's methods call it. Its function `levels(image, filters, classes, style)`
gives the decoder's features, Keras tensors by their stride: 1, and those of `segmentation.DEEP_STRIDES`. `image`:
`(batch, n, n, n, 1)`, n a multiple of `segmentation.LARGEST_STRIDE`. `filters`: the setting of that name. `classes`: no
level needs fewer channels. `style`: makes the layers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kits_core.registry import Registry

if TYPE_CHECKING:
    from kits_core.network.style import Style

ARCHITECTURES: "Registry[Callable[[Any, int, int, Style], dict[int, Any]]]" = Registry(__name__, "levels")
