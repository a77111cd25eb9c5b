r"""Submit a proof to Starknet: verify it, pack it, record it, and read the record back.

    python experiments/submit.py --network=fake --max_fee_strk=5 \
        --proof=out/prove/proof.json --key=out/prove/key.json --public=out/prove/public.json
    python experiments/submit.py --network=sepolia --dry_run --proof=.. --key=.. --public=..
    python experiments/submit.py --network=sepolia --simulate --max_fee_strk=5 ..
    python experiments/submit.py --network=sepolia --max_fee_strk=5 ..

--dry_run says what would be sent and models its cost, offline and without an account. --simulate
asks a node, which needs an account, and sends nothing. Neither writes anything. Without them the
proof is submitted; the same command run again after any interruption goes on and repeats nothing.

A flag wins over the environment, that over .env, that over snfoundry.toml; docs/starknet.md has the
names. Keys and passwords are never flags. The registry records proofs and verifies none: this
script verifies before it sends. The last line is one JSON object.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import _record
import _script
import _submit
from absl import flags

from jaxstark import Proof, VerifyingKey
from jaxstark.air import registry as airs
from jaxstark.starknet import deployments, envelope, packer, sizes
from jaxstark.starknet.accounts import parse_address
from jaxstark.starknet.fees import FeePolicy, parse_strk, show
from jaxstark.starknet.felts import PRIME
from jaxstark.starknet.header import ENCODINGS
from jaxstark.starknet.job import Job
from jaxstark.starknet.job_file import load_job
from jaxstark.starknet.networks import NETWORKS, Network, network
from jaxstark.starknet.outbox_sqlite import MEMORY, SqliteOutbox, default_outbox
from jaxstark.starknet.progress import Timing
from jaxstark.starknet.settings import Settings
from jaxstark.starknet.submission import Submission, make_submission
from jaxstark.starknet.submitter import Submitter

FLAGS = flags.FLAGS
flags.DEFINE_enum("network", None, list(NETWORKS), "Network.", required=True)
flags.DEFINE_bool("allow_mainnet", False, "Allow mainnet, where fees are paid with money.")
flags.DEFINE_string("proof", None, "Proof file, .json or .bin.", required=True)
flags.DEFINE_string("key", None, "Key file that the verifier trusts.", required=True)
flags.DEFINE_string("public", None, "JSON object of public values.")
flags.DEFINE_string("air", None, "module:attribute of an AIR that is not shipped.")
flags.DEFINE_enum("encoding", "limb248", list(ENCODINGS), "Encoding of the proof.")
flags.DEFINE_bool("insecure", False, "Accept parameters that are for tests only.")
flags.DEFINE_string("max_fee_strk", None, "Most STRK that all transactions may cost together.")
flags.DEFINE_integer("tip", 0, "Tip in FRI for each unit of L2 gas.", lower_bound=0)
flags.DEFINE_string("max_price_gfri", None, "Most gFri for a unit of L2 gas.")
flags.DEFINE_string("job", None, "JSON file of a job: calls beside the record.")
flags.DEFINE_integer(
    "max_felts",
    envelope.DEFAULT_CHUNK,
    "Felts of a transaction; a longer proof takes several.",
    lower_bound=100,
    upper_bound=envelope.MAX_CALLDATA,
)
flags.DEFINE_string("pass_through", None, "JSON file with proof and proof_facts of SNIP-36.")
flags.DEFINE_bool("dry_run", False, "Print what would be sent, offline; send nothing.")
flags.DEFINE_bool("simulate", False, "Ask a node for estimate and outcome; send nothing.")
flags.DEFINE_bool("retry_reverted", False, "Send a transaction again that was reverted before.")
flags.DEFINE_string("outbox", None, "SQLite file of what was signed; default: one per network.")
_submit.define_settings(
    registry="Address of the registry.",
    explorer="Block explorer of the links, voyager or starkscan.",
)


def packed() -> list[int]:
    """The message of the proof, which is verified first."""
    named = VerifyingKey.load(FLAGS.key).air
    air = airs.resolve(named) if FLAGS.air is None else airs.load(FLAGS.air)
    key = VerifyingKey.load(FLAGS.key, air)
    public = {} if FLAGS.public is None else read_json("public", FLAGS.public)
    proof = Proof.load(FLAGS.proof)
    return packer.pack(proof, key, public, FLAGS.encoding, insecure=FLAGS.insecure)


def read_json(flag: str, path: str) -> dict[str, Any]:
    """The JSON object in the file of a flag."""
    try:
        obj = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError):
        obj = None
    if not isinstance(obj, dict):
        raise _script.UsageError(f"--{flag}: expected a JSON object, got {path}")
    return obj


def pass_through() -> tuple[str | None, list[int]]:
    """``proof`` and ``proof_facts`` of ``--pass_through``."""
    if FLAGS.pass_through is None:
        return None, []
    obj = read_json("pass_through", FLAGS.pass_through)
    try:
        proof, facts = obj["proof"], [int(fact, 16) for fact in obj["proof_facts"]]
    except (KeyError, TypeError, ValueError):
        proof, facts = None, []
    if not isinstance(proof, str) or not all(0 <= fact < PRIME for fact in facts):
        raise _script.UsageError(
            "--pass_through: expected proof, a text, and proof_facts, hexadecimal numbers below "
            f"the Starknet prime, got others in {FLAGS.pass_through}"
        )
    return proof, facts


def job_of(settings: Settings, target: Network, known: int | None) -> Job:
    """The job; its registry is that of the flags, the job's file, the network's deployment."""
    registry = known
    if settings.get("registry") is not None:
        registry = parse_address(settings.get("registry") or "", "registry")
    elif registry is None and target.name != "fake":
        found = deployments.load_deployment(target)
        registry = None if found is None else found.address
    if registry is None and FLAGS.dry_run:
        registry = 1  # any address has the same size
        print("registry     not set; sizes and costs do not depend on it")
    if FLAGS.job is not None:
        return load_job(FLAGS.job, registry)
    if registry is None:
        raise _script.UsageError(
            f"--registry: expected the address of a registry on {target.name} (or "
            "STARKNET_REGISTRY), got none; experiments/registry.py deploys one"
        )
    return Job.record_only(registry)


def fee_policy() -> FeePolicy:
    """Caps of the flags."""
    if FLAGS.max_fee_strk is None:
        raise _script.UsageError("--max_fee_strk: expected the most that may be paid, got none")
    price = None
    if FLAGS.max_price_gfri is not None:
        price = parse_strk(FLAGS.max_price_gfri) // 10**9
    return FeePolicy(parse_strk(FLAGS.max_fee_strk), FLAGS.tip, max_l2_gas_price=price)


def submission_of(message: list[int], job: Job) -> Submission:
    """The transactions of a message and a job."""
    proof, facts = pass_through()
    return make_submission(
        message, job, chunk_felts=FLAGS.max_felts, proof=proof, proof_facts=facts
    )


def place_of(settings: Settings, target: Network) -> _submit.Place:
    """Node and account of a network outside this process."""
    node, account = _submit.connect(settings, target, FLAGS.allow_mainnet)
    timing = _submit.LOCAL if target.name == "devnet" else Timing()
    return _submit.Place(target, node, account, None, FLAGS.outbox, timing)


def linked(target: Network, settings: Settings) -> Network:
    """The network with the explorer of the settings; a profile may name one that we do not know."""
    name = settings.get("explorer")
    if name is None or not target.explorers:
        return target
    if settings.source("explorer") == "block-explorer" and name.lower() not in dict(
        target.explorers
    ):
        return target
    return target.with_explorer(name)


def main() -> int:
    target = network(FLAGS.network)
    if FLAGS.dry_run and FLAGS.simulate:
        raise _script.UsageError("--dry_run: expected it without --simulate, got both")
    if target.is_mainnet and not FLAGS.allow_mainnet and not FLAGS.dry_run:
        raise _script.UsageError(
            "--network: expected --allow_mainnet for mainnet, where fees are real money, got none; "
            "nothing was sent"
        )
    policy = None if FLAGS.dry_run else fee_policy()
    if FLAGS.dry_run and FLAGS.max_fee_strk is not None:
        policy = fee_policy()
    settings = _submit.settings()
    target = linked(target, settings)
    message = packed()
    print("proof        verified and packed")
    return _submit.attempt(
        lambda: handle(message, settings, target, policy), "run the same command again to go on"
    )


def handle(
    message: list[int], settings: Settings, target: Network, policy: FeePolicy | None
) -> int:
    """Plan, and simulate or submit."""
    row: dict[str, Any] = {"experiment": "submit", "network": target.name, "sent": False}
    if FLAGS.dry_run:
        submission = submission_of(message, job_of(settings, target, None))
        row |= _submit.show_plan(submission, sizes.MINIMUM_PRICE)
        if policy is not None:
            row["max_fee_fri"] = policy.max_fee
            over = row["model_fee_fri"] > policy.max_fee
            print(f"cap          {show(policy.max_fee)}{': too low' if over else ''}")
        print("dry run      nothing was sent")
        _record.last_line(row)
        return _script.OK
    if policy is None:
        raise _script.UsageError("--max_fee_strk: expected the most that may be paid, got none")
    with contextlib.ExitStack() as stack:
        if target.name == "fake":
            planned = None if FLAGS.job is None else load_job(FLAGS.job, registry=1)
            place = stack.enter_context(_submit.fake_network(planned))
        else:
            job_of(settings, target, None)  # complain before a password is asked for
            place = place_of(settings, target)
        submission = submission_of(message, job_of(settings, target, place.registry))
        row |= _submit.show_plan(submission, sizes.MINIMUM_PRICE)
        print(f"account      {place.account.address:#x}, key from {place.account.source}")
        path = place.outbox or default_outbox(target.name)
        if FLAGS.simulate:
            path = MEMORY  # it writes nothing
        outbox = stack.enter_context(contextlib.closing(SqliteOutbox(path)))
        submitter = Submitter(
            place.node,
            place.network,
            place.account,
            outbox,
            policy,
            timing=place.timing,
            observer=_submit.Reporter(),
            allow_mainnet=FLAGS.allow_mainnet,
        )
        if FLAGS.simulate:
            found = submitter.simulate(submission)
            row |= _submit.show_simulation(found)
            print("simulation   nothing was sent")
            _record.last_line(row)
            return _script.FAILED if any(found.reverts) else _script.OK
        result = submitter.submit(submission, retry_reverted=FLAGS.retry_reverted)
    row |= _submit.show_result(result)
    row |= {"sent": not result.already, "recorded": True, "outbox": str(path)}
    _record.last_line(row)
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
