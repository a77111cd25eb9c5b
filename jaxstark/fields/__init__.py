"""M31, CM31 and QM31: one arithmetic for ints, NumPy, XLA and Pallas kernels."""
