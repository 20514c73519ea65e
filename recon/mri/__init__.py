"""The physics of MRI, from the scan to the reconstruction problem.

Here live the records (`scan`, `prepared`, `problem`), the forward model and its solvers (`sense`,
`solvers`), the transforms (`fourier`, `wavelets`, `resample`, `slices`, `fourier_slice`), the
receive coils (`coils`, `channels`, `maps`), what fills k-space by itself (`grappa`,
`partial_fourier`), the undersampling masks (`masks`), what is wrong with a scan (`centring`,
`plausibility`) and the image quality (`metrics`).

A new mask is one function and one entry in `masks.KINDS`. A new metric is one function and one line
in `metrics.all_metrics`.
"""
