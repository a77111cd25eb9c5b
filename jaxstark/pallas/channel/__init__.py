"""The hashes of the Blake2s channel on a device: ``api`` to call, ``mosaic_gpu`` the kernels.

The reference is ``jaxstark.channel.Blake2sChannel``. There is nothing to tune.
"""
