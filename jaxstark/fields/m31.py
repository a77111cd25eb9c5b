"""The Mersenne prime field M31, p = 2^31 - 1.

One body serves every place where field elements live. An element, or a batch, is

* a Python ``int`` in ``0..p-1`` (host scalars: challenges, sampled values),
* a ``numpy.ndarray`` of dtype uint32 with at least one axis (verifier, references),
* a JAX array or tracer of dtype uint32 (XLA stages and Pallas kernels).

Python ints may be mixed with either array kind. Words are canonical, ``0..p-1``, at every module
boundary. Inside a stage the redundant word ``p`` may stand for 0: results stay correct mod p,
``mul`` always returns canonical words, and ``add`` and ``sub`` do so for canonical inputs.
Source: protocol section 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from jaxstark.fields.words import apply as _apply
from jaxstark.fields.words import is_jax as _is_jax

P = 2**31 - 1
LOG_ORDER = 31
DTYPE = np.uint32

# An int, a NumPy array or a JAX array; see the module docstring.
M31 = Any


def _reduce(s: M31) -> M31:
    """One conditional subtraction: words in ``0..2p-1`` become canonical, ``2p`` becomes p."""
    # Below p the subtraction wraps to a large word, so that the minimum keeps s.
    if not _is_jax(s):
        return np.minimum(s, s - DTYPE(P))
    from jax import lax

    return lax.min(s, lax.sub(s, DTYPE(P)))


def canonical(a: M31) -> M31:
    """Words in ``0..2^32-1`` to ``0..p-1``."""
    if isinstance(a, int):
        return a % P
    return _reduce(_reduce(_apply("add", _apply("and", a, DTYPE(P)), _apply("shr", a, DTYPE(31)))))


def fold_wide(wide: Any) -> Any:
    """A congruent word below 2^34 for any uint64 word (NumPy, or JAX in 64-bit mode)."""
    low, high = _apply("and", wide, np.uint64(P)), _apply("shr", wide, np.uint64(31))
    return _apply("add", low, high)


def from_wide(wide: Any) -> M31:
    """Canonical uint32 words from uint64 words (NumPy, or JAX in 64-bit mode)."""
    return canonical(fold_wide(fold_wide(wide)).astype(DTYPE))


def add(a: M31, b: M31) -> M31:
    """``a + b``."""
    if isinstance(a, int) and isinstance(b, int):
        return (a + b) % P
    return _reduce(_apply("add", _word(a), _word(b)))


def sub(a: M31, b: M31) -> M31:
    """``a - b``."""
    if isinstance(a, int) and isinstance(b, int):
        return (a - b) % P
    return _reduce(_apply("add", _word(a), _apply("sub", DTYPE(P), _word(b))))


def neg(a: M31) -> M31:
    """``-a``."""
    if isinstance(a, int):
        return -a % P
    return _reduce(_apply("sub", DTYPE(P), a))


def double(a: M31) -> M31:
    """``2 a``."""
    return add(a, a)


def mul(a: M31, b: M31) -> M31:
    """``a * b``."""
    if isinstance(a, int):
        if isinstance(b, int):
            return a * b % P
        a, b = b, a
    if isinstance(a, np.ndarray) and not _is_jax(b):
        t = a.astype(np.uint64) * (np.uint64(b % P) if isinstance(b, int) else b)
        return _reduce((t >> np.uint64(31)).astype(DTYPE) + (t.astype(DTYPE) & DTYPE(P)))
    import jax

    b = _word(b)
    # 2ab = 2^32 (ab >> 31) + 2 (ab & p): doubling one operand puts the high part into the upper
    # word, and the low part needs a 32-bit product only. The same form runs under XLA and in
    # Pallas kernels, where the 64-bit mode may wrap nothing but this multiplication.
    with jax.enable_x64(True):
        doubled = _cast(_apply("add", a, a), np.uint64)
        wide = _apply("mul", doubled, _cast(b, np.uint64))
        high = _cast(_apply("shr", wide, np.uint64(32)), DTYPE)
    low = _apply("and", _apply("mul", a, b), DTYPE(P))
    return _reduce(_apply("add", high, low))


def mul_doubled(a2: Any, b: M31) -> M31:
    """``a * b`` of arrays from the uint32 word ``a2 = 2 a``, with a in ``0..p``.

    A quarter less work in a butterfly than by ``mul``, where a is a twiddle used more than once.
    """
    if isinstance(a2, np.ndarray):
        wide = a2.astype(np.uint64) * b
        return _reduce((wide >> np.uint64(32)).astype(DTYPE) + (wide.astype(DTYPE) >> DTYPE(1)))
    import jax

    # As in ``mul``; the lower word is 2 (ab & p). The addend 2p stands for ab + p, and results stay
    # canonical. It costs a GPU nothing and keeps LLVM from two multiplications of 32 bits, which
    # it makes of a product of vectors, even of one lane, if its upper half is taken directly.
    with jax.enable_x64(True):
        wide = _apply("mul", _cast(a2, np.uint64), _cast(b, np.uint64))
        wide = _apply("add", wide, np.uint64(2 * P))
        high = _cast(_apply("shr", wide, np.uint64(32)), DTYPE)
        low = _cast(wide, DTYPE)
    return _reduce(_apply("add", high, _apply("shr", low, DTYPE(1))))


def sq(a: M31) -> M31:
    """``a^2``."""
    return mul(a, a)


def pow2k(a: M31, k: int) -> M31:
    """``a^(2^k)`` by k squarings."""
    for _ in range(k):
        a = sq(a)
    return a


def inv(a: M31) -> M31:
    """``1/a``, of arrays as ``a^(p-2)``; 0 gives 0 there and ``ZeroDivisionError`` for an int."""
    if isinstance(a, int):
        if a % P == 0:
            raise ZeroDivisionError("0 has no inverse in M31")
        return pow(a, -1, P)
    # p - 2 = 2^31 - 3 = 0b11...1101: an addition chain with 30 squarings and 7 products.
    t2 = mul(sq(a), a)  # exponent 0b11
    t4 = mul(pow2k(t2, 2), t2)
    t5 = mul(sq(t4), a)
    t10 = mul(pow2k(t5, 5), t5)
    t20 = mul(pow2k(t10, 10), t10)
    t25 = mul(pow2k(t20, 5), t5)
    t29 = mul(pow2k(t25, 4), t4)
    return mul(pow2k(t29, 2), a)


def is_canonical(words: np.ndarray) -> bool:
    """Whether all words are below p."""
    return bool((words < P).all()) if words.size else True


def batch_inv(a: M31) -> M31:
    """Inverses of all entries of an array along its last axis, which has ``2^k`` entries.

    A tree of products replaces all inversions but one (Montgomery's trick, in ``2k`` vector
    steps). No entry may be 0: a zero makes every inverse of its row 0.
    """
    return tree_inv(a, mul, inv)


def inv_each(items: Sequence[M31]) -> list[M31]:
    """Inverses of several elements or batches of one shape, with one ``inv`` and 3 products each.

    None may be 0: a zero makes the inverses at its place in all items 0 (an int raises).
    """
    prefix = list(accumulate(items, mul))
    rest = inv(prefix[-1])
    out = []
    for item, before in zip(items[:0:-1], prefix[-2::-1], strict=True):
        out.append(mul(rest, before))
        rest = mul(rest, item)
    return [rest, *reversed(out)]


def tree_inv(a: Any, product: Any, inverse: Any) -> Any:
    """Batch inversion over any field, from its product and inverse; see ``batch_inv``.

    ``a`` is a pytree-like tuple of arrays, or one array; the last axis is folded in halves.
    """
    size = _last(a)
    if size & (size - 1):
        raise ValueError(f"batch inversion: expected a power-of-two length, got {size}")
    levels = []
    while _last(a) > 1:
        half = _last(a) // 2
        low, high = _slice(a, 0, half), _slice(a, half, 2 * half)
        levels.append((low, high))
        a = product(low, high)
    out = inverse(a)
    for low, high in reversed(levels):
        out = _concat(product(out, high), product(out, low))
    return out


def _last(a: Any) -> int:
    return (a[0] if isinstance(a, tuple) else a).shape[-1]


def _slice(a: Any, start: int, stop: int) -> Any:
    if isinstance(a, tuple):
        return type(a)(*(x[..., start:stop] for x in a))
    return a[..., start:stop]


def _concat(a: Any, b: Any) -> Any:
    if isinstance(a, tuple):
        return type(a)(*(_concat(x, y) for x, y in zip(a, b, strict=True)))
    if isinstance(a, np.ndarray):
        return np.concatenate([a, b], axis=-1)
    import jax.numpy as jnp

    return jnp.concatenate([a, b], axis=-1)


def _cast(a: Any, dtype: Any) -> Any:
    if isinstance(a, np.generic):
        return dtype(a)
    from jax import lax

    return lax.convert_element_type(a, dtype)


def _word(a: M31) -> Any:
    return DTYPE(a % P) if isinstance(a, int) else a
