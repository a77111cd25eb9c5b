"""Settings of a submission: flags, then environment, then .env, then a profile of snfoundry.toml.

=================  ============================  ==========================
setting            environment                   snfoundry.toml
=================  ============================  ==========================
rpc_url            STARKNET_RPC_URL              url
account            STARKNET_ACCOUNT              account
account_address    STARKNET_ACCOUNT_ADDRESS
accounts_file      STARKNET_ACCOUNTS_FILE        accounts-file
keystore           STARKNET_KEYSTORE             keystore
password_file      STARKNET_PASSWORD_FILE
registry           STARKNET_REGISTRY
explorer           STARKNET_EXPLORER             block-explorer
private_key        STARKNET_PRIVATE_KEY
password           KEYSTORE_PASSWORD
=================  ============================  ==========================

The two secrets come from the environment alone: a command line is seen by every user of a machine.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxstark.starknet.secret import Secret

ENVIRONMENT = {
    "rpc_url": "STARKNET_RPC_URL",
    "account": "STARKNET_ACCOUNT",
    "account_address": "STARKNET_ACCOUNT_ADDRESS",
    "accounts_file": "STARKNET_ACCOUNTS_FILE",
    "keystore": "STARKNET_KEYSTORE",
    "password_file": "STARKNET_PASSWORD_FILE",
    "registry": "STARKNET_REGISTRY",
    "explorer": "STARKNET_EXPLORER",
    "private_key": "STARKNET_PRIVATE_KEY",
    "password": "KEYSTORE_PASSWORD",
}
PROFILE = {
    "rpc_url": "url",
    "account": "account",
    "accounts_file": "accounts-file",
    "keystore": "keystore",
    "explorer": "block-explorer",
}
SECRETS = ("private_key", "password")
LEVELS = ("flag", "environment", ".env", "snfoundry.toml")


@dataclass(frozen=True)
class Setting:
    """A value and where it comes from; the text form hides what may be secret."""

    value: str = field(repr=False)
    level: str


@dataclass(frozen=True)
class Settings:
    """All settings that were given, by name.

    Attributes:
      found: name to value with level; only what was given.
      secrets: name to the secret, for the names in ``SECRETS``.
      env_file: the ``.env`` that was looked for; None for none.
    """

    found: Mapping[str, Setting] = field(repr=False)
    secrets: Mapping[str, Secret]
    env_file: Path | None = None

    def get(self, name: str) -> str | None:
        """The value of a setting; None where none was given."""
        setting = self.found.get(name)
        return None if setting is None else setting.value

    def level(self, name: str) -> int | None:
        """How strong the source of a setting is, 0 for a flag; None where none was given."""
        setting = self.found.get(name)
        return None if setting is None else LEVELS.index(setting.level)

    def exposed(self) -> str:
        """What other users may read a secret in; empty for nothing.

        That is a ``.env`` with a key or password, or the password file, of an open mode.
        """
        password = self.get("password_file")
        files = [] if password is None else [Path(password).expanduser()]
        in_file = (self.level(name) == LEVELS.index(".env") for name in SECRETS)
        if self.env_file is not None and any(in_file):
            files.append(self.env_file)
        return " and ".join(str(path) for path in files if others_may_read(path))

    def source(self, name: str) -> str:
        """Words for messages: where a setting comes from."""
        level = self.found[name].level
        if level == "flag":
            return f"--{name}"
        return PROFILE[name] if level == "snfoundry.toml" else ENVIRONMENT[name]


def resolve(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    *,
    folder: Path | None = None,
    profile: str | None = None,
) -> Settings:
    """Settings of all sources, stronger ones first.

    Args:
      flags: name to value of a flag, None where it was not given.
      environ: environment, as ``os.environ``.
      folder: where ``.env`` is looked for, and ``snfoundry.toml`` there and in the folders above;
        None to read neither.
      profile: section of ``snfoundry.toml``; None for ``default``, which need not exist.

    Raises ``ValueError`` for a file that cannot be understood or lacks the profile, and for a flag
    that would carry a secret.
    """
    for name in SECRETS:
        if flags.get(name) is not None:
            raise ValueError(
                f"{name}: expected {ENVIRONMENT[name]} in the environment, got a flag; command "
                "lines are visible to other users"
            )
    layers: list[tuple[str, Mapping[str, str]]] = [
        ("flag", {name: value for name, value in flags.items() if value is not None}),
        ("environment", _named(environ)),
    ]
    if folder is not None:
        layers.append((".env", _named(read_env_file(folder / ".env"))))
        layers.append(("snfoundry.toml", read_profile(folder, profile)))
    elif profile is not None:
        raise ValueError(f"profile: expected a folder with snfoundry.toml for {profile!r}")
    found: dict[str, Setting] = {}
    secrets: dict[str, Secret] = {}
    for level, layer in layers:
        for name, value in layer.items():
            if name in found or not value:
                continue
            if name in SECRETS:
                secrets[name] = Secret(value)
                value = ""
            found[name] = Setting(value, level)
    return Settings(found, secrets, None if folder is None else folder / ".env")


def others_may_read(path: Path) -> bool:
    """Whether there is a file there whose mode lets other users read or change it."""
    return path.is_file() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _named(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[key] for name, key in ENVIRONMENT.items() if environ.get(key)}


def read_env_file(path: Path) -> dict[str, str]:
    """The pairs of a ``.env`` file; none if there is no such file.

    A line is empty, a comment after ``#``, or ``NAME=value`` with an optional ``export``; a value
    in quotes is taken without them. Nothing is expanded.

    Raises ``ValueError`` with the number of a line that is none of these, but not its text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text, got other bytes") from None
    pairs: dict[str, str] = {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier():
            raise ValueError(f"{path}: line {number}: expected NAME=value, got something else")
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            if end < 0:
                raise ValueError(f"{path}: line {number}: expected a closing quote, got none")
            value = value[1:end]
        else:
            value = value.split(" #", 1)[0].rstrip()
        pairs[name] = value
    return pairs


def find_snfoundry(folder: Path) -> Path | None:
    """The ``snfoundry.toml`` of a folder, or of the nearest folder above it that has one."""
    for place in (folder.resolve(), *folder.resolve().parents):
        if (place / "snfoundry.toml").is_file():
            return place / "snfoundry.toml"
    return None


def read_profile(folder: Path, profile: str | None) -> dict[str, str]:
    """Settings of ``[sncast.<profile>]``; none without a file or without a default profile."""
    path = find_snfoundry(folder)
    if path is None:
        if profile is not None:
            raise ValueError(f"profile {profile}: expected a snfoundry.toml, found none")
        return {}
    try:
        tables: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("sncast", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ValueError(f"{path}: expected TOML, got something else") from None
    if not isinstance(tables, dict):
        raise ValueError(f"{path}: expected tables [sncast.<profile>], got something else")
    table = tables.get(profile or "default")
    if table is None and profile is None:
        return {}
    if not isinstance(table, dict):
        names = ", ".join(sorted(n for n, t in tables.items() if isinstance(t, dict))) or "none"
        raise ValueError(f"{path}: expected a profile among {names}, got {profile!r}")
    out: dict[str, str] = {}
    for name, key in PROFILE.items():
        value = table.get(key)
        if value is None:
            continue
        if not isinstance(value, str):
            raise ValueError(f"{path}: {key}: expected text, got {type(value).__name__}")
        if name in ("accounts_file", "keystore"):
            value = str(path.parent / Path(value).expanduser())  # relative to the file, as sncast
        out[name] = value
    return out
