"""A Starknet node in the process, for tests: nothing outside it is asked and nothing persists.

It answers the JSON-RPC methods that starknet-py needs (specification 0.10.2), computes every
transaction hash anew, checks signature, nonce, fee bounds and the 5,000-felt limit, and executes
contract models: accounts, STRK, the universal deployer, the proof registry, and logs of steps.

    from jaxstark.starknet.fake import FakeNode, Fault

    with FakeNode(seed=1, faults=[Fault.timeout(seconds=0.1)]) as node:
        client = FullNodeClient(node.url)
        account = Account(
            address=node.account.address, client=client, chain=node.chain_id,
            key_pair=KeyPair.from_private_key(node.account.private_key),
        )
        ...                          # record proofs at node.registry
        node.deploy_log(job_steps()) # a marketplace's five calls
    node.transactions("ACCEPTED_ON_L2")   # audit, also after it is closed

Time passes before every reading request (``advance="request"``): RECEIVED, PRE_CONFIRMED and
ACCEPTED_ON_L2 come one request after the other. ``"instant"`` and ``"manual"`` (``tick``, ``mine``)
are the alternatives. It is a model, no execution of Cairo: its gas is an estimate, its classes are
placeholders. The tests of the contract itself and of a development node are elsewhere.

Needs the extra ``starknet``.
"""

from jaxstark.starknet.networks import DEPLOYER as DEPLOYER_ADDRESS
from jaxstark.starknet.networks import STRK_TOKEN as STRK_ADDRESS

from .chain import ACCEPTED, PRE_CONFIRMED, RECEIVED, Fate
from .contracts import LogModel, Step, TokenModel, job_steps
from .errors import Revert
from .faults import Fault, RandomFaults, usual_faults
from .gas import Prices
from .machine import Context, Contract, Event
from .node import INSTANT, MANUAL, REQUEST, FakeAccount, FakeNode, Sent
from .registry_model import RegistryModel

__all__ = [
    "ACCEPTED",
    "DEPLOYER_ADDRESS",
    "INSTANT",
    "MANUAL",
    "PRE_CONFIRMED",
    "RECEIVED",
    "REQUEST",
    "STRK_ADDRESS",
    "Context",
    "Contract",
    "Event",
    "FakeNode",
    "Fate",
    "Fault",
    "LogModel",
    "Prices",
    "RandomFaults",
    "RegistryModel",
    "Revert",
    "Step",
    "FakeAccount",
    "TokenModel",
    "Sent",
    "job_steps",
    "usual_faults",
]
