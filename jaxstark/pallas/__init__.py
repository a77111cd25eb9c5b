"""Kernels for NVIDIA GPUs in Pallas (Mosaic GPU, Lane semantics), one folder per operation.

Each operation has an XLA form elsewhere in the package with the same result, bit for bit. Nothing
here chooses between the two: ``probe.supported()`` says whether the device runs these kernels,
and each ``api`` module says which shapes it takes and refuses all others.
"""
