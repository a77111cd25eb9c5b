"""Macros that every program may use.

``matmul c, a, b`` multiplies two matrices that stand in memory as ``[rows, cols, data...]``, rows
first, at the constant addresses a and b, and writes the third one to c. All sizes are read when it
runs; it divides by zero where columns of a and rows of b differ or a size is 0. It takes
5 rows cols inner steps and some for each row and entry, and uses r22..r31. c must not overlap.
"""

BUILT_IN = """
.macro move dst, src
    addi    dst, src, 0
.endmacro

.macro matmul c, a, b
    load    r31, [a]            ; rows
    load    r30, [a + 1]        ; inner
    load    r29, [b]
    eq      r28, r29, r30
    div     r28, r28, r28       ; sizes must agree
    load    r29, [b + 1]        ; columns
    store   r31, [c]
    store   r29, [c + 1]
    mul     r28, r31, r30
    mul     r28, r28, r29
    div     r28, r28, r28       ; no size may be 0
    addi    r30, r30, -1
    addi    r31, r31, -1        ; i = rows - 1
@row:
    addi    r28, r30, 1
    mul     r27, r31, r28       ; i inner
    addi    r28, r29, -1        ; j = columns - 1
@column:
    loadimm r26, 0
    mul     r25, r30, r29
    add     r25, r25, r28       ; (inner - 1) columns + j
    addi    r24, r30, 0         ; k = inner - 1
@inner:
    load    r23, [r27 + r24 + a + 2]
    load    r22, [r25 + b + 2]
    mac     r26, r23, r22
    sub     r25, r25, r29
    loop    r24, r24, @inner
    mul     r25, r31, r29
    add     r25, r25, r28
    store   r26, [r25 + c + 2]
    loop    r28, r28, @column
    loop    r31, r31, @row
.endmacro
"""
