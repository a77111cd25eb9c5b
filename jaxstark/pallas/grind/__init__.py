"""Proof of work on the GPU: ``api`` to call, ``mosaic_gpu`` the kernel, ``config`` sizes.

The reference is ``jaxstark.grind``.
"""
