"""Networks: names, chain ids, explorers, and URLs of nodes, whose secrets are never shown.

A chain id is the number made of the ASCII bytes of its name, big-endian. No network but the local
ones has a URL of its own here: public end points come and go, and a node that sees the transactions
is the user's choice. Source: the JSON-RPC specification of Starknet, version 0.10.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit, urlunsplit

from jaxstark.starknet.secret import HIDDEN

SPEC_VERSIONS = ("0.10.",)
"""Prefixes of the specification versions that the client speaks."""

_PLAIN_PATHS = ("", "/", "/rpc", "/rpc/v0_10")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
STRK_TOKEN = 0x04718F5A0FC34CC1AF16A1CDEE98FFB20C31F5CD61D6AB07201858F4287C938D
"""The fee token, at the same address on every network (starknet-addresses)."""
DEPLOYER = 0x02CEED65A4BD731034C01113685C831B01C15D7D432F71AFB1CF1634B53A2125
"""The universal deployer contract, at the same address on every network (starknet-py 0.30)."""


def chain_id_of(name: str) -> int:
    """The chain id of a name such as ``SN_SEPOLIA``; ``ValueError`` unless 1 to 31 ASCII bytes."""
    if not (name.isascii() and name.isprintable() and 1 <= len(name) <= 31):
        raise ValueError(f"chain name: expected 1 to 31 printable ASCII characters, got {name!r}")
    return int.from_bytes(name.encode("ascii"), "big")


def chain_name(chain_id: int) -> str:
    """The name of a chain id, or its number in hexadecimal where that is no text."""
    text = chain_id.to_bytes((chain_id.bit_length() + 7) // 8, "big")
    if text and all(0x21 <= byte <= 0x7E for byte in text):
        return text.decode("ascii")
    return hex(chain_id)


@dataclass(frozen=True)
class Network:
    """A network that proofs can be submitted to.

    Attributes:
      name: as in ``--network``.
      chain_id: what its nodes answer to ``starknet_chainId``.
      rpc_url: of a node on this machine; None where the user names one.
      explorers: base URLs of block explorers by name, lower case; the first is the default.
      section: name of the network in an accounts file of sncast.
    """

    name: str
    chain_id: int
    rpc_url: str | None = None
    explorers: tuple[tuple[str, str], ...] = ()
    section: str = "alpha-sepolia"

    @property
    def is_mainnet(self) -> bool:
        """Whether fees are paid with money."""
        return self.chain_id == MAIN

    def explorer_link(self, tx_hash: int) -> str | None:
        """Where a transaction can be looked at; None for a network without explorers."""
        if not self.explorers:
            return None
        return f"{self.explorers[0][1]}/tx/{tx_hash:#066x}"

    def with_explorer(self, name: str) -> Network:
        """The network with links to an explorer of this name, in any case.

        Raises ``ValueError`` for a name that the network does not have.
        """
        known = dict(self.explorers)
        if name.lower() not in known:
            names = ", ".join(known) or f"none on {self.name}"
            raise ValueError(f"explorer: expected one of {names}, got {name!r}")
        first = (name.lower(), known[name.lower()])
        return replace(self, explorers=(first, *(e for e in self.explorers if e != first)))


SEPOLIA = chain_id_of("SN_SEPOLIA")
MAIN = chain_id_of("SN_MAIN")
NETWORKS = {
    network.name: network
    for network in (
        Network("fake", SEPOLIA),
        Network("devnet", SEPOLIA, "http://127.0.0.1:5050/rpc", section="devnet"),
        Network(
            "sepolia",
            SEPOLIA,
            explorers=(
                ("voyager", "https://sepolia.voyager.online"),
                ("starkscan", "https://sepolia.starkscan.co"),
            ),
        ),
        Network(
            "mainnet",
            MAIN,
            explorers=(
                ("voyager", "https://voyager.online"),
                ("starkscan", "https://starkscan.co"),
            ),
            section="alpha-mainnet",
        ),
    )
}


def network(name: str) -> Network:
    """The network of a name; ``ValueError`` with the names that exist."""
    if name not in NETWORKS:
        raise ValueError(f"network: expected one of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]


class RpcUrl:
    """The URL of a node. Its text form shows scheme and host; the rest may hold an access token.

    Raises ``ValueError``, without the URL, for anything but an absolute http or https URL.
    """

    __slots__ = ("_parts", "_url")

    def __init__(self, url: str) -> None:
        self._url = url.strip()
        try:
            self._parts = urlsplit(self._url)
            good = self._parts.scheme in ("http", "https") and bool(self._parts.hostname)
            _ = self._parts.port
        except ValueError:
            good = False
        if not good or not self._url.isprintable() or " " in self._url:
            raise ValueError(
                "RPC URL: expected one such as https://host/path, got something else (it is not "
                "shown, because it may hold a secret)"
            )

    def reveal(self) -> str:
        """The URL for the request itself, without user name and password."""
        parts = self._parts
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))

    def authorization(self) -> str | None:
        """The header ``Authorization`` of user name and password; None for a URL without."""
        if self._parts.username is None:
            return None
        pair = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    @property
    def is_local(self) -> bool:
        """Whether the node is on this machine."""
        return self._parts.hostname in _LOOPBACK

    def __str__(self) -> str:
        parts = self._parts
        host = parts.hostname if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
        port = f":{parts.port}" if parts.port else ""
        plain = parts.path in _PLAIN_PATHS and not (parts.query or parts.fragment or parts.username)
        return f"{parts.scheme}://{host}{port}{parts.path if plain else '/' + HIDDEN}"

    def __repr__(self) -> str:
        return f"RpcUrl({str(self)!r})"

    def __reduce__(self) -> str:
        raise TypeError("an RPC URL is not pickled: it may hold a secret")

    def scrub(self, text: str) -> str:
        """``text`` without the URL and the parts of it that may be secret."""
        parts = self._parts
        segments = [s for s in parts.path.split("/") if len(s) >= 8]
        secrets = [self._url, self.reveal(), parts.netloc if "@" in parts.netloc else ""]
        for word in (parts.query, parts.fragment, parts.password or "", parts.username or ""):
            secrets += [word, unquote(word)]
        secrets.append((self.authorization() or "").removeprefix("Basic "))
        secrets += [] if parts.path in _PLAIN_PATHS else [parts.path, *segments]
        secrets += [value for _, _, value in (q.partition("=") for q in parts.query.split("&"))]
        for secret in sorted({s for s in secrets if len(s) >= 4}, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text


def check_spec_version(version: object) -> None:
    """``ValueError`` unless a node speaks a version of the specification that the client knows."""
    if not (isinstance(version, str) and version.startswith(SPEC_VERSIONS)):
        wanted = " or ".join(f"{prefix}x" for prefix in SPEC_VERSIONS)
        raise ValueError(
            f"node: expected JSON-RPC specification {wanted}, got {str(version)[:40]!r}; use the "
            "end point of that version (many providers have it in the path, as /rpc/v0_10)"
        )
