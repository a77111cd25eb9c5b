"""Who took a nonce: the proof that a signed transaction can never land.

The nonce of an account counts its transactions, so it grows with blocks, and the block in which it
passed ``n`` holds the transaction that took ``n``. Bisection finds that block; where the node keeps
no old states, its last blocks are read one by one. Only then, with the other transaction at hand,
is a transaction of nonce ``n`` dead: that a node does not know a hash proves nothing, since it may
lag behind.
"""

from __future__ import annotations

from jaxstark.starknet.rpc import CONTRACT_NOT_FOUND, Node
from jaxstark.starknet.submission_error import NodeError, SubmissionError, Unreachable

MAX_BLOCKS = 1000
"""Blocks that are read one by one at most, about an hour of them."""


def taker_of_nonce(node: Node, account: int, nonce: int) -> int | None:
    """Hash of the accepted transaction of an account with a nonce; None while there is none.

    Raises ``SubmissionError`` where the nonce is taken and the node cannot show by what.
    """
    if node.nonce(account) <= nonce:
        return None
    latest = node.block_number()  # asked afterwards, so that the nonce was taken up to here
    try:
        blocks = [_bisect(node, account, nonce, latest)]
    except (NodeError, Unreachable):  # no states of old blocks
        blocks = range(latest, max(latest - MAX_BLOCKS, -1), -1)
    for number in blocks:
        for transaction in node.transactions_of_block(number):
            # The nonce of an L1 handler is another count; it has no sender.
            names = ("sender_address", "nonce", "transaction_hash")
            sender, its_nonce, digest = (_number(transaction.get(name)) for name in names)
            if (sender, its_nonce) == (account, nonce) and digest is not None:
                return digest
    raise SubmissionError(
        f"account {account:#x}: nonce {nonce} was taken, but the node does not show by which "
        "transaction; nothing is sent until that is known: use a node that keeps old states"
    )


def _bisect(node: Node, account: int, nonce: int, latest: int) -> int:
    """The first block after which the nonce of an account is above ``nonce``."""
    low, high = -1, latest
    while high - low > 1:
        middle = (low + high) // 2
        if _nonce_after(node, account, middle) > nonce:
            high = middle
        else:
            low = middle
    return high


def _nonce_after(node: Node, account: int, block: int) -> int:
    try:
        return node.nonce(account, block)
    except NodeError as error:
        if error.code == CONTRACT_NOT_FOUND:
            return 0  # before the account
        raise


def _number(text: object) -> int | None:
    try:
        return int(str(text), 16)
    except ValueError:
        return None
