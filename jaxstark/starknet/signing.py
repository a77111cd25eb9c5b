"""Signers: what signs a transaction, and never shows the key that it signs with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from jaxstark.starknet.secret import HIDDEN, Secret


def require_starknet_py() -> None:
    """``ImportError`` with the command to run if the extra ``starknet`` is not installed."""
    try:
        import starknet_py  # noqa: F401
    except ImportError:
        raise ImportError(
            "submitting needs starknet-py, which is not installed: run pip install "
            "'jaxstark[starknet]'"
        ) from None


class Signer(Protocol):
    """Signs transactions of one account; signers of starknet-py, Ledger included, are such."""

    def sign_transaction(self, transaction: Any) -> Sequence[int]:
        """The signature, as the account contract expects it.

        Args:
          transaction: ``starknet_py.net.models.InvokeV3``.
        """
        ...


class KeySigner:
    """Signs with a Stark key that lives in a closure: no attribute, text form or pickle has it.

    Args:
      key: the private key, hexadecimal or decimal.
      chain_id: of the network; part of what is signed.

    Raises ``ValueError``, without the key, unless it is in 1..(order of the Stark curve) - 1.
    """

    __slots__ = ("_sign", "public_key")

    def __init__(self, key: Secret, chain_id: int) -> None:
        require_starknet_py()
        from starknet_py.constants import EC_ORDER
        from starknet_py.hash.utils import message_signature, private_to_stark_key

        if _scalar(key, EC_ORDER) is None:
            raise ValueError(
                "private key: expected a number of the Stark curve, 0x and up to 64 hexadecimal "
                "digits, got something else (it is not shown)"
            )

        def sign(transaction: Any) -> list[int]:
            digest = transaction.calculate_hash(chain_id)
            return list(message_signature(digest, _scalar(key, EC_ORDER) or 0))

        self._sign = sign
        self.public_key = private_to_stark_key(_scalar(key, EC_ORDER) or 0)

    def sign_transaction(self, transaction: Any) -> Sequence[int]:
        """The two numbers of the signature of a transaction's hash."""
        return self._sign(transaction)

    def __repr__(self) -> str:
        return f"KeySigner({HIDDEN}, public_key={self.public_key:#x})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a signer is not copied or pickled: it holds a key")


def _scalar(key: Secret, order: int) -> int | None:
    """The number of a key, or None; an error of ``int`` would quote the key."""
    try:
        value = int(key.reveal().strip(), 0)
    except ValueError:
        return None
    return value if 0 < value < order else None
