"""The physics of MRI, from the scan to the reconstruction problem.

Here live the records (`scan`, `prepared`, `problem`), the forward model and its solvers (`sense`,
`solvers`), the transforms (`fourier`, `wavelets`, `resample`, `slices`), the receive coils
(`coils`, `channels`), the undersampling masks (`masks`) and the image quality (`metrics`).

A new mask is one function and one entry in `masks.KINDS`. A new metric is one function and one line
in `metrics.all_metrics`.
"""
