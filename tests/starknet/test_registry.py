"""The registry: the committed class is what its hash says, and Python and Cairo mean the same."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest

from jaxstark.circle import MAX_LOG_SIZE
from jaxstark.errors import ProofShapeError
from jaxstark.params import (
    MAX_FOLD_STEP,
    MAX_LOG_BLOWUP,
    MAX_LOG_LAST_LAYER,
    MAX_POW_BITS,
    MAX_QUERIES,
    ProofParams,
)
from jaxstark.starknet import header as wire_header
from jaxstark.starknet import registry
from jaxstark.starknet.deployments import Deployment, load_deployment
from jaxstark.starknet.envelope import check_whole
from jaxstark.starknet.felts import PRIME, poseidon_hash_many, short_string
from jaxstark.starknet.header import MAX_COMPONENTS, Header, Refused, params_word, sizes_word
from jaxstark.starknet.networks import NETWORKS
from jaxstark.starknet.registry import Record, Recorded, Status
from jaxstark.starknet.rpc import Event
from tests.starknet.sierra import libfuncs, versions

REPO = Path(__file__).resolve().parents[2]
CONTRACTS = REPO / "contracts"
ADDRESS, SUBMITTER = 0x1234, 0xA11CE


@pytest.fixture(scope="module")
def sierra() -> dict:
    return json.loads(registry.sierra_class())


@pytest.fixture(scope="module")
def abi(sierra) -> dict[str, dict]:
    """Items of the ABI by their last name."""
    return {item.get("name", item["type"]).rpartition("::")[2]: item for item in sierra["abi"]}


def message() -> list[int]:
    params = ProofParams.preset("stwo-96")
    values = [2, 7, 9]
    words = [0x77, params_word(params, "blake2s"), sizes_word((10, 20))]
    payload = [len(values), *values, *range(100, 117)]
    header = Header(
        "limb248",
        0x77,
        params,
        "blake2s",
        (10, 20),
        poseidon_hash_many([*words, *values]),
        poseidon_hash_many(payload),
        len(payload),
    )
    out = [*header.encode(), *payload]
    check_whole(out)
    return out


# ------------------------------------------------------------------ the class


def test_the_hashes_are_those_of_the_committed_class():
    common = pytest.importorskip("starknet_py.common")
    from starknet_py.hash.casm_class_hash import compute_casm_class_hash
    from starknet_py.hash.sierra_class_hash import compute_sierra_class_hash

    sierra = common.create_sierra_compiled_contract(registry.sierra_class())
    assert hex(registry.CLASS_HASH) == hex(compute_sierra_class_hash(sierra))
    casm = common.create_casm_class(registry.casm_class())
    assert hex(registry.COMPILED_CLASS_HASH) == hex(compute_casm_class_hash(casm))


def test_the_class_uses_audited_libfuncs_only(sierra):
    from starknet_py.hash.utils import _starknet_keccak

    lines = (CONTRACTS / "audited_libfuncs.txt").read_text().splitlines()
    audited = [line for line in lines if not line.startswith("#")]
    assert audited == sorted(set(audited))
    long_names = {_starknet_keccak(n.encode()): n for n in audited if len(n) > 31}
    used = libfuncs(sierra, long_names.get)
    assert used <= set(audited)
    # The reader sees what the contract cannot do without, names of over 31 characters included.
    assert {
        "hades_permutation",
        "emit_event_syscall",
        "storage_write_syscall",
        "storage_address_from_base_and_offset",
    } <= used


def test_the_class_fits_the_network(sierra):
    casm = json.loads(registry.casm_class())
    assert len(casm["bytecode"]) <= 81_920
    assert len(registry.sierra_class()) <= 4_089_446
    assert versions(sierra) == ((1, 7, 0), (2, 16, 0))
    assert casm["compiler_version"] == "2.16.0"
    assert casm["prime"] == hex(PRIME)


def test_the_interface_is_the_one_in_python(abi, sierra):
    from starknet_py.hash.selector import get_selector_from_name

    interface = {item["name"]: item for item in abi["IRegistry"]["items"]}
    assert set(interface) == {"record", "abandon", "record_of", "chunks_received"}
    external = {int(e["selector"], 16) for e in sierra["entry_points_by_type"]["EXTERNAL"]}
    assert external == set(map(get_selector_from_name, interface))
    assert not sierra["entry_points_by_type"]["CONSTRUCTOR"]
    assert [i["type"] for i in interface["record"]["inputs"]] == [
        "core::array::Array::<core::felt252>"
    ]
    assert [m["name"] for m in abi["Record"]["members"]] == [f.name for f in fields(Record)]
    views = {n for n, item in interface.items() if item["state_mutability"] == "view"}
    assert views == {"record_of", "chunks_received"}


def test_the_event_is_the_one_in_python(abi):
    from starknet_py.hash.selector import get_selector_from_name

    assert get_selector_from_name("Recorded") == registry.RECORDED_SELECTOR
    members = abi["Recorded"]["members"]
    assert [m["name"] for m in members] == [f.name for f in fields(Recorded)]
    assert [m["kind"] for m in members] == ["key"] * 3 + ["data"] * 5


def test_the_contract_has_the_reasons_of_the_model():
    text = (CONTRACTS / "registry/src/interface.cairo").read_text()
    found = set(re.findall(r"felt252 = '([^']+)';", text))
    names = "MAGIC VERSION HEADER STATEMENT CHUNK LENGTH DIGEST".split()
    model = {getattr(wire_header, f"BAD_{name}") for name in names}
    model |= {wire_header.WRONG_CHUNK, wire_header.CHUNK_MISMATCH, wire_header.ALREADY_RECORDED}
    assert found == model | {registry.NOTHING_TO_ABANDON}


def test_the_contract_has_the_bounds_of_the_model():
    text = (CONTRACTS / "registry/src/header.cairo").read_text()
    found = {
        name: int(value) for name, value in re.findall(r"const (MAX_\w+): u128 = (\d+);", text)
    }
    assert found == {
        "MAX_POW_BITS": MAX_POW_BITS,
        "MAX_LOG_BLOWUP": MAX_LOG_BLOWUP,
        "MAX_LOG_LAST_LAYER": MAX_LOG_LAST_LAYER,
        "MAX_FOLD_STEP": MAX_FOLD_STEP,
        "MAX_QUERIES": MAX_QUERIES,
        "MAX_HASH_ID": len(wire_header.SUITES) - 1,
        "MAX_COMPONENTS": MAX_COMPONENTS,
        "MAX_LOG_SIZE": MAX_LOG_SIZE,
    }


def test_scarb_builds_with_the_same_compiler():
    text = (CONTRACTS / "registry/Scarb.toml").read_text()
    version = re.search(r"^CAIRO_VERSION=(.*)$", (CONTRACTS / "toolchain.sh").read_text(), re.M)
    assert version and f'starknet = "{version[1]}"' in text
    edition = re.search(r"^edition = .*$", text, re.M)
    assert edition and edition[0] in (CONTRACTS / "registry/cairo_project.toml").read_text()


@pytest.mark.parametrize("script", ["build.sh", "test.sh", "devnet.sh"])
def test_a_build_without_cargo_says_what_is_missing(script, tmp_path):
    for name in ("bash", "dirname", "mktemp"):  # a PATH without cargo
        (tmp_path / name).symlink_to(Path("/usr/bin") / name)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["/bin/bash", str(CONTRACTS / script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1, done.stderr
    assert "expected cargo on PATH" in done.stderr
    assert done.stderr.count("\n") == 1


# ------------------------------------------------------------------ calls


def test_a_record_call_hands_over_the_whole_message():
    felts = message()
    call = registry.record_call(ADDRESS, felts)
    assert (call.step, call.contract, call.entry_point) == ("record", ADDRESS, "record")
    assert call.arguments == (len(felts), *felts)


@pytest.mark.parametrize("index", range(8))
def test_a_message_that_would_revert_makes_no_call(index):
    felts = message()
    felts[index] = PRIME
    with pytest.raises(ProofShapeError):
        registry.record_call(ADDRESS, felts)


def test_the_other_calls_have_the_key():
    assert registry.abandon_call(ADDRESS, 5, 6).arguments == (5, 6)
    for make in (registry.record_of_call, registry.chunks_received_call):
        call = make(ADDRESS, SUBMITTER, 5, 6)
        assert call.arguments == (SUBMITTER, 5, 6)
        assert f"{call.entry_point}_call" == make.__name__
    with pytest.raises(ProofShapeError, match="digest"):
        registry.abandon_call(ADDRESS, 5, PRIME)
    with pytest.raises(ProofShapeError, match="address"):
        registry.abandon_call(-1, 5, 6)


# ------------------------------------------------------------------ event and views


def test_an_event_says_what_the_message_says():
    felts = message()
    event = Recorded.expected(felts, SUBMITTER)
    keys, data = event.encode()
    assert keys == [registry.RECORDED_SELECTOR, SUBMITTER, felts[4], felts[5]]
    assert data == [felts[1], felts[2], felts[3], len(felts) - 8, 1]
    assert Recorded.decode(keys, data) == event
    with pytest.raises(Refused, match="bad header"):
        Recorded.expected(felts[:7], SUBMITTER)


EVENT = Recorded(SUBMITTER, 4, 5, 1, 2, 3, 100, 2)
KEYS, DATA = EVENT.encode()


@pytest.mark.parametrize(
    ("keys", "data"),
    [
        ([], DATA),
        ([short_string("Recorded"), *KEYS[1:]], DATA),
        (KEYS[:-1], DATA),
        ([*KEYS, 1], DATA),
        (KEYS, DATA[:-1]),
        (KEYS, [*DATA, 0]),
        (KEYS, [*DATA[:-2], 1 << 32, 2]),
        (KEYS, [*DATA[:-1], 1 << 32]),
        (KEYS, [PRIME, *DATA[1:]]),
        (KEYS, [-1, *DATA[1:]]),
        (KEYS, "abcde"),
    ],
)
def test_a_malformed_event_is_refused(keys, data):
    with pytest.raises(ProofShapeError):
        Recorded.decode(keys, data)


def test_events_of_other_contracts_and_names_are_skipped():
    own = Event(ADDRESS, tuple(KEYS), tuple(DATA))
    other = replace(own, contract=ADDRESS + 1, data=())
    name = replace(own, keys=(1, *KEYS[1:]))
    bare = replace(own, keys=())
    assert registry.recorded_events([other, name, own, bare], ADDRESS) == [EVENT]
    with pytest.raises(ProofShapeError, match="data"):
        registry.recorded_events([replace(own, data=())], ADDRESS)


def test_a_record_is_read_from_its_view():
    assert Record.decode([2, 100, 1, 77]) == Record(Status.RECORDED, 100, 1, 77)
    assert Record.decode((0, 0, 0, 0)).status is Status.ABSENT
    bounds = [3, 1 << 32, 1 << 32, 1 << 64]
    for index, bound in enumerate(bounds):
        felts = [1, 2, 3, 4]
        felts[index] = bound
        with pytest.raises(ProofShapeError):
            Record.decode(felts)
    for felts in ([], [1, 2, 3], [1, 2, 3, 4, 5]):
        with pytest.raises(ProofShapeError, match="4 felts"):
            Record.decode(felts)


# ------------------------------------------------------------------ deployments

SEPOLIA = NETWORKS["sepolia"]
DEPLOYED = Deployment("sepolia", SEPOLIA.chain_id, 1, 2, 3, 4, 5)


def test_a_deployment_is_written_as_it_is_read(tmp_path):
    assert load_deployment(SEPOLIA, tmp_path) is None
    (tmp_path / "sepolia.json").write_text(DEPLOYED.to_json())
    assert load_deployment(SEPOLIA, tmp_path) == DEPLOYED
    assert json.loads(DEPLOYED.to_json())["block"] == 5
    (tmp_path / "mainnet.json").write_text(DEPLOYED.to_json())
    with pytest.raises(ValueError, match="expected chain SN_MAIN, got SN_SEPOLIA"):
        load_deployment(NETWORKS["mainnet"], tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"address": "0x0"},
        {"address": 3},
        {"address": "3"},
        {"address": "0xzz"},
        {"block": "5"},
        {"block": -1},
        {"network": ""},
        {"network": None},
        {"extra": 1},
        {"class_hash": None},
    ],
)
def test_a_malformed_deployment_is_refused(change, tmp_path):
    text = json.dumps(json.loads(DEPLOYED.to_json()) | change)
    (tmp_path / "sepolia.json").write_text(text)
    with pytest.raises(ValueError, match=r"sepolia\.json: deployment"):
        load_deployment(SEPOLIA, tmp_path)


def test_the_deployments_are_those_of_this_class_and_schema():
    folder = REPO / "deployments"
    schema = json.loads((folder / "schema.json").read_text())
    names = [f.name for f in fields(Deployment)]
    assert schema["required"] == list(schema["properties"]) == names
    for path in folder.glob("*.json"):
        if path.name != "schema.json":
            found = load_deployment(NETWORKS[path.stem], folder)
            assert found is not None and found.class_hash == registry.CLASS_HASH
