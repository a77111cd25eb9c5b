r"""Soundness terms of a proof: what each random choice of the verifier is worth, in bits.

Two kinds of terms. The *query phase* depends on the distance at which FRI is analysed; four
regimes are reported side by side because no single one is both proven and what deployments assume:

  formula   every query worth the full rate, B bits: the conjecture up to capacity behind stwo's own
            figure. Refuted as stated (ePrint 2025/2010, 2025/2046, 2025/2055).
  elias     distance d with d + H2(d) / log2 q = 1 - rho, worth -log2(1 - d); q = 2^31 (base field)
            as the conservative choice. A conjecture.
  johnson   B/2 bits in the limit. Proven below the limit: at multiplicity m the distance is
            1 - sqrt(rho) (1 + 1/(2m)). The total uses the m that makes the minimum largest.
  unique    half the minimum distance, worth -log2((1 + rho) / 2). Proven.

The *algebraic* terms, for a field of F = p^4 elements, a domain of D = 2^(L+B) points, list size l
and proximity loss a(n) (the bad challenges for a line of words of length n):

  constraints   l (N - 1) / F: powers of one challenge combine N constraints (protocol section 10).
  oods          l 3 2^L / F: degree-3 constraints on 2^L rows give a circle function of at most
                3 2^L zeros (section 10; ethSTARK, ePrint 2021/582, DEEP-ALI).
  logup         l K max(1, A) / F: K fractions with denominators of degree at most A in the relation
                elements, Schwartz-Zippel (section 11; ePrint 2022/1530). 0 bits if K >= p, where
                multiplicities wrap around.
  deep          (M - 1) a(D) / F: powers of one challenge combine M opened values, the extra
                periodicity samples included (section 9.2; batched FRI, ePrint 2020/654).
  fold          sum over FRI layers of (2^t - 1) a(D_i / 2^t) / F: a layer of D_i values folded t
                times is a combination of 2^t words by powers of one challenge (section 8).

with   unique            l = 1,  a(n) = n                      (ePrint 2020/654, theorem 4.1)
       johnson at m      l = (m + 1/2) / sqrt(rho),
                         a(n) = (2 (m+1/2)^5 + 3 (m+1/2) g rho) / (3 rho^(3/2)) n + l
                         for distance g                        (ePrint 2025/2055, theorem 4.2)
       formula, elias    l = 1,  a(n) = n: no theorem; the optimistic choice, since both are what
                         holds at the smallest distance.

The theorems are about Reed-Solomon codes; the circle code is taken to behave as one of the same
rate (Circle STARKs, ePrint 2024/278). Proof of work counts in the query phase only: it is ground
after the last FRI challenge. Hash collisions (128 bits) lie above every term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxstark.fields.m31 import P
from jaxstark.fields.qm31 import DEGREE
from jaxstark.params import ProofParams
from jaxstark.shape import ProofShape

FIELD_BITS = DEGREE * math.log2(P)
TERMS = ("query", "constraints", "oods", "logup", "deep", "fold")
REGIMES = ("formula", "elias", "johnson", "unique")
STATUS = {
    "formula": "conjecture, refuted as stated",
    "elias": "conjecture",
    "johnson": "proven",
    "unique": "proven",
}
_MULTIPLICITIES = range(3, 65)
_DEGREE = 3  # of constraints, and so of the composition identity in 2^L


@dataclass(frozen=True)
class RegimeSecurity:
    """The terms of one regime, in bits.

    Attributes:
      regime: its name in ``REGIMES``.
      status: how well founded it is.
      limit: query-phase bits at the radius that names the regime, as usually quoted.
      query: query-phase bits at the radius analysed; below ``limit`` for ``johnson`` only.
      constraints, oods, logup, deep, fold: algebraic terms; infinite where there is no such step.
      multiplicity: m of the Johnson analysis, else None.
    """

    regime: str
    status: str
    limit: float
    query: float
    constraints: float
    oods: float
    logup: float
    deep: float
    fold: float
    multiplicity: int | None = None

    @property
    def total(self) -> float:
        """The least of the terms."""
        return min(getattr(self, term) for term in TERMS)

    @property
    def weakest(self) -> str:
        """Name of the least term."""
        return min(TERMS, key=lambda term: getattr(self, term))


@dataclass(frozen=True)
class SecurityReport:
    """All regimes for one shape and one set of parameters; index it by regime name.

    Attributes:
      params: the parameters.
      log_size: L of the shape.
      regimes: in the order of ``REGIMES``.
    """

    params: ProofParams
    log_size: int
    regimes: tuple[RegimeSecurity, ...]

    def __getitem__(self, regime: str) -> RegimeSecurity:
        return self.regimes[REGIMES.index(regime)]

    def lines(self) -> list[str]:
        """A table of all terms in bits, rounded down to a tenth, for printing."""
        p = self.params
        out = [
            f"security in bits: 2^{self.log_size} rows, blow-up {1 << p.log_blowup}, "
            f"{p.n_queries} queries, {p.pow_bits} PoW bits, fold step {p.fold_step}",
            f"{'':<14}" + "".join(f"{name:>9}" for name in REGIMES),
        ]
        for term in ("limit", *TERMS, "total"):
            label = {"limit": "query, limit"}.get(term, term)
            values = "".join(f"{_round(getattr(r, term)):>9}" for r in self.regimes)
            out.append(f"{label:<14}" + values)
        out.append(f"{'least term':<14}" + "".join(f"{r.weakest:>9.9}" for r in self.regimes))
        out += [f"{r.regime}: {r.status}{_note(r)}" for r in self.regimes]
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())


def security(params: ProofParams, shape: ProofShape) -> SecurityReport:
    """All soundness terms for proofs of a shape; the module's docstring has the formulas.

    Raises ``ValueError`` if the shape is too small for the parameters.
    """
    rho = 2.0**-params.log_blowup
    unique = (1 + rho) / 2
    per_query = {"formula": rho, "elias": 1 - elias_distance(rho), "unique": unique}
    found = {
        name: _regime(params, shape, name, agreement, agreement, list_size=1.0)
        for name, agreement in per_query.items()
    }
    johnson = (_johnson(params, shape, m) for m in _MULTIPLICITIES)
    found["johnson"] = max(johnson, key=lambda regime: regime.total)
    return SecurityReport(params, shape.log_size, tuple(found[name] for name in REGIMES))


def elias_distance(rho: float, log_q: float = 31.0) -> float:
    """The d with ``d + H2(d) / log_q = 1 - rho``: the list-decoding capacity of rate rho."""
    low, high = 0.0, 1 - rho
    for _ in range(100):
        d = (low + high) / 2
        entropy = -d * math.log2(d) - (1 - d) * math.log2(1 - d)
        low, high = (d, high) if d + entropy / log_q < 1 - rho else (low, d)
    return low


def deep_values(shape: ProofShape) -> int:
    """M: opened values with one periodicity sample for every two-sample column."""
    masks = [mask for tree in shape.all_offsets for mask in tree]
    return sum(len(mask) + (len(mask) == 2) for mask in masks)


def _johnson(params: ProofParams, shape: ProofShape, m: int) -> RegimeSecurity:
    rho = 2.0**-params.log_blowup
    root, half = math.sqrt(rho), m + 0.5
    agreement = root * (1 + 1 / (2 * m))
    per_point = (2 * half**5 + 3 * half * (1 - agreement) * rho) / (3 * rho * root)
    list_size = half / root
    return _regime(
        params, shape, "johnson", root, agreement, list_size, per_point, list_size, multiplicity=m
    )


def _regime(
    params: ProofParams,
    shape: ProofShape,
    name: str,
    limit: float,
    agreement: float,
    list_size: float,
    loss_per_point: float = 1.0,
    loss: float = 0.0,
    multiplicity: int | None = None,
) -> RegimeSecurity:
    """The terms for words that agree with the code on at most a share ``agreement``.

    The proximity loss is ``a(n) = loss_per_point n + loss``.
    """

    def queries(share: float) -> float:
        return params.pow_bits - params.n_queries * math.log2(share)

    def bits(count: float) -> float:
        """Of an event with ``count`` bad values of one challenge."""
        return max(0.0, FIELD_BITS - math.log2(count)) if count > 0 else math.inf

    log_domain = shape.log_size + params.log_blowup
    fold, done = 0.0, 0
    for step in params.fri_steps(shape.log_size):
        done += step
        fold += ((1 << step) - 1) * (loss_per_point * 2.0 ** (log_domain - done) + loss)
    logup = list_size * shape.n_lookups * max(1, shape.max_arity)
    return RegimeSecurity(
        regime=name,
        status=STATUS[name],
        limit=queries(limit),
        query=queries(agreement),
        constraints=bits(list_size * (shape.n_constraints - 1)),
        oods=bits(list_size * _DEGREE * 2.0**shape.log_size),
        logup=0.0 if shape.n_lookups >= P else bits(logup),
        deep=bits((deep_values(shape) - 1) * (loss_per_point * 2.0**log_domain + loss)),
        fold=bits(fold),
        multiplicity=multiplicity,
    )


def _round(bits: float) -> str:
    return "-" if math.isinf(bits) else f"{math.floor(bits * 10 + 1e-9) / 10:.1f}"


def _note(regime: RegimeSecurity) -> str:
    return f" (multiplicity {regime.multiplicity})" if regime.multiplicity else ""
