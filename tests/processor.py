"""Two reconstructions of a small knee, for a test that compares processors: writes them to a file.

``python -m tests.processor FILE`` computes with whatever instructions the environment allows.
"""

import sys

import torch
from safetensors.torch import save_file

from recon import methods, phantoms
from recon.mri import masks
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.networks.weights import load_weights
from recon.schema import ROOT

SHAPE = (16, 20, 20)


def main(path: str) -> None:
    """Conjugate gradients alone, and our solver with a shipped prior."""
    torch.set_num_threads(1)
    image = phantoms.subject("knee", 1).render(SHAPE)
    maps = phantoms.coil_maps(4, SHAPE, phantoms.FOV["knee"], 1)
    maps = maps / maps.abs().square().sum(0).sqrt()
    kspace = Sense(maps, torch.ones(SHAPE[1:], dtype=torch.bool)).forward(image)
    level = 0.05 * float(torch.view_as_real(image).std())
    noise = phantoms.complex_noise(tuple(kspace.shape), level, torch.Generator().manual_seed(0))
    mask = masks.make("poisson_disc", SHAPE[1:], 3, (8, 8), 0)
    problem = Problem.build(kspace + noise, mask, maps, level)
    prior = load_weights(ROOT / "data" / "priors" / "demo_knee_4x.safetensors")[0]
    found = {"truth": image.abs().contiguous()}
    for method, network in (("cg_sense", None), ("annealed", prior)):
        found[method] = problem.unscale(methods.reconstruct(problem, method, network)).abs()
    save_file(found, path)


if __name__ == "__main__":
    main(sys.argv[1])
