"""BLAKE2s leaves and Merkle trees: ``api`` to call, ``mosaic_gpu`` the kernels, ``config`` sizes.

The reference is ``jaxstark.merkle``, over ``jaxstark.hash.blake2s``.
"""
