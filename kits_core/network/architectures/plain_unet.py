"""A plain 3-D U-Net in nnU-Net's proportions.

Isensee et al. 2021 (doi:10.1038/s41592-020-01008-z): two 3-wide convolutions a level, the grid halved by the first one
of a level until a side has 4 to 7 voxels, at most five times; channels doubled at each level up to ten times the first
one's (32 and 320 there). Its first level is at the image's full grid, where `resnet18_unet` begins at half of it.
"""

from collections.abc import Callable
from typing import Any

from kits_core.network.style import Style

_SMALLEST_SIDE = 4
_MOST_HALVINGS = 5
_MOST_CHANNELS = 10  # times those of the first level

Level = Callable[[Any, int, int, int], Any]
"""`(x, number of the level, filters, stride of its first convolution)` to the level's features."""


def levels(image: Any, filters: int, classes: int, style: Style) -> dict[int, Any]:
    """The decoder's features by their stride. `filters`: channels of the first level."""

    def level(x: Any, number: int, width: int, stride: int) -> Any:
        return _two_convolutions(x, width, stride, style, f"encoder{number}")

    return decoded(encoded(image, filters, level), classes, style, convolutions=2)


def encoded(image: Any, filters: int, level: Level) -> list[Any]:
    """Every level's features, the finest first, each at half the grid of the one before."""
    halvings = min(_MOST_HALVINGS, (image.shape[1] // _SMALLEST_SIDE).bit_length() - 1)
    found, x = [], image
    for number in range(halvings + 1):
        x = level(x, number + 1, filters * min(2**number, _MOST_CHANNELS), 2 if number else 1)
        found.append(x)
    return found


def decoded(features: list[Any], classes: int, style: Style, *, convolutions: int) -> dict[int, Any]:
    """From the coarsest level up: doubled, joined with the encoder's, convolved. The features by their stride."""
    found = {}
    *skips, x = features
    for number in reversed(range(len(skips))):
        width = max(skips[number].shape[-1], classes)
        x = style.upsampled_conv_norm_relu([x, skips[number]], width, name=f"decoder{number + 1}_1")
        for place in range(2, convolutions + 1):
            x = style.conv_norm_relu(x, width, kernel=3, strides=1, name=f"decoder{number + 1}_{place}")
        found[2**number] = x
    return found


def _two_convolutions(x: Any, width: int, stride: int, style: Style, name: str) -> Any:
    x = style.conv_norm_relu(x, width, kernel=3, strides=stride, name=f"{name}_1")
    return style.conv_norm_relu(x, width, kernel=3, strides=1, name=f"{name}_2")
