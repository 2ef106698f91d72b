"""A residual-encoder 3-D U-Net in nnU-Net's proportions.

Isensee et al. 2024 (arXiv:2404.09556), `ResEnc`: levels, strides and channels of `plain_unet`, the encoder of basic
residual blocks behind a convolution at the full grid, 1, 3, 4, 6, 6 and 6 of them a level; the decoder has one
convolution a level.
"""

from typing import Any

from kits_core.network.architectures.plain_unet import decoded, encoded
from kits_core.network.architectures.resnet18_unet import basic_block
from kits_core.network.style import Style

_BLOCKS = (1, 3, 4, 6, 6, 6)


def levels(image: Any, filters: int, classes: int, style: Style) -> dict[int, Any]:
    """The decoder's features by their stride. `filters`: channels of the first level."""

    def level(x: Any, number: int, width: int, stride: int) -> Any:
        for block in range(_BLOCKS[number - 1]):
            x = basic_block(x, width, 1 if block else stride, style, name=f"encoder{number}_block{block + 1}")
        return x

    stem = style.conv_norm_relu(image, filters, kernel=3, strides=1, name="stem")
    return decoded(encoded(stem, filters, level), classes, style, convolutions=1)
