"""Values out of domain: ``api`` to call, ``mosaic_gpu`` the kernels, ``config`` sizes.

The reference is ``jaxstark.oods``.
"""
