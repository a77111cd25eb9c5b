"""Kernels that evaluate an AIR: ``api`` to call, ``quotient`` and ``logup`` the kernels.

The constraint function of a component runs inside the kernel, on vectors of lanes (``evaluation``);
``reads`` says beforehand what it reads, ``moved`` makes masks one row back, ``config`` holds sizes.
The references are ``jaxstark.composition`` and ``jaxstark.interaction``.
"""
