"""The registry contract: print its hashes, declare its class, deploy it.

    python experiments/registry.py --action=class_hash
    python experiments/registry.py --action=declare --network=sepolia --max_fee_strk=2
    python experiments/registry.py --action=deploy --network=sepolia --max_fee_strk=1 --write

The account and the node come from flags, the environment, .env or snfoundry.toml, as for
experiments/submit.py; docs/starknet.md says how. Declaring is done once for a network, by anyone.
Both commands estimate first, refuse what could cost more than --max_fee_strk, and do nothing where
the class or the contract is there already; --dry_run stops behind the estimate. With --write, the
contract's address goes to deployments/<network>.json. The last line is one JSON object.
"""

from __future__ import annotations

import _record
import _script
import _submit
from absl import flags

from jaxstark.proof import write_atomically
from jaxstark.starknet import deploy, deployments, registry
from jaxstark.starknet.fees import FeePolicy, parse_strk, show
from jaxstark.starknet.felts import PRIME
from jaxstark.starknet.networks import NETWORKS, Network, network
from jaxstark.starknet.signing import require_starknet_py

FLAGS = flags.FLAGS
ACTIONS = ("class_hash", "declare", "deploy")
flags.DEFINE_enum("action", "class_hash", ACTIONS, "What to do.")
flags.DEFINE_enum("network", "devnet", sorted(set(NETWORKS) - {"fake"}), "Network.")
flags.DEFINE_bool("allow_mainnet", False, "Allow the main network, where fees are paid with money.")
flags.DEFINE_string("max_fee_strk", None, "Most STRK that the transaction may cost.")
flags.DEFINE_integer("salt", 0, "Salt of the contract's address.", lower_bound=0)
flags.DEFINE_bool("dry_run", False, "Estimate, but send nothing.")
flags.DEFINE_bool("write", False, "Write deployments/<network>.json after deploying.")
_submit.define_settings()


def class_hash() -> int:
    """Print the hashes of the compiled class, and whether they are the ones in the package."""
    require_starknet_py()
    from starknet_py.common import create_casm_class, create_sierra_compiled_contract
    from starknet_py.hash.casm_class_hash import compute_casm_class_hash
    from starknet_py.hash.sierra_class_hash import compute_sierra_class_hash

    sierra, casm = registry.sierra_class(), registry.casm_class()
    found = {
        "CLASS_HASH": compute_sierra_class_hash(create_sierra_compiled_contract(sierra)),
        "COMPILED_CLASS_HASH": compute_casm_class_hash(create_casm_class(casm)),
    }
    for name, value in found.items():
        print(f"{name} = {value:#x}")
    same = all(getattr(registry, name) == value for name, value in found.items())
    if not same:
        print("jaxstark/starknet/registry.py has other hashes")
    _record.last_line(
        {
            "experiment": "registry",
            "action": "class_hash",
            "class_hash": hex(found["CLASS_HASH"]),
            "compiled_class_hash": hex(found["COMPILED_CLASS_HASH"]),
            "same_as_package": same,
        }
    )
    return _script.OK if same else _script.FAILED


def send(target: Network) -> int:
    """Declare or deploy."""
    if FLAGS.max_fee_strk is None:
        raise _script.UsageError("--max_fee_strk: expected the most that may be paid, got none")
    if FLAGS.salt >= PRIME:
        raise _script.UsageError("--salt: expected a number below the Starknet prime, got a larger")
    policy = FeePolicy(max_fee=parse_strk(FLAGS.max_fee_strk))
    node, account = _submit.connect(_submit.settings(), target, FLAGS.allow_mainnet)
    sender = deploy.Sender(node, target, account, policy, FLAGS.allow_mainnet)
    if FLAGS.action == "declare":
        what, address = f"class {registry.CLASS_HASH:#066x}", None
        sent = deploy.declare(sender, dry_run=FLAGS.dry_run)
    else:
        address = deploy.registry_address(FLAGS.salt)
        what = f"contract {address:#066x}"
        sent = deploy.deploy(sender, salt=FLAGS.salt, dry_run=FLAGS.dry_run)
    _tell(what, sent, target)
    if FLAGS.write and FLAGS.action == "deploy" and not FLAGS.dry_run:
        _write(target, sent)
    _record.last_line(
        {
            "experiment": "registry",
            "action": FLAGS.action,
            "network": target.name,
            "class_hash": hex(registry.CLASS_HASH),
            "address": None if address is None else hex(address),
            "dry_run": FLAGS.dry_run,
            "done_before": sent.done,
            "tx_hash": hex(sent.tx_hash),
            "block": sent.block,
            "worst_fee_fri": sent.worst_fee,
            "fee_fri": sent.fee,
            "bounds": None if sent.bounds is None else sent.bounds.to_json(),
        }
    )
    return _script.OK


def _tell(what: str, sent: deploy.Sent, target: Network) -> None:
    if sent.done:
        print(f"{what} is there already; nothing was sent")
    elif not sent.tx_hash:
        print(f"{what} would cost at most {show(sent.worst_fee)}; nothing was sent")
    else:
        link = target.explorer_link(sent.tx_hash)
        print(f"{what} in block {sent.block}, for {show(sent.fee)}")
        print(f"transaction {sent.tx_hash:#066x}{' ' + link if link else ''}")


def _write(target: Network, sent: deploy.Sent) -> None:
    """Write the file; what somebody else deployed has no transaction and block 0 in it."""
    path, address = deployments.FOLDER / f"{target.name}.json", deploy.registry_address(FLAGS.salt)
    old = deployments.load_deployment(target) if sent.done else None
    if old is not None and old.address == address:
        print(f"kept {path}, which has this address")
        return
    found = deployments.Deployment(
        network=target.name,
        chain_id=target.chain_id,
        class_hash=registry.CLASS_HASH,
        compiled_class_hash=registry.COMPILED_CLASS_HASH,
        address=address,
        deploy_tx=sent.tx_hash,
        block=sent.block,
    )
    write_atomically(path, found.to_json().encode("ascii"))
    print(f"wrote {path}")


def main() -> int:
    if FLAGS.action == "class_hash":
        return class_hash()
    return _submit.attempt(
        lambda: send(network(FLAGS.network)), "run again: what was done is found on the chain"
    )


if __name__ == "__main__":
    _script.run(main)
