"""The check at the out-of-domain point as a straight-line program over QM31.

An AIR's constraint function runs once, on expressions. Their instructions have one form, so that
one small loop on the device runs every AIR: compiled as they stand, the constraints of the machine
at one point would be tens of thousands of machine instructions that no cache holds.

The formulas of lookups are those of ``jaxstark.air.evaluate``. Source: protocol sections 8, 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jaxstark.air import evaluate
from jaxstark.air.definition import Air, Constraints, PublicValues, Relation, Row
from jaxstark.air.felt import Felt
from jaxstark.fields import m31, qm31
from jaxstark.fields.qm31 import QM31
from jaxstark.logup import elements_shape
from jaxstark.pallas.constraints.config import PointConfig
from jaxstark.pallas.constraints.reads import reads
from jaxstark.shape import INTERACTION, PREPROCESSED, TRACE, ProofShape

_MINUS_ONE = QM31(m31.P - 1, 0, 0, 0)
_I, _U = QM31(0, 1, 0, 0), QM31(0, 0, 1, 0)

# Instructions are two words of two operands, an operand 4 slot + (1 if negated).
_SLOTS = 1 << 14
# Whether it is negated, and a node of the graph or, in a program, a slot.
Operand = tuple[bool, int]
Step = tuple[Operand, Operand, Operand, Operand]


class Program(NamedTuple):
    """Instructions ``(+-a +- b) c +- d`` for one or several blocks, whose results add up.

    Slots hold QM31 values: the inputs, then the constants, then the result of every instruction in
    order. The result of a block is that of its last instruction.

    Attributes:
      inputs: ``(name, count)`` in order; names are ``samples``, ``elements``, of all relations,
        ``claims``, ``coefficient``, ``vanishing`` and ``("public", name)``, words of M31.
      constants: values of the slots that follow.
      code: uint32 ``[blocks, steps, 2]``.
    """

    inputs: tuple[tuple[Any, int], ...]
    constants: tuple[QM31, ...]
    code: np.ndarray

    @property
    def n_fixed(self) -> int:
        """Slots of inputs and constants."""
        return sum(count for _, count in self.inputs) + len(self.constants)

    @property
    def n_slots(self) -> int:
        """All slots of a block."""
        return self.n_fixed + self.code.shape[1]


class Value:
    """An expression over QM31; operators mix with ints and constant ``Felt``."""

    __slots__ = ("graph", "index")

    def __init__(self, graph: Graph, index: int) -> None:
        self.graph, self.index = graph, index

    def __add__(self, other: Any) -> Value:
        return self.graph.combine("add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.combine("sub", self, other)

    def __mul__(self, other: Any) -> Value:
        return self.graph.combine("mul", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.combine("sub", other, self)

    def __neg__(self) -> Value:
        return self.graph.combine("sub", 0, self)

    __radd__ = __add__
    __rmul__ = __mul__


_ON_CONSTANTS = {"add": qm31.add, "sub": qm31.sub, "mul": qm31.mul}


class Graph:
    """Nodes ``(kind, x, y)``, each once: operations on two nodes, ``slot`` and ``constant``.

    A node follows those that it reads.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[str, Any, Any]] = []
        self._known: dict[tuple[str, Any, Any], int] = {}

    def node(self, kind: str, x: Any, y: Any = None) -> Value:
        """The node with these contents."""
        key = (kind, x, y)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(key)
        return Value(self, self._known[key])

    def value(self, x: Any) -> Value:
        """An expression, int, QM31 constant or ``Felt`` as an expression."""
        if isinstance(x, Value):
            return x
        word = x.value if isinstance(x, Felt) else x
        if isinstance(word, Value):
            return word
        constant = word if isinstance(word, QM31) else QM31(word % m31.P, 0, 0, 0)
        return self.node("constant", constant)

    def combine(self, kind: str, x: Any, y: Any) -> Value:
        """``x + y``, ``x - y`` or ``x y``, without operations on constants, 0, 1 and -1."""
        x, y = self.value(x), self.value(y)
        a, b = self.constant(x), self.constant(y)
        if a is not None and b is not None:
            return self.value(_ON_CONSTANTS[kind](a, b))
        if kind == "mul":
            if b is not None:
                x, y, a = y, x, b
            if a in (qm31.ZERO, qm31.ONE):
                return x if a == qm31.ZERO else y
            if a == _MINUS_ONE:
                return -y
        elif b == qm31.ZERO:
            return x
        elif kind == "add" and a == qm31.ZERO:
            return y
        if kind != "sub" and x.index > y.index:
            x, y = y, x
        return self.node(kind, x.index, y.index)

    def constant(self, x: Value) -> QM31 | None:
        """The value of a constant."""
        kind, word, _ = self.nodes[x.index]
        return word if kind == "constant" else None

    def steps(self, root: Value) -> dict[int, Step]:
        """Instructions for a value, by node in the order of evaluation; the value comes last.

        A product or sum that is read once goes into the instruction that reads it, if it fits.
        """
        uses: dict[int, int] = {root.index: 0}
        for index in range(root.index, -1, -1):
            kind, *read = self.nodes[index]
            if index in uses and kind in _ON_CONSTANTS:
                for x in read:
                    uses[x] = uses.get(x, 0) + 1
        zero, one = ((False, self.value(c).index) for c in (0, 1))
        if self.nodes[root.index][0] not in _ON_CONSTANTS:
            return {root.index: ((False, root.index), zero, one, zero)}

        def once(x: int, *kinds: str) -> bool:
            return uses[x] == 1 and self.nodes[x][0] in kinds

        def pair(index: int, negated: bool) -> tuple[Operand, Operand]:
            kind, x, y = self.nodes[index]
            return (negated, x), (negated != (kind == "sub"), y)

        def product(index: int, negated: bool) -> tuple[Operand, Operand, Operand]:
            _, x, y = self.nodes[index]
            for first, second in ((x, y), (y, x)):
                if once(first, "add", "sub"):
                    return (*pair(first, negated), (False, second))
            return (negated, x), zero, (False, y)

        def step(index: int) -> Step:
            kind, x, y = self.nodes[index]
            if kind == "mul":
                return (*product(index, False), zero)
            sides = ((x, False, (kind == "sub", y)), (y, kind == "sub", (False, x)))
            for side, negated, other in sides:
                if once(side, "mul"):
                    return (*product(side, negated), other)
            for side, negated, other in sides:
                if once(side, "add", "sub"):
                    return (*pair(side, negated), one, other)
            return (*pair(index, False), one, zero)

        needed, out = {root.index}, {}
        for index in range(root.index, -1, -1):
            if index in needed and self.nodes[index][0] in _ON_CONSTANTS:
                out[index] = step(index)
                needed |= {x for _, x in out[index]}
        return dict(sorted(out.items()))


@lru_cache(maxsize=64)
def program(air: Air, shape: ProofShape, config: PointConfig) -> Program:
    """The program for ``api.defect``; ``ValueError`` if its values do not fit in a block."""
    graph = Graph()
    inputs, rules, last, coefficient = _trace(graph, air, shape)
    blocks = [graph.steps(part) for part in _parts(graph, rules, last, coefficient, config)]
    slots: dict[int, int] = {}
    constants: list[QM31] = []
    start = sum(count for _, count in inputs)
    # Constants 0 and 1 are in nearly every instruction.
    for x in (x for block in blocks for step in block.values() for _, x in step):
        kind, word, _ = graph.nodes[x]
        if kind == "slot":
            slots[x] = word
        elif kind == "constant" and x not in slots:
            slots[x] = start + len(constants)
            constants.append(word)
    length = max(map(len, blocks))
    first = start + len(constants)
    code = np.zeros((len(blocks), length, 2), np.uint32)
    size = first + length
    if size > _SLOTS or qm31.DEGREE * 4 * size + 8 * length > config.memory:
        raise ValueError(
            f"check at the point: expected up to {config.memory} bytes of shared memory and "
            f"{_SLOTS} values, got {size} values"
        )
    for rows, block in zip(code, blocks, strict=True):
        own = dict(slots)
        # Shorter blocks begin with instructions that nothing reads.
        for i, (index, step) in enumerate(block.items(), length - len(block)):
            a, b, c, d = (4 * own[x] + negated for negated, x in step)
            rows[i] = a | b << 16, c | d << 16
            own[index] = first + i
    return Program(tuple(inputs), tuple(constants), code)


def _trace(
    graph: Graph, air: Air, shape: ProofShape
) -> tuple[list[tuple[Any, int]], list[Value], Value, Value]:
    """Inputs; the constraints of all components in order; what their sum shall be; coefficient."""
    read = [reads(air, index, rules=True).public_names for index in range(len(air.components))]
    names = sorted(set().union(*read))
    lengths = dict(air.public_values)
    claims = sum(1 for info in air.info.components if info.n_entries)
    inputs: list[tuple[Any, int]] = [("samples", shape.n_samples)]
    count, width, _ = elements_shape(air) if air.relations else (0, 0, 0)
    inputs += [("elements", count * width)] if count else []
    inputs += [("claims", claims)] if claims else []
    inputs += [("coefficient", 1), ("vanishing", 1)]
    inputs += [(("public", name), lengths[name] or 0) for name in names]
    slots: dict[Any, list[Value]] = {}
    start = 0
    for key, count in inputs:
        slots[key] = [graph.node("slot", start + i) for i in range(count)]
        start += count
    sampled = iter(slots["samples"])
    trees = [[[next(sampled) for _ in mask] for mask in tree] for tree in shape.all_offsets]
    elements = {
        relation: _Elements(slots["elements"][i * width :][: 1 + relation.arity])
        for i, relation in enumerate(air.relations)
    }
    public = {name: slots["public", name] for name in names}
    claimed = iter(slots.get("claims", ()))
    fixed = dict(zip((name for name, _ in air.preprocessed), trees[PREPROCESSED], strict=True))
    trace = iter(trees[TRACE])
    interaction = iter(trees[INTERACTION] if claims else ())
    rules: list[Value] = []
    for comp, info, k in zip(air.components, air.info.components, shape.log_sizes, strict=True):
        masks = {name: next(trace) for name in comp.columns}
        current = {name: fixed[name][0] for name in comp.preprocessed_names}
        current |= {name: values[-1] for name, values in masks.items()}
        previous = {name: values[0] for name, values in masks.items() if len(values) == 2}
        tracer = _Tracer(graph, air, public)
        comp.evaluate(Row(current, previous), tracer)
        rules += tracer.rules
        if info.n_entries:
            sums = [[next(interaction) for _ in range(qm31.DEGREE)] for _ in range(info.n_batches)]
            values: Any = [_joined([column[-1] for column in four]) for four in sums]
            back: Any = _joined([column[0] for column in sums[-1]])
            shift: Any = next(claimed) * m31.inv(pow(2, k, m31.P))
            terms = evaluate.fractions(tracer.entries, elements)  # type: ignore[arg-type]
            rules += map(graph.value, evaluate.logup_rules(terms, values, back, shift))
    (vanishing,), (coefficient,) = slots["vanishing"], slots["coefficient"]
    halves = [column[0] for column in trees[-1]]
    left, right = _joined(halves[: qm31.DEGREE]), _joined(halves[qm31.DEGREE :])
    return inputs, rules, vanishing * (left + vanishing * right), coefficient


def _joined(values: Sequence[Value]) -> Value:
    """``qm31.from_coordinates``."""
    a, b, c, d = values
    graph = a.graph
    i, u = graph.value(_I), graph.value(_U)
    return (d * i + c) * u + (b * i + a)


class _Elements:
    """Elements of a relation, ``[z, 1, alpha, ..]``; see ``evaluate.RelationElements``."""

    def __init__(self, slots: Sequence[Value]) -> None:
        self._z, _, *self._powers = slots

    def combine(self, values: Sequence[Any]) -> Value:
        """The denominator of a tuple."""
        total = values[0] - self._z
        for power, value in zip(self._powers, values[1:], strict=True):
            total = total + power * value
        return total


class _Tracer(Constraints):
    def __init__(self, graph: Graph, air: Air, public: dict[str, list[Value]]) -> None:
        # Public words that no constraint reads are not passed.
        words = {n: public.get(n, [graph.value(0)] * (k or 0)) for n, k in air.public_values if k}
        self.public_values = PublicValues(air, words, lambda value: value)
        self._graph = graph
        self.rules: list[Value] = []
        self.entries: list[evaluate.Entry] = []

    def constrain(self, value: Any, name: str = "") -> None:
        self.rules.append(self._graph.value(value))

    def entry(self, relation: Relation, values: Sequence[Any], multiplicity: Any) -> None:
        weight: Any = self._graph.value(multiplicity)
        self.entries.append(evaluate.Entry(relation, values, weight))


def _parts(
    graph: Graph, rules: Sequence[Value], last: Value, coefficient: Value, config: PointConfig
) -> Iterator[Value]:
    """Expressions of the blocks: runs of constraints, each combined and moved to its place."""
    whole = _horner(graph, rules, coefficient) - last
    steps = len(graph.steps(whole))
    count = min(config.blocks, -(-steps // config.steps))
    if count <= 1:
        yield whole
        return
    costs = np.array([len(graph.steps(rule)) + 1 for rule in rules])
    owner = (np.cumsum(costs) - costs / 2) * count // costs.sum()
    ends = [*(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(rules)]
    for start, end in zip([0, *ends], ends, strict=False):
        total = _horner(graph, rules[start:end], coefficient)
        after = len(rules) - end
        yield total * _power(graph, coefficient, after) if after else total - last


def _horner(graph: Graph, rules: Sequence[Value], coefficient: Value) -> Value:
    total = graph.value(0)
    for rule in rules:
        total = total * coefficient + rule
    return total


def _power(graph: Graph, x: Value, exponent: int) -> Value:
    out = graph.value(1)
    for bit in bin(exponent)[2:]:
        out = out * out
        out = out * x if bit == "1" else out
    return out
