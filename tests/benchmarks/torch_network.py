"""The network `resnet18_unet` in PyTorch, for the benchmark on a graphics card."""

import torch
from torch import nn
from torch.nn import functional

_PRIORS = (0.9919, 0.0063, 0.0018)


class _ConvNorm(nn.Sequential):
    def __init__(self, before: int, after: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> None:
        conv = nn.Conv3d(before, after, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        norm = nn.BatchNorm3d(after, eps=1e-5, momentum=0.05)
        super().__init__(conv, norm, *([nn.ReLU(inplace=True)] if relu else []))


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.one, self.two = _ConvNorm(before, after, stride=stride), _ConvNorm(after, after, relu=False)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else _ConvNorm(before, after, 1, stride, relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.two(self.one(x)) + self.shortcut(x))


class ResNetUNet(nn.Module):
    """Takes `(batch, 1, x, y, z)`, gives logits of `(batch, 3, x, y, z)`."""

    def __init__(self, filters: int = 64, classes: int = 3) -> None:
        super().__init__()
        self.stem = _ConvNorm(1, filters, 7, 2)
        widths = [filters * 2**stage for stage in range(4)]
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(before, after, 2 if stage else 1), _Block(after, after, 1))
            for stage, (before, after) in enumerate(zip([filters, *widths], widths, strict=False))
        )
        skips, before, levels = [widths[2], widths[1], widths[0], filters, 0], widths[3], []
        for level, skip in enumerate(skips):
            after = filters * 4 // 2**level
            levels.append(nn.Sequential(_ConvNorm(before + skip, after), _ConvNorm(after, after)))
            before = after
        self.levels = nn.ModuleList(levels)
        self.head = nn.Conv3d(before, classes, 3, padding=1)
        nn.init.normal_(self.head.weight, std=0.01)
        self.head.bias.data = torch.tensor(_PRIORS).log()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        skips = [x]
        x = functional.max_pool3d(x, 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        x = skips.pop()
        for level in self.levels:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = level(torch.cat([x, skips.pop()], 1) if skips else x)
        return self.head(x)


def focal_tversky(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The reference recipe's loss: 0.7 missed, 0.3 false alarms, exponent 0.75, per sample, without background."""
    found = logits.softmax(1)
    truth = functional.one_hot(labels, found.shape[1]).movedim(-1, 1).to(found.dtype)
    axes = (2, 3, 4)
    hit = (truth * found).sum(axes)
    missed, false = truth.sum(axes) - hit, found.sum(axes) - hit
    tversky = (hit + 1) / (hit + 0.7 * missed + 0.3 * false + 1)
    return ((1 - tversky)[:, 1:].clamp_min(1e-7) ** 0.75).mean()
