"""MoDL (Aggarwal et al. 2019), an unrolled network trained on scans with references."""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, checked, ignore
from recon.mri.problem import Problem
from recon.networks.modl import ModlReconstructor


@checked
class ModlSettings:
    """This method has no settings; its network has all."""


@torch.no_grad()
def modl(
    problem: Problem,
    network: ModlReconstructor,
    settings: ModlSettings = ModlSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """MoDL: a network on slices that are independent of one another, and a data step, in turn.

    They lie across z where whole lines were measured, and in a stack, else across the readout. See
    `recon.networks.modl`.
    """
    return network.reconstruct(problem)


METHOD = Method(modl, ModlSettings, "MoDL", "#843c39", "x", needs={"network": "modl"})
