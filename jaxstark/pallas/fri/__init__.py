"""FRI on the GPU: ``api`` to call, ``mosaic_gpu`` the kernels, ``config`` sizes.

The reference is ``jaxstark.fri``.
"""
