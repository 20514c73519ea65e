"""INFusion's prior and loss over plain voxels: what does its network add?"""

from recon.methods.infusion import over

METHOD = over("voxels", "Voxels with INFusion's prior and loss", "#7b4173", "3")
