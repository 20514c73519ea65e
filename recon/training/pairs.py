"""Batches of undersampled slices and their references, for networks that reconstruct."""

from recon.networks.supervised import PairSource
from recon.training import Batches

BATCHES = Batches(PairSource, needs_kspace=True)
