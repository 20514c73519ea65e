"""The backbones of LPIPS: their layers, and files of weights that do not fit."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from recon import ReconError, methods
from recon.networks import backbones
from recon.priors.distances import SMALLEST, lpips, of_features


def weights(name, generator, skip=()):
    shapes = backbones.expected(backbones.Backbone(name))
    return {
        key: torch.randn(shape, generator=generator) / max(1, shape[1:].numel()) ** 0.5
        for key, shape in ((k, torch.Size(s)) for k, s in shapes.items() if k not in skip)
    }


@pytest.mark.parametrize(
    ("name", "layers", "last"),
    [("vgg", 13, "features.28.weight"), ("alex", 5, "features.10.weight")],
)
def test_tensors_have_the_names_of_torchvision(name, layers, last):
    shapes = backbones.expected(backbones.Backbone(name))
    assert sum(key.startswith("features.") and key.endswith("weight") for key in shapes) == layers
    assert last in shapes and shapes["features.0.weight"][:2] == (64, 3)
    assert [k for k in shapes if "lin" in k] == [f"lin{i}.model.1.weight" for i in range(5)]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("vgg", [(64, 64), (128, 32), (256, 16), (512, 8), (512, 4)]),
        ("alex", [(64, 15), (192, 7), (384, 3), (256, 3), (256, 3)]),
    ],
)
def test_features_are_taken_after_the_layers_that_lpips_names(name, sizes):
    """relu1_2, 2_2, 3_3, 4_3 and 5_3 of VGG-16, and every ReLU of AlexNet."""
    found = backbones.Backbone(name)(torch.rand(1, 3, 64, 64))
    assert [(f.shape[1], f.shape[2]) for f in found] == sizes
    assert all((f >= 0).all() for f in found)


@pytest.mark.parametrize("name", ["vgg", "alex"])
def test_lpips_sees_differences_and_has_a_gradient(name, tmp_path, generator):
    save_file(weights(name, generator), tmp_path / "w.safetensors")
    backbone = backbones.load(name, tmp_path / "w.safetensors")
    slices = torch.randn(2, 2, 64, 64, generator=generator, requires_grad=True)
    other = torch.randn(2, 2, 64, 64, generator=generator)
    assert float(lpips(backbone, 16, slices.detach())(slices.detach()).abs().max()) < 1e-6
    lpips(backbone, 16, other)(slices).sum().backward()
    assert slices.grad.abs().sum() > 0
    assert all(p.grad is None for p in backbone.parameters())


@pytest.mark.parametrize("name", ["vgg", "alex"])
def test_slices_too_small_for_a_backbone_are_refused(name):
    backbone, smallest = backbones.Backbone(name), SMALLEST[name]
    lpips(backbone, smallest, torch.rand(1, 2, 64, smallest))
    with pytest.raises(ReconError, match="too small for this backbone"):
        lpips(backbone, smallest, torch.rand(1, 2, 64, smallest - 1))


def test_the_distance_of_features_is_that_of_its_formula():
    a = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    b = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    # (0.6, 0.8) and (1, 0); the second channel counts twice.
    weight = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert float(of_features([(a, b)], [weight])) == pytest.approx(0.16 + 2 * 0.64, rel=1e-5)
    assert float(of_features([(a, 5 * a)])) == pytest.approx(0, abs=1e-9)


def test_files_that_hold_no_backbone_are_refused_in_one_line(tmp_path, generator):
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file(
        weights("vgg", generator, skip=["lin3.model.1.weight"]), tmp_path / "part.safetensors"
    )
    save_file(weights("alex", generator), tmp_path / "alex.safetensors")
    for name, why in (
        ("none", "no such file"),
        ("text", "not a safetensors file"),
        ("part", "lin3.model.1.weight of 1×512×1×1 is missing"),
        ("alex", "features.0.weight of 64×3×3×3 is missing or has another shape"),
    ):
        with pytest.raises(ReconError, match=why) as refused:
            backbones.check("vgg", tmp_path / f"{name}.safetensors")
        assert "\n" not in str(refused.value)


def written_out(layers, tensors, slices, target):
    """LPIPS from its definition (Zhang et al. 2018, equation 1), pixel by pixel, without our code.

    ``layers`` are convolutions (stride, padding), poolings (size, stride) and "tap".
    """
    scale = target.abs().max()
    total, images = 0.0, []
    for image in (slices, target):
        colours = torch.cat([image, torch.zeros_like(image[:, :1])], 1) / scale
        mean, spread = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        images.append((colours - mean[:, None, None]) / spread[:, None, None])
    taps, place = 0, 0
    for kind, *how in layers:
        if kind == "tap":
            one, other = (h / h.pow(2).sum(1, keepdim=True).sqrt() for h in images)
            weight = tensors[f"lin{taps}.model.1.weight"][0, :, 0, 0]
            squares = torch.einsum("c,nchw->nhw", weight, (one - other) ** 2)
            total, taps = total + squares.mean((1, 2)), taps + 1
            continue
        if kind == "pool":
            images = [F.max_pool2d(h, *how) for h in images]
        else:
            w, b = (tensors[f"features.{place}.{part}"] for part in ("weight", "bias"))
            images = [F.relu(F.conv2d(h, w, b, *how)) for h in images]
        place += 1 if kind == "pool" else 2  # a convolution and its ReLU
    return total


CONV, TAP = ("conv", 1, 1), ("tap",)
LAYERS = {
    "vgg": [
        *(CONV, CONV, TAP, ("pool", 2, 2), CONV, CONV, TAP, ("pool", 2, 2), CONV, CONV, CONV, TAP),
        *(("pool", 2, 2), CONV, CONV, CONV, TAP, ("pool", 2, 2), CONV, CONV, CONV, TAP),
    ],
    "alex": [
        *(("conv", 4, 2), TAP, ("pool", 3, 2), ("conv", 1, 2), TAP, ("pool", 3, 2)),
        *(CONV, TAP, CONV, TAP, CONV, TAP),
    ],
}


def test_a_table_compares_distances_with_the_backbone_that_is_given(tmp_path, generator):
    save_file(weights("alex", generator), tmp_path / "w.safetensors")
    given = {"backbone": str(tmp_path / "w.safetensors"), "iterations": 10}
    for distance in ("features", "mse", "alex"):
        assert methods.varied("infusion", "distance", distance, given) == distance
    with pytest.raises(ReconError, match="needs the weights of its backbone"):
        methods.varied("infusion", "distance", "alex", {})
    assert methods.files_of("infusion", given) == {"backbone": tmp_path / "w.safetensors"}
    assert methods.files_of("infusion", {"backbone": None}) == {}
    assert methods.files_of("cg_sense", given) == {}


@pytest.mark.parametrize("name", ["vgg", "alex"])
def test_lpips_is_its_definition(name, tmp_path, generator):
    tensors = weights(name, generator)
    tensors |= {k: v.abs() for k, v in tensors.items() if k.startswith("lin")}
    save_file(tensors, tmp_path / "w.safetensors")
    backbone = backbones.load(name, tmp_path / "w.safetensors")
    one, other = (torch.randn(1, 2, 64, 64, generator=generator) for _ in range(2))
    expected = written_out(LAYERS[name], tensors, one, other)
    assert torch.allclose(lpips(backbone, 16, other)(one), expected, rtol=1e-4)
