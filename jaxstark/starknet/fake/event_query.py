"""The method ``getEvents``: filters by address, keys and blocks, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .chain import Chain
from .errors import RpcError
from .transaction import numbers
from .views import emitted

MAX_PAGE = 1_024
MAX_KEYS = 1_000


def find_events(chain: Chain, wanted: object, number_of: Callable[[object], int]) -> dict[str, Any]:
    """A page of events.

    Args:
      chain: where they were emitted, in closed blocks and the pre-confirmed one.
      wanted: the filter; its keys match by position, and an empty list matches every key.
      number_of: the number of a block from its identifier.

    Raises ``RpcError`` for a malformed filter (-32602, 31, 33, 34) or an unknown block (24).
    """
    if not isinstance(wanted, dict):
        raise RpcError(-32602, "filter: expected an object")
    size = wanted.get("chunk_size")
    if not isinstance(size, int) or size < 1:
        raise RpcError(-32602, "chunk_size: expected at least 1")
    if size > MAX_PAGE:
        raise RpcError(31)
    start = _offset(wanted.get("continuation_token"))
    first, last = (number_of(wanted.get(f"{end}_block")) for end in ("from", "to"))
    address = wanted.get("address")
    chosen = address if isinstance(address, list) else [] if address is None else [address]
    addresses = set(numbers(chosen, "address"))
    keys = [set(numbers(k, "keys")) for k in wanted.get("keys") or []]
    if sum(map(len, keys)) > MAX_KEYS:
        raise RpcError(34)
    groups = [block.entries for block in chain.blocks[first : last + 1]]
    if first <= len(chain.blocks) <= last:
        groups.append(chain.open)
    found = [
        shown
        for group in groups
        for event, shown in emitted(chain, group)
        if (not addresses or event.address in addresses)
        and len(event.keys) >= len(keys)
        and all(not any_of or k in any_of for k, any_of in zip(event.keys, keys, strict=False))
    ]
    out: dict[str, Any] = {"events": found[start : start + size]}
    if start + size < len(found):
        out["continuation_token"] = f"{start + size}-0"
    return out


def _offset(token: object) -> int:
    """Where a page of events begins."""
    if token is None:
        return 0
    head, _, tail = token.partition("-") if isinstance(token, str) else ("", "", "")
    if not head.isdecimal() or tail != "0":
        raise RpcError(33)
    return int(head)
