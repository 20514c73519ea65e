"""The variational method on a voxel grid, with slices interpolated linearly (paper A, 2.1)."""

from recon.methods.variational import over

METHOD = over("voxels", "Trilinear grid (paper A)", "#332288", "<")
