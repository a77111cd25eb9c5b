"""The files that say where the registry is: ``deployments/<network>.json`` of a clone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jaxstark.starknet.accounts import parse_address
from jaxstark.starknet.networks import Network, chain_name

FOLDER = Path(__file__).resolve().parents[2] / "deployments"


@dataclass(frozen=True)
class Deployment:
    """Where a registry is: the content of ``deployments/<network>.json``.

    Attributes:
      network: name of the network.
      chain_id: of the network.
      class_hash, compiled_class_hash: of the class.
      address: of the contract.
      deploy_tx: hash of the transaction that deployed it; 0 if unknown.
      block: number of the block of that transaction; events begin there.

    Raises ``ValueError`` for a field of another type or out of range.
    """

    network: str
    chain_id: int
    class_hash: int
    compiled_class_hash: int
    address: int
    deploy_tx: int
    block: int

    def __post_init__(self) -> None:
        if type(self.network) is not str or not self.network.isidentifier():
            raise ValueError(f"deployment: network: expected a name, got {self.network!r}")
        for item in fields(self)[1:]:
            value = getattr(self, item.name)
            if type(value) is not int or value < 0:
                raise ValueError(f"deployment: {item.name}: expected a number, got {value!r}")
        parse_address(hex(self.address), "deployment: address")

    def to_json(self) -> str:
        """The text of the file: hashes and addresses in hexadecimal."""
        obj = {k: hex(v) if type(v) is int else v for k, v in asdict(self).items()}
        return json.dumps(obj | {"block": self.block}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> Deployment:
        """Inverse of ``to_json``; ``ValueError`` for anything else."""
        names = [item.name for item in fields(Deployment)]
        try:
            obj = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("deployment: expected JSON, got something else") from None
        if not isinstance(obj, dict) or sorted(obj) != sorted(names):
            raise ValueError(f"deployment: expected the members {', '.join(names)}, got others")
        numbers = {n: _number(n, obj[n]) for n in names if n not in ("network", "block")}
        return Deployment(network=obj["network"], block=obj["block"], **numbers)


def load_deployment(network: Network, folder: Path = FOLDER) -> Deployment | None:
    """The registry of a network, if its file is there.

    Raises ``ValueError`` for a malformed file and for one of another chain.
    """
    path = folder / f"{network.name}.json"
    try:
        deployment = Deployment.from_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if deployment.chain_id != network.chain_id:
        raise ValueError(
            f"{path}: expected chain {chain_name(network.chain_id)}, got "
            f"{chain_name(deployment.chain_id)}"
        )
    return deployment


def _number(name: str, value: Any) -> int:
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return int(value, 16)
    except ValueError:
        pass
    raise ValueError(f"deployment: {name}: expected a hexadecimal number, got {value!r}")
