"""What a volume is made of: representations that the variational method can optimise."""

from recon.fields.voxels import Voxels

__all__ = ["Voxels"]
