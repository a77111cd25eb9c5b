"""DEEP quotients: ``api`` to call, ``mosaic_gpu`` the kernel, ``schedule`` what each launch does.

``config`` holds sizes. The reference is ``jaxstark.deep``.
"""
