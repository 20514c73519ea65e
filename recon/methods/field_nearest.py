"""The variational method on a voxel grid, with slices of nearest voxels (paper A, 2.1)."""

from recon.methods.variational import over

METHOD = over("nearest", "Nearest grid (paper A)", "#88ccee", ">")
