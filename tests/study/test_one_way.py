"""The command line and the experiments take the same way from a scan to a problem."""

import zlib

import numpy as np
import torch

from recon.__main__ import parser
from recon.commands.reconstruct import undersampling
from recon.io import read_scan
from recon.mri import fourier
from recon.mri.problem import pose_scan
from recon.study.config import Config
from recon.study.study import Study
from tests.conftest import complex_normal


def test_the_same_scan_becomes_the_same_problem(scene, tmp_path, generator):
    """Whitened, compressed, undersampled and scaled alike, with equal maps, to the last digit."""
    image, maps = scene
    kspace = torch.stack([fourier.fft(s * image) for s in maps])
    mixing = torch.eye(4) + 0.3 * complex_normal(4, 4, generator=generator)
    noise = 0.01 * mixing @ complex_normal(4, 500, generator=generator)
    path = tmp_path / "s1.npz"
    np.savez(path, kspace=kspace.numpy(), noise=noise.numpy(), voxel=np.array([2.0, 2.0, 2.0]))
    data = {"kind": "kspace", "path": str(tmp_path), "pattern": "*.npz", "label": "scan"}
    data |= {"train": [], "validation": ["s0"], "test": ["s1"], "virtual_coils": 3}
    mask = {"kind": "poisson_disc", "calibration": (12, 12), "seed": 5}
    options = {"mask": mask, "comparisons": {}, "tuning": {"subjects": 1}}
    config = Config(name="mine", title="", datasets={"d": data}, **options)
    studied = Study(config, tmp_path).problem("d", "s1", 3.0)

    seed = 5 + zlib.crc32(b"s1")
    wanted = [
        "--acceleration",
        "3",
        "--calibration",
        "12",
        "12",
        "--coils",
        "3",
        "--seed",
        str(seed),
    ]
    options = parser().parse_args(["reconstruct", str(path), "out.nii.gz", *wanted])
    scan = read_scan(path)
    posed = pose_scan(scan, options.coils, undersampling(scan, options))
    assert torch.equal(studied.operator.mask, posed.operator.mask)
    assert torch.equal(studied.operator.maps, posed.operator.maps)
    assert torch.equal(studied.kspace, posed.kspace) and torch.equal(studied.rhs, posed.rhs)
    assert studied.noise == posed.noise and studied.scale == posed.scale
