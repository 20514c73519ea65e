"""The variational method over complex 3D Gaussians (paper A, 2.3)."""

from recon.methods.variational import over

METHOD = over("gaussians", "Gaussians (paper A)", "#882255", "d")
