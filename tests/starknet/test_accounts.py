"""Accounts: every source of a key, its refusals, and that no key or password is ever shown."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest

pytest.importorskip("starknet_py")

from eth_keyfile.keyfile import create_keyfile_json  # noqa: E402

from jaxstark.starknet import accounts  # noqa: E402
from jaxstark.starknet.calls import Call, sign  # noqa: E402
from jaxstark.starknet.fees import Bounds, Resource  # noqa: E402
from jaxstark.starknet.networks import NETWORKS, SEPOLIA  # noqa: E402
from jaxstark.starknet.secret import Secret  # noqa: E402
from jaxstark.starknet.settings import resolve  # noqa: E402
from jaxstark.starknet.signing import KeySigner  # noqa: E402

KEY = 0x5EC4E7C0FFEE5EC4E7C0FFEE5EC4E7C0FFEE5EC4E7C0FFEE5EC4E7C0FFEE123
PASSWORD = "correct horse battery"
ADDRESS = 0xACC01
NETWORK = NETWORKS["sepolia"]
SHOWN = (f"{KEY:x}", f"{KEY:X}", str(KEY), PASSWORD)


def assert_hidden(*texts: str) -> None:
    for text in texts:
        assert not any(part in text for part in SHOWN), text


def everything_of(error: BaseException) -> str:
    """All that an error, and what is chained to it, could print."""
    parts = ["".join(traceback.format_exception(error))]
    while error is not None:
        parts += [repr(error), str(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def public_key() -> int:
    return KeySigner(Secret(hex(KEY)), SEPOLIA).public_key


@pytest.fixture(scope="module")
def keystore(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "key.json"
    content = create_keyfile_json(KEY.to_bytes(32, "big"), PASSWORD.encode(), iterations=2)
    path.write_text(json.dumps(content))
    return path


def load(environ=None, flags=None, folder=None, prompt=None):
    return accounts.load(resolve(flags or {}, environ or {}, folder=folder), NETWORK, prompt=prompt)


def with_keystore(path, **more: str) -> dict[str, str]:
    return {"STARKNET_KEYSTORE": str(path), "STARKNET_ACCOUNT_ADDRESS": hex(ADDRESS)} | more


def test_a_keystore_opens_with_its_password(keystore, public_key, tmp_path):
    by_environment = load(with_keystore(keystore, KEYSTORE_PASSWORD=PASSWORD))
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    os.chmod(file, 0o600)
    by_file = load(with_keystore(keystore, STARKNET_PASSWORD_FILE=str(file)))
    asked = []
    by_prompt = load(with_keystore(keystore), prompt=lambda text: asked.append(text) or PASSWORD)
    for account in (by_environment, by_file, by_prompt):
        assert account.address == ADDRESS and account.warning == ""
        assert account.signer.public_key == public_key  # type: ignore[attr-defined]
        assert_hidden(repr(account))
    assert asked == [f"Password of {keystore}: "]


def assert_named_while_open(path: Path, environ, folder=None) -> None:
    os.chmod(path, 0o640)
    warning = load(environ, folder=folder).warning
    assert f"other users may read {path}: run chmod 600 on it" in warning
    assert_hidden(warning)
    os.chmod(path, 0o600)
    assert "chmod" not in load(environ, folder=folder).warning


def test_a_password_file_that_others_may_read_is_named(keystore, tmp_path):
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    assert_named_while_open(path, with_keystore(keystore, STARKNET_PASSWORD_FILE=str(path)))


def test_an_env_file_with_a_key_that_others_may_read_is_named(tmp_path):
    path = tmp_path / ".env"
    path.write_text(f"STARKNET_PRIVATE_KEY={KEY:#x}\nSTARKNET_ACCOUNT_ADDRESS={ADDRESS:#x}\n")
    assert_named_while_open(path, {}, tmp_path)
    os.chmod(path, 0o644)
    environ = {"STARKNET_PRIVATE_KEY": hex(KEY), "STARKNET_ACCOUNT_ADDRESS": hex(ADDRESS)}
    assert "chmod" not in load(environ, folder=tmp_path / "no").warning
    path.write_text(f"STARKNET_ACCOUNT_ADDRESS={ADDRESS:#x}\n")
    assert "chmod" not in load({"STARKNET_PRIVATE_KEY": hex(KEY)}, folder=tmp_path).warning


def test_a_wrong_password_is_said_and_not_shown(keystore):
    with pytest.raises(ValueError, match="expected its password, got a wrong one") as caught:
        load(with_keystore(keystore, KEYSTORE_PASSWORD="battery"))
    assert "battery" not in str(caught.value)


def test_a_locked_keystore_without_terminal(keystore, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ValueError, match="KEYSTORE_PASSWORD or --password_file, got none"):
        load(with_keystore(keystore))


def test_the_address_is_asked_before_the_password(keystore):
    def prompt(text: str) -> str:
        raise AssertionError("asked for a password")

    with pytest.raises(ValueError, match="account address: expected STARKNET_ACCOUNT_ADDRESS"):
        load({"STARKNET_KEYSTORE": str(keystore)}, prompt=prompt)


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"version": 4, "crypto": {}}', '{"version": 3}', '{"version": 3, "crypto": {}}']
    + ['{"version": 3, "crypto": {"kdf": "none", "cipher": "aes"}}', f'{{"key": "{KEY:x}"'],
)
def test_a_damaged_keystore_is_refused_and_not_quoted(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="keystore") as caught:
        load(with_keystore(path, KEYSTORE_PASSWORD=PASSWORD))
    assert_hidden(everything_of(caught.value))


def test_absent_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no\.json, which does not exist"):
        load(with_keystore(tmp_path / "no.json"))


def test_a_key_of_the_environment_comes_with_a_warning():
    environ = {"STARKNET_PRIVATE_KEY": hex(KEY), "STARKNET_ACCOUNT_ADDRESS": hex(ADDRESS)}
    account = load(environ)
    assert "other programs may read" in account.warning
    assert_hidden(repr(account), account.warning, account.source)


@pytest.mark.parametrize("bad", ["", "0x0", "-1", "zz", hex(2**252), f"{KEY:x}zz"])
def test_a_bad_key_is_not_quoted(bad):
    with pytest.raises(ValueError) as caught:
        load({"STARKNET_PRIVATE_KEY": bad, "STARKNET_ACCOUNT_ADDRESS": hex(ADDRESS)})
    assert_hidden(everything_of(caught.value))
    assert not bad or len(bad) < 4 or bad not in everything_of(caught.value)


@pytest.fixture
def sncast(tmp_path, public_key) -> Path:
    entry = {"private_key": hex(KEY), "public_key": hex(public_key), "address": hex(ADDRESS)}
    path = tmp_path / "accounts.json"
    content = {
        "alpha-sepolia": {
            "mine": entry | {"deployed": True, "legacy": False},
            "undeployed": entry | {"deployed": False},
            "legacy": entry | {"legacy": True},
            "ledger": {"address": hex(ADDRESS), "ledger_path": "m//starknet'"},
            "mixed": entry | {"public_key": "0x1"},
        }
    }
    path.write_text(json.dumps(content))
    os.chmod(path, 0o644)
    return path


def test_an_sncast_account(sncast, public_key):
    environ = {"STARKNET_ACCOUNT": "mine", "STARKNET_ACCOUNTS_FILE": str(sncast)}
    account = load(environ)
    assert account.address == ADDRESS and account.signer.public_key == public_key  # type: ignore[attr-defined]
    assert "chmod 600" in account.warning
    os.chmod(sncast, 0o600)
    assert "chmod" not in load(environ).warning and "plain text" in load(environ).warning
    assert_hidden(repr(account), account.warning)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("yours", "ledger, legacy, mine, mixed, undeployed"),
        ("undeployed", "sncast account deploy"),
        ("legacy", "Cairo 1"),
        ("ledger", "custom signer"),
        ("mixed", "public key 0x1"),
    ],
)
def test_other_sncast_accounts_are_refused(sncast, name, words):
    with pytest.raises(ValueError, match=words) as caught:
        load({"STARKNET_ACCOUNT": name, "STARKNET_ACCOUNTS_FILE": str(sncast)})
    assert_hidden(everything_of(caught.value))


def test_a_damaged_accounts_file_is_not_quoted(tmp_path):
    path = tmp_path / "accounts.json"
    path.write_text(f'{{"alpha-sepolia": {{"mine": {{"private_key": "{KEY:#x}"')
    with pytest.raises(ValueError, match="JSON object") as caught:
        load({"STARKNET_ACCOUNT": "mine", "STARKNET_ACCOUNTS_FILE": str(path)})
    assert_hidden(everything_of(caught.value))


def starkli(path: Path, public_key: int, **deployment: str) -> str:
    content = {
        "version": 1,
        "variant": {"type": "open_zeppelin", "version": 1, "public_key": hex(public_key)},
        "deployment": {"status": "deployed", "address": hex(ADDRESS)} | deployment,
    }
    path.write_text(json.dumps(content))
    return str(path)


def test_a_starkli_account_file_gives_the_address(tmp_path, keystore, public_key):
    environ = {"STARKNET_KEYSTORE": str(keystore), "KEYSTORE_PASSWORD": PASSWORD}
    environ["STARKNET_ACCOUNT"] = starkli(tmp_path / "account.json", public_key)
    assert load(environ).address == ADDRESS
    with pytest.raises(ValueError, match="of the account file"):
        load(environ | {"STARKNET_ACCOUNT_ADDRESS": "0x5"})
    starkli(tmp_path / "account.json", public_key, status="undeployed")
    with pytest.raises(ValueError, match="starkli account deploy"):
        load(environ)
    starkli(tmp_path / "account.json", public_key + 1)
    with pytest.raises(ValueError, match="expected the key of public key") as caught:
        load(environ)
    assert_hidden(everything_of(caught.value))


def test_the_stronger_setting_gives_the_key(sncast, keystore):
    environ = {"STARKNET_PRIVATE_KEY": hex(KEY), "STARKNET_ACCOUNT_ADDRESS": "0xe"}
    flags = {"account": "mine", "accounts_file": str(sncast)}
    assert load(environ).source == "STARKNET_PRIVATE_KEY"
    assert load(environ, flags).source.startswith("account mine")
    environ |= with_keystore(keystore, KEYSTORE_PASSWORD=PASSWORD)
    assert load(environ).source.startswith("keystore")
    assert load(environ, flags).source.startswith("account mine")


def test_no_account_says_what_to_set():
    with pytest.raises(ValueError, match="STARKNET_KEYSTORE with STARKNET_ACCOUNT_ADDRESS"):
        load()


@pytest.mark.parametrize("text", ["0x0", "x", "-3", hex(2**251)])
def test_bad_addresses(text):
    with pytest.raises(ValueError, match="account address"):
        accounts.parse_address(text)


def test_a_signer_shows_nothing_in_any_form(caplog, public_key):
    signer, secret = KeySigner(Secret(hex(KEY)), SEPOLIA), Secret(hex(KEY))
    account = accounts.Account(ADDRESS, signer, "a test")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%s %r %s %s", signer, account, secret, [secret])
    shown = [str(signer), repr(signer), f"{secret}", f"{secret!r}", f"{secret:>9}", str([secret])]
    assert_hidden(*shown, caplog.text, str(dir(signer)), str(dir(secret)))
    assert not hasattr(signer, "__dict__") and not hasattr(secret, "__dict__")
    assert hex(public_key) in repr(signer)
    for thing in (signer, secret):
        for copier in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                copier(thing)
    assert secret != Secret(hex(KEY))


def test_signatures_are_those_of_the_account_model_of_starknet_py(public_key):
    from starknet_py.hash.utils import verify_message_signature
    from starknet_py.net.account.account import Account
    from starknet_py.net.client_models import Call as TheirCall
    from starknet_py.net.client_models import ResourceBounds, ResourceBoundsMapping
    from starknet_py.net.full_node_client import FullNodeClient
    from starknet_py.net.signer.key_pair import KeyPair

    bounds = Bounds(Resource(1, 2), Resource(3, 4), Resource(5, 6))
    call = Call("record", 0x77, "record", (2, 8, 9))
    facts = [7, 8]
    ours = sign(
        [call, call],
        sender=ADDRESS,
        signer=KeySigner(Secret(hex(KEY)), SEPOLIA),
        chain_id=SEPOLIA,
        nonce=9,
        bounds=bounds,
        tip=11,
        proof="cHJvb2Y=",
        proof_facts=facts,
    )
    account = Account(
        address=ADDRESS,
        client=FullNodeClient("http://127.0.0.1:1"),
        key_pair=KeyPair.from_private_key(KEY),
        chain=SEPOLIA,
    )
    account._cairo_version = 1  # what it would ask the node for
    theirs = account.sign_invoke_v3_sync(  # type: ignore[attr-defined]
        [TheirCall(0x77, call.selector(), [2, 8, 9])] * 2,
        nonce=9,
        resource_bounds=ResourceBoundsMapping(
            l1_gas=ResourceBounds(1, 2),
            l1_data_gas=ResourceBounds(3, 4),
            l2_gas=ResourceBounds(5, 6),
        ),
        tip=11,
        proof="cHJvb2Y=",
        proof_facts=facts,
    )
    from starknet_py.net.client_utils import _create_broadcasted_txn

    assert ours.tx_hash == theirs.calculate_hash(SEPOLIA)
    payload = json.loads(ours.payload)
    shown = _create_broadcasted_txn(theirs)

    def numbers(obj):
        if isinstance(obj, dict):
            return {k: numbers(v) for k, v in obj.items()}
        if isinstance(obj, list):
            return [numbers(v) for v in obj]
        return int(obj, 16) if isinstance(obj, str) and obj.startswith("0x") else obj

    assert numbers(payload) == numbers(shown)
    signature = [int(part, 16) for part in payload["signature"]]
    assert verify_message_signature(ours.tx_hash, signature, public_key)
    assert ours.worst_fee == 2 + 12 + 5 * (6 + 11)


def test_a_transaction_is_hashed_once(monkeypatch):
    """The hash runs over thousands of felts, and signer and outbox both want it."""
    from starknet_py.hash.transaction import compute_invoke_v3_transaction_hash as compute

    hashed = []
    monkeypatch.setattr(
        "starknet_py.net.models.transaction.compute_invoke_v3_transaction_hash",
        lambda *given, **named: hashed.append(1) or compute(*given, **named),
    )
    signed = sign(
        [Call("record", 0x77, "record", (1, 2))],
        sender=ADDRESS,
        signer=KeySigner(Secret(hex(KEY)), SEPOLIA),
        chain_id=SEPOLIA,
        nonce=1,
        bounds=Bounds(*[Resource(1, 2)] * 3),
    )
    assert signed.tx_hash and len(hashed) == 1
