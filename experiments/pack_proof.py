r"""Pack a proof for Starknet: verify it, write the calldata of its messages, print what it costs.

    python experiments/pack_proof.py --proof=out/prove/proof.json --key=out/prove/key.json \
        --public=out/prove/public.json --out=out/packed

writes to the folder

    calldata.json       header, and the felts of every message as hexadecimal numbers
    message_0.calldata  the arguments of record(message), as sncast takes them:
                        sncast invoke --contract-address=0x.. --function=record \
                            --calldata $(cat message_0.calldata)
    message_0.toml      with --contract: the same as a file for `sncast multicall run --path`

with one numbered file for each transaction, to be sent in order. The files are read back before
the script ends. The last line is one JSON object with every figure.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import _record
import _script
from absl import flags

from jaxstark import Proof, VerifyingKey
from jaxstark.air import registry
from jaxstark.air.planning import check_public_values
from jaxstark.errors import VerificationError
from jaxstark.proof import write_atomically
from jaxstark.starknet import envelope, packer, sizes
from jaxstark.starknet.accounts import parse_address
from jaxstark.starknet.header import ENCODINGS, HEADER_FELTS, Header

FLAGS = flags.FLAGS
flags.DEFINE_string("proof", None, "Proof file, .json or .bin.", required=True)
flags.DEFINE_string("key", None, "Key file that the verifier trusts.", required=True)
flags.DEFINE_string("public", None, "JSON object of public values.")
flags.DEFINE_string("air", None, "module:attribute of an AIR that is not shipped.")
flags.DEFINE_enum("encoding", "limb248", list(ENCODINGS), "Encoding of the proof.")
flags.DEFINE_integer(
    "max_felts",
    envelope.DEFAULT_CHUNK,
    "Felts of a message; longer proofs are sent in several.",
    lower_bound=HEADER_FELTS + 2,
    upper_bound=envelope.MAX_CALLDATA - envelope.CALL_FELTS,
)
flags.DEFINE_string("contract", None, "Address of the registry, for the TOML files.")
flags.DEFINE_float("price", 8.0, "Price of L2 gas in gFri, for the figures in STRK.")
flags.DEFINE_string("out", "out/packed", "Folder for the calldata.")
flags.DEFINE_bool("insecure", False, "Accept parameters that are for tests only.")

FORMAT = "jaxstark-calldata/1"
MESSAGE = re.compile(r"message_\d+\.(calldata|toml)")


def public_values() -> dict[str, Any]:
    """The public values of ``--public``."""
    if FLAGS.public is None:
        return {}
    try:
        values = json.loads(Path(FLAGS.public).read_text())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise _script.UsageError(f"--public: expected a JSON object, got {FLAGS.public}")
    return values


def contract_address() -> int | None:
    """The address of ``--contract``."""
    if FLAGS.contract is None:
        return None
    return parse_address(FLAGS.contract, "--contract")


def arguments(message: list[int]) -> list[str]:
    """What ``record`` takes: the length of the message, then its felts."""
    return [hex(len(message)), *map(hex, message)]


def calldata_text(message: list[int]) -> str:
    """The arguments on one line, as ``--calldata`` of sncast takes them."""
    return " ".join(arguments(message)) + "\n"


def multicall_text(message: list[int], contract: int) -> str:
    """The call as a file for ``sncast multicall run``."""
    inputs = ", ".join(f'"{felt}"' for felt in arguments(message))
    return (
        f'[[call]]\ncall_type = "invoke"\ncontract_address = "{contract:#x}"\n'
        f'function = "record"\ninputs = [{inputs}]\n'
    )


def calldata_json(chunks: list[list[int]]) -> str:
    """All messages of a proof with what their headers have in common."""
    header = Header.decode(chunks[0])
    return _record.compact(
        {
            "format": FORMAT,
            "encoding": header.encoding,
            "air_id": hex(header.air_id),
            "parameters": hex(header.parameters),
            "log_sizes": list(header.log_sizes),
            "statement_hash": hex(header.statement),
            "digest": hex(header.digest),
            "felts": header.felts,
            "messages": [[hex(felt) for felt in chunk] for chunk in chunks],
        }
    )


def write(folder: Path, chunks: list[list[int]], contract: int | None) -> list[str]:
    """Write all files, each whole or not at all, and remove those of an earlier run: their names.

    A message of another proof must not lie beside these.
    """
    texts = {"calldata.json": calldata_json(chunks) + "\n"}
    for i, chunk in enumerate(chunks):
        texts[f"message_{i}.calldata"] = calldata_text(chunk)
        if contract is not None:
            texts[f"message_{i}.toml"] = multicall_text(chunk, contract)
    for name, text in texts.items():
        write_atomically(folder / name, text.encode("ascii"))
    for path in folder.iterdir():
        if MESSAGE.fullmatch(path.name) and path.name not in texts:
            path.unlink()
    return list(texts)


def check_files(folder: Path, message: list[int], contract: int | None) -> None:
    """Read every file back; ``VerificationError`` unless its messages are those of the proof."""
    data = json.loads((folder / "calldata.json").read_text())
    chunks = [[int(felt, 16) for felt in chunk] for chunk in data["messages"]]
    found = {"calldata.json": envelope.join(chunks) == message}
    for i, chunk in enumerate(chunks):
        name = f"message_{i}.calldata"
        words = [int(felt, 16) for felt in (folder / name).read_text().split()]
        found[name] = words == [len(chunk), *chunk]
        if contract is not None:
            name = f"message_{i}.toml"
            (call,) = tomllib.loads((folder / name).read_text())["call"]
            inputs = [int(felt, 16) for felt in call["inputs"]]
            found[name] = inputs == words and int(call["contract_address"], 16) == contract
    for name, ok in found.items():
        if not ok:
            raise VerificationError("files", f"{name}: expected the messages, got others")


def size_row(size: sizes.Size, price: int) -> dict[str, Any]:
    """A size for the record."""
    return {
        "encoding": size.encoding,
        "felts": size.felts,
        "bytes": size.bytes,
        "chunks": list(size.chunks),
        "transactions": size.transactions,
        "estimated": size.estimated,
        "gas": size.gas,
        "strk": round(size.strk(price), 6),
    }


def main() -> int:
    (gfri,) = _script.rates("price")
    price = round(gfri * 10**9)
    if price < 1:
        raise _script.UsageError(f"--price: expected at least 1e-9 gFri, got {gfri:g}")
    contract = contract_address()
    named = VerifyingKey.load(FLAGS.key).air
    air = registry.resolve(named) if FLAGS.air is None else registry.load(FLAGS.air)
    key = VerifyingKey.load(FLAGS.key, air)
    public = check_public_values(air, public_values())
    proof = Proof.load(FLAGS.proof)
    folder = Path(FLAGS.out)
    if folder.exists() and not folder.is_dir():
        raise _script.UsageError(f"--out: expected a folder, got the file {folder}")

    verify_seconds = _script.timed_verify(proof, key, public, insecure=FLAGS.insecure)
    start = time.perf_counter()
    message = packer.encode(proof, key, air, public, FLAGS.encoding)
    pack_seconds = time.perf_counter() - start
    chunks = envelope.split(message, FLAGS.max_felts)
    folder.mkdir(parents=True, exist_ok=True)  # for a proof that was verified
    files = write(folder, chunks, contract)
    check_files(folder, message, contract)

    header = Header.decode(message)
    felts = {e: packer.payload(proof, key, air, public, e) for e in ENCODINGS}
    found = [sizes.counted(e, HEADER_FELTS + len(felts[e]), FLAGS.max_felts) for e in felts]
    report = sizes.report(
        air.shape(key.log_sizes, public),
        proof=sizes.Row("this proof", key.params, tuple(found)),
        statement=message[HEADER_FELTS],
        suite=header.suite,
        price=price,
        max_felts=FLAGS.max_felts,
    )
    print(f"verified     {verify_seconds:.3f} s, then packed in {pack_seconds:.3f} s")
    print(f"statement    {header.statement:#x}")
    print(f"digest       {header.digest:#x}")
    print("\n".join(report.lines()))
    lengths = ", ".join(str(len(chunk)) for chunk in chunks)
    print(f"messages     {lengths} felts; files in {folder}")
    _record.last_line(
        {
            "experiment": "pack_proof",
            "verified": True,
            "air": key.air,
            "encoding": FLAGS.encoding,
            "statement_hash": hex(header.statement),
            "digest": hex(header.digest),
            "felts": len(message),
            "chunks": [len(chunk) for chunk in chunks],
            "price_fri": price,
            "sizes": {row.name: [size_row(s, price) for s in row.sizes] for row in report.rows},
            "seconds": {"verify": round(verify_seconds, 4), "pack": round(pack_seconds, 4)},
            "files": {name: str(folder / name) for name in files},
            "environment": _record.environment(),
        }
    )
    return _script.OK


if __name__ == "__main__":
    _script.run(main)
