"""The variational method over Gaussians with a plane wave each; ours."""

from recon.methods.variational import over

METHOD = over({"kind": "gaussians", "waves": True}, "Gabor functions (ours)", "#aa4499", "8")
