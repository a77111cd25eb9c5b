"""The prover whose stages stay on a GPU: pure functions over kernels, in one program if wished.

``protocol`` is the proof as one function, ``stages`` its parts, ``program`` what is fixed before
it runs, ``record`` its messages and the proof made of them. ``jaxstark.prover`` chooses it.
"""

from jaxstark.resident.driver import commit_fixed, load, prove
from jaxstark.resident.program import Program

__all__ = ["Program", "commit_fixed", "load", "prove"]
