"""The program of all forgeries of the Obelysk AIR, and what a forgery is.

The program has a place for every lie. Its output depends on the results of its instructions, so
that a wrong one makes a false statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jaxstark.vm import assemble, interpreter, isa
from jaxstark.vm.execution import ExecutionError
from jaxstark.vm.limits import Limits
from jaxstark.vm.program import Program
from tests.soundness.vm_builder import Built, build
from tests.soundness.vm_forging import RELATION

LOW = 1 << 30  # the word of the least signed number, -(2^30 - 1)
HALF = isa.HALF  # the word of the largest one
WORD = 0x0ABCDEF1  # bit 27, which two nibbles may claim, is set

# Input: rounds, flag of a stray return, of a quiet end, of a stray last instruction, divisor,
# place of a store, two words.
INPUT: tuple[int, ...] = (2, 0, 0, 0, 2, 2, WORD, LOW)
ROUNDS, STRAY_RETURN, QUIET, STRAY_END, DIVISOR, PLACE = range(6)

TEXT = """
        .data   w, 3, -1, 2, 5
        .space  room, 3
        .input  x
        addi    r1, r1, 5           ;@first
        load    r2, [x]             ;@load
        load    r3, [x + 1]
        load    r4, [x + 2]
        load    r6, [x + 3]
        store   r0, [x + 1]         ;@clear
        store   r0, [x + 3]
        jumpif  r3, stray           ;@to_stray
        jumpif  r4, end             ;@to_end
        jumpif  r6, last            ;@to_last
    spin:
        loop    r2, r2, spin        ;@spin
        load    r5, [x + 4]         ;@divisor
        div     r6, r1, r5          ;@div
        add     r7, r1, r5          ;@add
        add     r7, r7, r7          ;@same
        mac     r7, r7, r1          ;@mac_a
        mac     r7, r1, r7          ;@mac_b
        mac     r8, r1, r5          ;@mac
        mac     r8, r1, r1          ;@mac_same
        eq      r9, r7, r8          ;@eq
        load    r10, [r1 + r5 - 4]  ;@indexed
        add     r7, r7, r10
        load    r10, [r5 + w]       ;@indirect
        add     r7, r7, r10
        sub     r7, r7, r9          ;@sub
        mul     r7, r7, r6
        muli    r8, r8, 3           ;@muli
        neg     r8, r8
        call    sub                 ;@call
        jump    on                  ;@jump
    on:
        out     r6                  ;@out_1
        out     r7                  ;@out_2
        out     r8
        out     r20                 ;@early_a
        loadimm r20, 7              ;@late_a
        store   r21, [room]         ;@early_b
        loadimm r21, 9              ;@late_b
        load    r23, [room]
        out     r23                 ;@out_b
        loadimm r22, 1              ;@early_d
        loadimm r22, 2              ;@late_d
        out     r22                 ;@out_d
        load    r24, [room + 1]     ;@early_x
        store   r1, [room + 1]      ;@late_x
        out     r24                 ;@out_x
        load    r10, [x + 5]
        store   r1, [r10 + w]       ;@store
        load    r10, [w + 2]        ;@reload
        out     r10                 ;@out_store
        load    r11, [x + 6]
        load    r12, [x + 7]
        loadimm r13, HALF
        relu    r16, r1             ;@relu
        add     r30, r30, r16
        relu    r16, r0             ;@relu 0
        add     r30, r30, r16
        lt      r16, r1, r5         ;@lt
        add     r30, r30, r16
        lt      r16, r0, r1         ;@lt 0 x
        add     r30, r30, r16
        lt      r16, r1, r0         ;@lt x 0
        add     r30, r30, r16
        lt      r16, r1, r1         ;@lt x x
        add     r30, r30, r16
        gt      r16, r0, r1         ;@gt 0 x
        add     r30, r30, r16
        gt      r16, r1, r0         ;@gt x 0
        add     r30, r30, r16
        shr     r16, r11, 3         ;@shr
        add     r30, r30, r16
        shr     r16, r11, 16        ;@shr by 16
        add     r30, r30, r16
        shr     r16, r12, 3         ;@shr of least
        add     r30, r30, r16
        shr     r16, r13, 3         ;@shr of largest
        add     r30, r30, r16
        xor     r16, r11, r13       ;@xor
        add     r30, r30, r16
        and     r16, r11, r13       ;@and
        add     r30, r30, r16
        or      r16, r11, r13       ;@or
        add     r30, r30, r16
        xor     r16, r0, r1         ;@xor 0 x
        add     r30, r30, r16
        and     r16, r0, r1         ;@and 0 x
        add     r30, r30, r16
        or      r16, r0, r1         ;@or 0 x
        add     r30, r30, r16
        xor     r16, r1, r0         ;@xor x 0
        add     r30, r30, r16
        and     r16, r1, r0         ;@and x 0
        add     r30, r30, r16
        or      r16, r1, r0         ;@or x 0
        add     r30, r30, r16
        out     r30                 ;@out_values
        halt                        ;@halt
    stray:
        return                      ;@stray
    sub:
        muli    r8, r8, 7           ;@sub_body
        return                      ;@return
    end:
        halt                        ;@end
    last:
        addi    r29, r29, 1         ;@last
""".replace("HALF", str(HALF))


@lru_cache(maxsize=1)
def program() -> Program:
    """The program of all forgeries."""
    return assemble(TEXT)


@lru_cache(maxsize=1)
def places() -> dict[str, int]:
    """Names of the instructions, by what stands behind ``;@``."""
    lines = [line.strip() for line in TEXT.splitlines()]
    instructions = [t for t in lines if t and t[0] != "." and not t.endswith(":")]
    found = {}
    for pc, line in enumerate(instructions):
        _, mark, name = line.partition(";@")
        if mark:
            found[name] = pc
    return found


LIMITS = Limits(
    log_steps=8,
    memory_size=15,
    stack_size=2,
    input_size=len(INPUT),
    log_relu=4,
    log_less=4,
    log_shift=4,
    log_bitwise=4,
)


def run(
    lies: Mapping[str, Mapping[str, Any]] | None = None,
    public_input: Sequence[int] = INPUT,
    **options: Any,
) -> Built:
    """A trace of the program; see ``vm_forging.build``."""
    return build(program(), LIMITS, public_input, lies, places=places(), **options)


@lru_cache(maxsize=1)
def honest() -> Built:
    """The trace without a lie."""
    return run()


def is_false(built: Built) -> bool:
    """Whether the machine does not end with this output on this input."""
    if len(built.public["input"]) != LIMITS.input_size:
        return True  # the statement of no execution: such a key has no such input
    limits = {"memory_limit": LIMITS.memory_size, "stack_limit": LIMITS.stack_size}
    steps = 1 << LIMITS.log_steps
    try:
        done = interpreter.run(program(), built.public["input"], step_limit=steps, **limits)
    except ExecutionError:
        return True
    return done.output.tolist() != built.public["output"]


@dataclass(frozen=True)
class Forgery:
    """A trace that breaks what ``breaks`` says, all of it and nothing else.

    Attributes:
      name: what it does.
      breaks: (component, rule) or (RELATION, name), mostly one.
      make: builds it.
      at: place of the step whose row the debugger names, or a row; None where a relation is broken,
        since its tuples stand in several rows.
      entry: (component, number) of the lookup or provision whose tuple is left over.
      counts: the lie is in a multiplicity, so that counting anew would mend it.
    """

    name: str
    breaks: frozenset[tuple[str, str]]
    make: Callable[[], Built]
    at: str | int | None = None
    entry: tuple[str, int] | None = None
    counts: bool = False


def rule(
    name: str, broken: str, at: str | int, make: Callable[[], Built], component: str = "steps"
) -> Forgery:
    """A forgery of one constraint."""
    return Forgery(name, frozenset({(component, broken)}), make, at)


def relation(
    name: str,
    broken: str,
    entry: tuple[str, int],
    make: Callable[[], Built],
    *,
    counts: bool = False,
) -> Forgery:
    """A forgery that one relation catches."""
    return Forgery(name, frozenset({(RELATION, broken)}), make, None, entry, counts)


def lie(public_input: Sequence[int] = INPUT, /, **lies: Any) -> Callable[[], Built]:
    """A run with lies at places, which are the names of the arguments."""
    return lambda: run(lies, public_input)


def inputs(**changed: int) -> list[int]:
    """The input with some words changed, by the names of their positions."""
    out = list(INPUT)
    for name, word in changed.items():
        out[globals()[name]] = word
    return out
