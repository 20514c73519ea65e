"""The physics: scans, the forward model and its solvers, Fourier and wavelet transforms, masks,
coils, metrics.
"""
