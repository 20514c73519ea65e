"""The variational method over an implicit network (paper A, 2.2)."""

from recon.methods.variational import over

METHOD = over("implicit", "Implicit network (paper A)", "#999933", "p")
