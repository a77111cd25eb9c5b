"""What the fake node answers when it refuses: JSON-RPC errors, and reverts inside a contract.

Codes and messages are those of the Starknet JSON-RPC specification 0.10.2.
"""

from __future__ import annotations

MESSAGES = {
    20: "Contract not found",
    21: "Requested entry point does not exist in the contract",
    24: "Block not found",
    27: "Invalid transaction index in a block",
    28: "Class hash not found",
    29: "Transaction hash not found",
    31: "Requested page size is too big",
    33: "The supplied continuation token is invalid or unknown",
    34: "Too many keys provided in a filter",
    40: "Contract error",
    41: "Transaction execution error",
    51: "Class already declared",
    52: "Invalid transaction nonce",
    53: "The transaction's resources don't cover validation or the minimal transaction fee",
    54: "Account balance is smaller than the transaction's maximal fee "
    "(calculated as the sum of each resource's limit x max price)",
    55: "Account validation failed",
    57: "Contract class size is too large",
    58: "Sender address is not an account contract",
    59: "A transaction with the same hash already exists in the mempool",
    60: "the compiled class hash did not match the one supplied in the transaction",
    61: "the transaction version is not supported",
    63: "An unexpected error occurred",
    64: "Replacement transaction is underpriced",
    65: "Transaction fee below minimum",
    69: "The proof field in the invoke v3 transaction is invalid",
    -32600: "Invalid Request",
    -32601: "Method not found",
    -32602: "Invalid params",
}


class RpcError(Exception):
    """An answer with an error; ``code`` is a key of ``MESSAGES``, ``data`` its JSON detail."""

    def __init__(self, code: int, data: object = None) -> None:
        super().__init__(code)
        self.code = code
        self.data = data

    def json(self) -> dict[str, object]:
        """The ``error`` member of a JSON-RPC answer."""
        out: dict[str, object] = {"code": self.code, "message": MESSAGES[self.code]}
        return out if self.data is None else {**out, "data": self.data}


class Revert(Exception):
    """A contract panics; ``reason`` is a short string (at most 31 ASCII characters)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
