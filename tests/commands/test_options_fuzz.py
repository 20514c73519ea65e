"""No options end in a traceback: a volume is written, or one line says why not.

`hypothesis` draws options and values, sensible and odd. ``make fuzz`` tries more of them.
"""

import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon import methods, phantoms
from recon.__main__ import main
from recon.commands.asking import COUNTERS, MASKS
from recon.mri import fourier
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import save_weights
from recon.priors.ddpm import DDPM, DDPMTraining

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 150))
NUMBERS = ["0", "1", "2", "3", "-1", "1.5", "nan", "inf", "1e400", "", "x", str(10**20), "0.01"]
NUMBERS += ["--5", "-", "9" * 5000]
NAMES = ["x,y", "coil,x,y", "coil,x,y,z", "x,y,coil", "coil,x,x", ",", "coil,x,y,slice", "é", ""]
FILES = [
    "scan.npy",
    "maps.npy",
    "absent.npy",
    "flat.npy",
    "new.npy",
    "new.cfl",
    ".",
    "p.safetensors",
]
FEW = {"iterations": "2", "steps": "2", "cg_iterations": "2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Scans, maps and a tiny prior."""
    folder = tmp_path_factory.mktemp("options")
    image = phantoms.subject("knee", 1).render((16, 18, 8))[..., 4:5]
    maps = phantoms.coil_maps(3, (16, 18, 8), phantoms.FOV["knee"], 1)[..., 4:5]
    kspace = fourier.fft(maps * image) + phantoms.complex_noise(
        maps.shape, 0.01, torch.Generator().manual_seed(0)
    )
    np.save(folder / "scan.npy", kspace.numpy())
    np.save(folder / "flat.npy", kspace[..., 0].numpy())
    np.save(folder / "maps.npy", maps.numpy())
    network = UNetConfig(channels=8, multipliers=(1,), attention=())
    save_weights(folder / "p.safetensors", DDPMTraining(network=network), DDPM(UNet(network)), {})
    return folder


@st.composite
def arguments(draw) -> list[str]:
    """An input, an output and up to five options."""
    method = draw(st.sampled_from([*methods.names(), "magic", ""]))
    out = [
        draw(st.sampled_from(["scan.npy", "flat.npy", "maps.npy", "absent.npy", "."])),
        draw(st.sampled_from(["o.nii.gz", "o.nii", "o.png", "x/o.nii", ".nii"])),
    ]
    if draw(st.booleans()):
        out += ["--method", method]
        known = methods.names()
        if method in known:
            kept = vars(methods.lookup(method).settings())
            for key in FEW:
                out += ["--set", f"{key}={FEW[key]}"] * (key in kept)
            if methods.lookup(method).needs and draw(st.booleans()):
                out += ["--prior", "p.safetensors"]
            if kept and draw(st.booleans()):
                key = draw(st.sampled_from(list(kept)))
                out += ["--set", f"{key}={draw(st.sampled_from([*NUMBERS, 'haar', 'annealed']))}"]
    out += draw(st.sampled_from([["--no-tune"], ["--trials", "3"], ["--tune", "--trials", "3"]]))
    number, file = st.sampled_from(NUMBERS), st.sampled_from(FILES)
    one = st.one_of(
        st.tuples(st.sampled_from([flag for flag, _ in COUNTERS.values()]), number),
        st.tuples(st.sampled_from(["--acceleration", "--coils", "--seed"]), number),
        st.tuples(st.just("--mask"), st.sampled_from(MASKS)),
        st.tuples(st.just("--calibration"), number, number),
        st.tuples(st.just("--voxel"), number, number, number),
        st.tuples(st.just("--axes"), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["--maps", "--save-maps", "--prior"]), file),
        st.tuples(st.just("--espirit"), st.sampled_from(["crop=0.9", "sets=2", "kernel=", "a"])),
        st.tuples(st.sampled_from(["--set", "--network"]), st.sampled_from(["a=b", "=", "a", ""])),
        st.tuples(st.sampled_from(["--trials", "--samples"]), st.sampled_from(["2", "-1", "x"])),
        st.tuples(st.just("--variable"), st.sampled_from(["kspace", ""])),
        st.tuples(st.just("--device"), st.sampled_from(["cpu", "cuda", "cuda:9", "", "x"])),
        st.tuples(st.just("--partial-fourier"), st.sampled_from(["pocs", "zero"])),
        st.tuples(st.sampled_from(["--all", "--force", "--complex", "--phase"])),
    )
    for option in draw(st.lists(one, max_size=5)):
        out += option
    return out


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(given_options=arguments())
def test_options_give_a_volume_or_one_line(given_options, folder, monkeypatch, capsys, unchecked):
    monkeypatch.chdir(folder)
    for path in (
        *folder.glob("o*.nii*"),
        *folder.glob("o*.json"),
        *folder.glob("o*.png"),
        *folder.glob("new.*"),
    ):
        path.unlink()
    capsys.readouterr()
    try:
        status = main(["reconstruct", *given_options])
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    written = list(folder.glob("o*.nii*"))
    if status == 0:
        assert written and np.isfinite(written[0].stat().st_size)
    else:
        assert status == 2 and not written
        lines = [line for line in said.err.splitlines() if "min left" not in line]
        assert len(lines) == 1 and lines[0].startswith("recon: ")
