"""Accounts: where the address and the key come from; the key itself is never shown.

A key comes from a web3 keystore file with a password; from the environment, with a warning; from
an accounts file of sncast, with a warning; or it stays with a custom signer. Of several sources the
stronger setting wins (flag, environment, .env, snfoundry.toml), and at one strength the order here.
No error quotes a file that may hold a key: errors are raised outside ``except`` blocks, so that the
text of a parser's error, which may, is not chained to them.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxstark.starknet.networks import Network
from jaxstark.starknet.secret import Secret
from jaxstark.starknet.settings import Settings, others_may_read
from jaxstark.starknet.signing import KeySigner, Signer, require_starknet_py

SNCAST_ACCOUNTS = Path("~/.starknet_accounts/starknet_open_zeppelin_accounts.json")
_ADDRESS_BOUND = 2**251 - 256


@dataclass(frozen=True)
class Account:
    """An account that can sign.

    Attributes:
      address: of the account contract.
      signer: signs its transactions.
      source: words for where the key comes from.
      warning: what is unsafe about that; empty if nothing is.
    """

    address: int
    signer: Signer = field(repr=False)  # not ours to show: a custom one may hold a key
    source: str
    warning: str = ""


def load(
    settings: Settings, network: Network, *, prompt: Callable[[str], str] | None = None
) -> Account:
    """The account that the settings name.

    Args:
      settings: resolved settings.
      network: whose chain id is signed, and whose section of an accounts file is read.
      prompt: asks for a password without echo; None for the terminal, if there is one.

    Raises ``ValueError`` with what to set where something is missing, locked, or does not fit.
    """
    require_starknet_py()
    candidates = [
        (level, order, make)
        for order, (name, make) in enumerate(
            (
                ("keystore", _from_keystore),
                ("private_key", _from_environment),
                ("account", _from_sncast),
            )
        )
        if (level := settings.level(name)) is not None
        if name != "account" or not _is_starkli(settings)
    ]
    if not candidates:
        raise ValueError(
            "account: expected one, got none; set STARKNET_KEYSTORE with STARKNET_ACCOUNT_ADDRESS "
            "or a starkli account file in STARKNET_ACCOUNT, or name an sncast account"
        )
    _, _, make = min(candidates, key=lambda c: c[:2])
    account = make(settings, network, prompt)
    exposed = settings.exposed()
    if exposed:
        words = f"other users may read {exposed}: run chmod 600 on it"
        account = replace(account, warning="; ".join(filter(None, (account.warning, words))))
    return account


def parse_address(text: str, what: str = "account address") -> int:
    """A contract address; ``ValueError`` unless it is a number in 1..2^251 - 257."""
    try:
        value = int(text, 0)
    except ValueError:
        value = 0
    if not 0 < value < _ADDRESS_BOUND:
        raise ValueError(f"{what}: expected 0x and up to 63 hexadecimal digits, got {text[:80]!r}")
    return value


def _from_keystore(
    settings: Settings, network: Network, prompt: Callable[[str], str] | None
) -> Account:
    path = Path(settings.get("keystore") or "").expanduser()
    content = _read_json(path, "keystore")
    if content.get("version") != 3 or not isinstance(content.get("crypto"), dict):
        raise ValueError(
            f"keystore {path}: expected a web3 keystore of version 3, got another file"
        )
    address, public_key = _address(settings)  # before the password is asked for
    signer = KeySigner(_decrypt(content, path, _password(settings, path, prompt)), network.chain_id)
    _check_public_key(signer, public_key, f"keystore {path}")
    return Account(address, signer, f"keystore {path}")


def _from_environment(
    settings: Settings, network: Network, prompt: Callable[[str], str] | None
) -> Account:
    del prompt
    address, public_key = _address(settings)
    signer = KeySigner(settings.secrets["private_key"], network.chain_id)
    _check_public_key(signer, public_key, "STARKNET_PRIVATE_KEY")
    warning = (
        "the private key is in the environment, which other programs may read; a keystore file "
        "with a password is safer"
    )
    return Account(address, signer, "STARKNET_PRIVATE_KEY", warning)


def _from_sncast(
    settings: Settings, network: Network, prompt: Callable[[str], str] | None
) -> Account:
    del prompt
    name = settings.get("account") or ""
    path = Path(settings.get("accounts_file") or SNCAST_ACCOUNTS).expanduser()
    accounts = _read_json(path, "accounts file").get(network.section, {})
    entry = accounts.get(name) if isinstance(accounts, dict) else None
    if not isinstance(entry, dict):
        names = ", ".join(sorted(accounts)) if isinstance(accounts, dict) and accounts else "none"
        raise ValueError(
            f"account: expected one of section {network.section} of {path} ({names}), got {name!r}"
        )
    if entry.get("deployed") is False:
        raise ValueError(
            f"account {name}: expected a deployed account, got one that is not; run sncast account "
            "deploy first"
        )
    if entry.get("legacy") is True:
        raise ValueError(f"account {name}: expected a Cairo 1 account, got a legacy one")
    if not all(isinstance(entry.get(key), str) for key in ("private_key", "address")):
        raise ValueError(
            f"account {name}: expected private_key and address in {path}, got an entry without; "
            "keys on a Ledger need a custom signer"
        )
    signer = KeySigner(Secret(entry["private_key"]), network.chain_id)
    _check_public_key(signer, _number(entry.get("public_key")), f"account {name}")
    warning = f"the private key is in the plain text of {path}"
    if others_may_read(path):
        warning += ", which other users may read: run chmod 600 on it"
    address = parse_address(entry["address"], f"account {name}: address")
    return Account(address, signer, f"account {name} of {path}", warning)


def _is_starkli(settings: Settings) -> bool:
    """Whether the account setting names an account file of starkli, which holds no key."""
    name = settings.get("account") or ""
    return name.endswith(".json") or os.sep in name


def _address(settings: Settings) -> tuple[int, int | None]:
    """Address of the account, and its public key where a starkli account file has it."""
    if settings.get("account") is not None and _is_starkli(settings):
        address, public_key = _starkli_account(Path(settings.get("account") or "").expanduser())
        given = settings.get("account_address")
        if given is not None and parse_address(given) != address:
            raise ValueError(
                f"account address: expected {address:#x} of the account file, got {given}"
            )
        return address, public_key
    text = settings.get("account_address")
    if text is None:
        raise ValueError(
            "account address: expected STARKNET_ACCOUNT_ADDRESS or a starkli account file in "
            "STARKNET_ACCOUNT, got none"
        )
    return parse_address(text), None


def _starkli_account(path: Path) -> tuple[int, int | None]:
    content = _read_json(path, "account file")
    variant, deployment = content.get("variant"), content.get("deployment")
    if not isinstance(variant, dict) or not isinstance(deployment, dict):
        raise ValueError(f"account file {path}: expected one of starkli, got another file")
    if variant.get("legacy") is True:
        raise ValueError(f"account file {path}: expected a Cairo 1 account, got a legacy one")
    if deployment.get("status") != "deployed" or not isinstance(deployment.get("address"), str):
        raise ValueError(
            f"account file {path}: expected a deployed account, got one that is not; run starkli "
            "account deploy first"
        )
    address = parse_address(deployment["address"], f"account file {path}: address")
    keys = [variant.get("public_key"), variant.get("owner")]
    return address, next((n for n in map(_number, keys) if n is not None), None)


def _check_public_key(signer: KeySigner, expected: int | None, what: str) -> None:
    if expected is not None and signer.public_key != expected:
        raise ValueError(
            f"{what}: expected the key of public key {expected:#x}, got another "
            f"({signer.public_key:#x})"
        )


def _password(settings: Settings, path: Path, prompt: Callable[[str], str] | None) -> Secret:
    """The password: from its file, the environment, or a person, in this order."""
    file = settings.get("password_file")
    if file is not None:
        try:
            text = Path(file).expanduser().read_text(encoding="utf-8")
        except UnicodeDecodeError:
            text = ""
        if not text.strip():
            raise ValueError(f"password file {file}: expected a line of text, got none")
        return Secret(text.splitlines()[0])
    if "password" in settings.secrets:
        return settings.secrets["password"]
    if prompt is None and sys.stdin is not None and sys.stdin.isatty():
        prompt = getpass.getpass
    if prompt is None:
        raise ValueError(
            f"keystore {path}: expected a password in KEYSTORE_PASSWORD or --password_file, got "
            "none, and there is no terminal to ask on"
        )
    return Secret(prompt(f"Password of {path}: "))


def _decrypt(content: dict[str, Any], path: Path, password: Secret) -> Secret:
    from eth_keyfile.keyfile import decode_keyfile_json

    key: Secret | None = None
    wrong = False
    try:
        plain = decode_keyfile_json(content, password.reveal().encode("utf-8"))
        key = Secret(f"0x{int.from_bytes(plain, 'big'):x}")
        del plain
    except ValueError as error:
        wrong = "mac" in str(error).lower()
    except Exception:  # whatever a broken file makes of its reader
        key = None
    if wrong:
        raise ValueError(f"keystore {path}: expected its password, got a wrong one")
    if key is None:
        raise ValueError(f"keystore {path}: expected a web3 keystore, got a damaged one")
    return key


def _read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file; ``ValueError`` without a word of its content."""
    content: Any = None
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        pass
    except (ValueError, RecursionError):
        content = ()
    if content is None and not path.exists():
        raise ValueError(f"{what}: expected a file, got {path}, which does not exist")
    if not isinstance(content, dict):
        raise ValueError(f"{what} {path}: expected a JSON object, got something else")
    return content


def _number(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return int(value, 0)
    except ValueError:
        return None
