"""Stark ECDSA signatures in plain Python, quick enough for a thousand of them.

For tests alone: it takes no care of side channels. The signature is (r, s) with r the abscissa of
k G and s = (hash + r key) / k, as the network's accounts check it.
"""

from __future__ import annotations

import hashlib
from functools import cache

from jaxstark.starknet.felts import PRIME

ORDER = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
GENERATOR = (
    0x1EF15C18599971B7BECED415A40F0C7DEACFD9B0D1819E03D723D8BC943CFCA,
    0x5668060AA49730B7BE4801DF46EC62DE53ECD11ABE43A32873000C36E8DC1F,
)
Point = tuple[int, int]


@cache
def powers() -> list[Point]:
    """``2^i G`` for i in 0..251, affine; the curve is ``y^2 = x^3 + x + b``."""
    points: list[Point] = [GENERATOR]
    for _ in range(251):
        x, y = points[-1]
        slope = (3 * x * x + 1) * pow(2 * y, -1, PRIME) % PRIME
        u = (slope * slope - 2 * x) % PRIME
        points.append((u, (slope * (x - u) - y) % PRIME))
    return points


def abscissa(k: int) -> int:
    """The abscissa of ``k G`` for k in 1..ORDER-1."""
    x, y, z = 0, 1, 0  # Jacobian; z = 0 is the point at infinity
    for i, (u, v) in enumerate(powers()):
        if not k >> i & 1:
            continue
        if z == 0:
            x, y, z = u, v, 1
            continue
        # The sum of lower powers never equals the next one, so that no case is special.
        zz = z * z % PRIME
        h = (u * zz - x) % PRIME
        r = (v * zz * z - y) % PRIME
        hh = h * h % PRIME
        hhh, w = h * hh % PRIME, x * hh % PRIME
        x = (r * r - hhh - 2 * w) % PRIME
        y = (r * (w - x) - y * hhh) % PRIME
        z = z * h % PRIME
    return x * pow(z, -2, PRIME) % PRIME


def sign(digest: int, key: int) -> tuple[int, int]:
    """A signature of a hash; the same for the same arguments."""
    for attempt in range(100):
        seed = hashlib.sha512(f"{key:x} {digest:x} {attempt}".encode()).digest()
        k = int.from_bytes(seed, "big") % (ORDER - 1) + 1
        r = abscissa(k)
        s = (digest + r * key) * pow(k, -1, ORDER) % ORDER
        if 0 < r < 1 << 251 and s and pow(s, -1, ORDER) < 1 << 251:
            return r, s
    raise ArithmeticError("no signature found")
