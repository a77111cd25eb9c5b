"""What may enter the mempool: the rules of the network's gateway, as ``RpcError``.

Limits are those of Starknet 0.14.2: 5,000 felts, 1.21 G of L2 gas, a minimum L2 gas price, a
nonce at most 200 ahead, and 10 % more for a replacement.
"""

from __future__ import annotations

from collections.abc import Collection

from . import gas
from .contracts import balance
from .errors import RpcError
from .gas import GasModel, Prices
from .state import State, class_key, declared_key, nonce_key, storage_key
from .transaction import DECLARE, DEPLOY_ACCOUNT, Transaction

MAX_FELTS = 5_000
MAX_NONCE_GAP = 200
BUMP = 110  # per cent of tip and price that a replacement must offer


def check_form(tx: Transaction, prices: Prices, model: GasModel) -> None:
    """What a transaction must be whatever the state: 61, 63, 65 or 69 otherwise."""
    if tx.query:
        raise RpcError(61)
    if tx.proof:
        raise RpcError(69)
    if tx.length > MAX_FELTS:
        raise RpcError(63, f"calldata: expected at most {MAX_FELTS} felts, got {tx.length}")
    if tx.l2_gas.amount > model.max_bound:
        limit = model.max_bound
        raise RpcError(63, f"max L2 gas: expected at most {limit}, got {tx.l2_gas.amount}")
    if tx.l2_gas.price < prices.minimum_l2:
        raise RpcError(65)


def check_state(
    tx: Transaction, state: State, accounts: Collection[int], prices: Prices, model: GasModel
) -> None:
    """Sender, nonce, class, balance and bounds: 28, 51, 52, 53, 54, 55 or 58 otherwise.

    Args:
      tx: the transaction.
      state: after the last accepted block.
      accounts: hashes of the classes that are accounts.
      prices: of the block that is being built.
      model: of gas.
    """
    check_sender(tx, state, accounts)
    nonce = state.read(nonce_key(tx.sender))
    if not nonce <= tx.nonce <= nonce + MAX_NONCE_GAP:
        raise bad_nonce(tx, nonce)
    if tx.kind == DECLARE and state.read(declared_key(tx.class_hash)):
        raise RpcError(51)
    check_funds(tx, state, prices, model)


def check_sender(tx: Transaction, state: State, accounts: Collection[int]) -> None:
    """The sender is an account, or becomes one."""
    deploys = tx.kind == DEPLOY_ACCOUNT
    class_hash = tx.class_hash if deploys else state.read(class_key(tx.sender))
    if not class_hash:
        raise RpcError(55, f"Requested contract address {tx.sender:#x} is not deployed.")
    if class_hash not in accounts:
        raise RpcError(28 if deploys else 58)


def check_funds(tx: Transaction, state: State, prices: Prices, model: GasModel) -> None:
    """The balance covers the bounds, and the bounds the least that it can cost."""
    if tx.max_fee > balance(state, tx.sender):
        raise RpcError(54)
    short = gas.shortage(model.minimum(tx), prices, tx)
    if short is not None:
        raise RpcError(53, short)


def check_replacement(tx: Transaction, rival: Transaction) -> None:
    """Another transaction with the nonce of ``rival`` pays 10 % more on tip and price, or 64."""
    for new, old in ((tx.tip, rival.tip), (tx.l2_gas.price, rival.l2_gas.price)):
        if new * 100 < old * BUMP:
            raise RpcError(64)


def bad_nonce(tx: Transaction, nonce: int) -> RpcError:
    """The error for a nonce, where ``nonce`` is the account's."""
    return RpcError(
        52,
        f"Invalid transaction nonce of contract at address {tx.sender:#x}. "
        f"Account nonce: {nonce:#x}; got: {tx.nonce:#x}.",
    )


def public_key(tx: Transaction, state: State) -> int:
    """The key that must have signed."""
    if tx.kind == DEPLOY_ACCOUNT:
        return tx.calldata[0] if tx.calldata else 0
    return state.read(storage_key(tx.sender, ("public_key",)))
