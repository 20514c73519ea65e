"""The convolutional layers of VGG-16 and AlexNet, with the weights that LPIPS gives their features.

Sources: Simonyan and Zisserman 2015; Krizhevsky 2014; Zhang et al. 2018 (LPIPS). Their weights are
large and have licences of their own, so they are not shipped and never downloaded. A file holds the
tensors ``features.N.weight`` and ``features.N.bias`` as torchvision names them, and LPIPS's
``linK.model.1.weight``.
"""

import re
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from recon.errors import ReconError

Name = Literal["vgg", "alex"]
# Channels of a 3×3 convolution, "M" a pooling that halves the size, "T" a ReLU whose output counts.
VGG = (64, 64, "T", "M", 128, 128, "T", "M", 256, 256, 256, "T")
VGG += ("M", 512, 512, 512, "T", "M", 512, 512, 512, "T")
# (channels, size, stride, padding) of the convolutions of AlexNet. All their outputs count, and
# poolings follow the first two.
ALEX = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
# Of the colours, in [-1, 1], on which the backbones were trained (LPIPS).
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class Backbone(nn.Module):
    """The layers whose features LPIPS compares, and the weights of their channels."""

    def __init__(self, name: Name):
        super().__init__()
        self.features, self.taps, widths = vgg() if name == "vgg" else alex()
        self.weights = nn.ParameterList(torch.ones(1, width, 1, 1) for width in widths)
        self.requires_grad_(False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c p q"]]:
        """Features of every layer that counts, for images in [-1, 1]."""
        shift, scale = (images.new_tensor(v).view(3, 1, 1) for v in (SHIFT, SCALE))
        h, found = (images - shift) / scale, []
        for place, layer in enumerate(self.features):
            h = layer(h)
            if place in self.taps:
                found.append(h)
        return found


def vgg() -> tuple[nn.Sequential, list[int], list[int]]:
    """The convolutions of VGG-16, the places of the layers that count, and their widths."""
    layers, taps, widths, width = [], [], [], 3
    for part in VGG:
        if part == "T":
            taps.append(len(layers) - 1)
            widths.append(width)
        elif part == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(width, int(part), 3, padding=1), nn.ReLU()]
            width = int(part)
    return nn.Sequential(*layers), taps, widths


def alex() -> tuple[nn.Sequential, list[int], list[int]]:
    """The convolutions of AlexNet, the places of the layers that count, and their widths."""
    layers, taps, width = [], [], 3
    for place, (channels, size, stride, padding) in enumerate(ALEX):
        layers += [nn.Conv2d(width, channels, size, stride, padding), nn.ReLU()]
        taps.append(len(layers) - 1)
        if place < 2:
            layers.append(nn.MaxPool2d(3, 2))
        width = channels
    return nn.Sequential(*layers), taps, [channels for channels, *_ in ALEX]


def expected(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors that a file of weights must hold."""
    state = backbone.state_dict()
    return {
        re.sub(r"^weights\.(\d)$", r"lin\1.model.1.weight", k): tuple(v.shape)
        for k, v in state.items()
    }


def check(name: Name, path: Path | str | None) -> None:
    """Refuses a file that does not hold the weights of a backbone, without reading them."""
    if path is None:
        raise ReconError(f"distance {name} needs the weights of its backbone; {how(name)}")
    if not Path(path).is_file():
        raise ReconError(f"{path}: no such file of weights for the distance {name}; {how(name)}")
    try:
        with safe_open(path, "pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ReconError(f"{path}: not a safetensors file; {how(name)}") from error
    with torch.device("meta"):  # shapes alone
        bare = Backbone(name)
    for key, shape in expected(bare).items():
        if found.get(key) != shape:
            size = "×".join(map(str, shape))
            wrong = f"{key} of {size} is missing or has another shape"
            raise ReconError(f"{path}: {wrong}, so it holds no {name} backbone; {how(name)}")


def how(name: Name) -> str:
    """Where the weights of a backbone come from, in one line."""
    model = "vgg16" if name == "vgg" else "alexnet"
    return (
        f"set backbone to a safetensors file with the features.* of torchvision's {model} and the "
        f"lin*.model.1.weight of LPIPS 0.1 ({name}), or take the distance features"
    )


def load(name: Name, path: Path | str | None) -> Backbone:
    """A backbone with the weights of a file. Raises `ReconError`, see `check`."""
    check(name, path)
    held, backbone = load_file(path), Backbone(name)
    named = zip(backbone.state_dict(), expected(backbone), strict=True)
    backbone.load_state_dict({key: held[theirs].float() for key, theirs in named})
    return backbone
