"""The U-Net of fastMRI, trained on scans with references."""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, checked, ignore
from recon.mri.problem import Problem
from recon.networks.fastmri_unet import FastmriReconstructor


@checked
class FastmriUNetSettings:
    """This method has no settings; its network has all."""


@torch.no_grad()
def fastmri_unet(
    problem: Problem,
    network: FastmriReconstructor,
    settings: FastmriUNetSettings = FastmriUNetSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """A U-Net on the zero-filled slices (Zbontar et al. 2018).

    They are slices that are independent of one another: across z where whole lines were measured,
    and in a stack, else across the readout.
    It does not look at the data again, so its volume may disagree with them.
    """
    return network.reconstruct(problem)


METHOD = Method(
    fastmri_unet,
    FastmriUNetSettings,
    "U-Net (fastMRI)",
    "#637939",
    "4",
    needs={"network": "fastmri_unet"},
)
