"""Networks and settings: chain ids, links, what wins over what, and URLs that never leak."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest

from jaxstark.starknet import networks
from jaxstark.starknet.networks import MAIN, NETWORKS, SEPOLIA, RpcUrl, chain_id_of, chain_name
from jaxstark.starknet.settings import read_env_file, resolve

SECRET = "https://user:hunter2pass@node.example:8443/v3/abcdef0123456789?apikey=zyxwvut98765"
PARTS = ("hunter2pass", "user:", "abcdef0123456789", "zyxwvut98765", "apikey")


def test_chain_ids_are_those_of_starknet_py():
    chains = pytest.importorskip("starknet_py.net.models.chains")
    assert chains.StarknetChainId.SEPOLIA == SEPOLIA
    assert chains.StarknetChainId.MAINNET == MAIN
    assert chain_name(SEPOLIA) == "SN_SEPOLIA" and chain_id_of("SN_MAIN") == MAIN
    assert chain_name(1) == "0x1"


def test_spec_version_is_that_of_starknet_py():
    constants = pytest.importorskip("starknet_py.constants")
    networks.check_spec_version(constants.EXPECTED_RPC_VERSION)


@pytest.mark.parametrize("version", ["0.9.0", "0.1.0", "1.0.0", None, 10, "0.100"])
def test_another_specification_is_refused(version):
    with pytest.raises(ValueError, match=r"specification 0\.10\.x"):
        networks.check_spec_version(version)


def test_links_name_the_whole_hash():
    sepolia = NETWORKS["sepolia"]
    assert sepolia.explorer_link(0x12) == f"https://sepolia.voyager.online/tx/0x{0x12:064x}"
    other = sepolia.with_explorer("StarkScan")
    assert (other.explorer_link(1) or "").startswith("https://sepolia.starkscan.co/tx/0x0")
    assert NETWORKS["devnet"].explorer_link(1) is None
    with pytest.raises(ValueError, match="voyager, starkscan"):
        sepolia.with_explorer("etherscan")


def test_no_public_network_has_a_node_of_its_own():
    assert [n.rpc_url for n in NETWORKS.values() if not n.name.startswith(("fake", "dev"))] == [
        None,
        None,
    ]
    assert NETWORKS["mainnet"].is_mainnet and not NETWORKS["sepolia"].is_mainnet
    with pytest.raises(ValueError, match="fake, devnet, sepolia, mainnet"):
        networks.network("goerli")


def test_a_url_shows_scheme_and_host_only():
    url = RpcUrl(SECRET)
    shown = f"{url} {url!r} {[url]}"
    assert str(url) == "https://node.example:8443/<hidden>"
    assert not any(part in shown for part in PARTS)
    with pytest.raises(TypeError):
        pickle.dumps(url)


def test_the_request_has_the_password_in_its_header_only():
    url = RpcUrl("https://me%40x:pass%2Fword@node.example/rpc#part")
    assert url.reveal() == "https://node.example/rpc"
    header = url.authorization() or ""
    kind, _, encoded = header.partition(" ")
    assert kind == "Basic" and base64.b64decode(encoded) == b"me@x:pass/word"
    assert url.scrub(f"bad {header} of me@x with pass/word or pass%2Fword") == (
        "bad Basic <hidden> of <hidden> with <hidden> or <hidden>"
    )
    assert RpcUrl("https://node.example/rpc").authorization() is None


def test_text_of_a_node_is_scrubbed():
    url = RpcUrl(SECRET)
    text = f"no route for {SECRET} (/v3/abcdef0123456789 key zyxwvut98765 of hunter2pass)"
    assert not any(part in url.scrub(text) for part in PARTS)
    plain = RpcUrl("http://127.0.0.1:5050/rpc")
    assert plain.scrub("method rpc not found at /rpc") == "method rpc not found at /rpc"
    assert str(plain) == "http://127.0.0.1:5050/rpc" and plain.is_local


@pytest.mark.parametrize(
    "text", ["", "node.example/s3cret", "ftp://h/s3cret", "https:///s3cret", "https://h:x/s3cret"]
)
def test_a_bad_url_is_not_quoted(text):
    with pytest.raises(ValueError, match="RPC URL") as caught:
        RpcUrl(text)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "snfoundry.toml").write_text(
        '[sncast.default]\nurl = "http://toml"\naccount = "toml"\naccounts-file = "a.json"\n'
        '[sncast.mine]\nurl = "http://mine"\nblock-explorer = "Voyager"\nwait = true\n'
    )
    (tmp_path / "below").mkdir()
    (tmp_path / ".env").write_text(
        "# comment\nexport STARKNET_ACCOUNT='dotenv' # who\nSTARKNET_KEYSTORE=k.json # where\n\n"
    )
    return tmp_path


def test_flags_win_over_environment_over_env_file_over_profile(folder):
    found = resolve({}, {}, folder=folder)
    assert (found.get("rpc_url"), found.get("account")) == ("http://toml", "dotenv")
    assert found.get("keystore") == "k.json"
    assert found.get("accounts_file") == str(folder / "a.json")
    environ = {"STARKNET_ACCOUNT": "environment", "STARKNET_RPC_URL": "http://environment"}
    found = resolve({"account": "flag", "keystore": None}, environ, folder=folder)
    assert (found.get("account"), found.get("rpc_url")) == ("flag", "http://environment")
    assert (
        found.source("account") == "--account" and found.source("keystore") == "STARKNET_KEYSTORE"
    )
    assert found.level("account") == 0 and found.level("registry") is None


def test_a_profile_is_found_from_a_folder_below(folder):
    found = resolve({}, {}, folder=folder / "below", profile="mine")
    assert found.get("rpc_url") == "http://mine" and found.get("explorer") == "Voyager"
    with pytest.raises(ValueError, match="default, mine, got 'yours'"):
        resolve({}, {}, folder=folder, profile="yours")


def test_no_files_no_settings(tmp_path):
    found = resolve({}, {}, folder=tmp_path)
    assert not found.found and not found.secrets
    with pytest.raises(ValueError, match="found none"):
        resolve({}, {}, folder=tmp_path, profile="mine")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("snfoundry.toml", "[sncast.default\nurl = 's3cret'"),
        ("snfoundry.toml", "[sncast]\ndefault = 's3cret'"),
        ("snfoundry.toml", "[sncast.default]\nurl = ['s3cret']"),
        (".env", "s3cret"),
        (".env", "A='s3cret"),
    ],
)
def test_files_that_cannot_be_understood_are_not_quoted(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
        resolve({}, {}, folder=tmp_path)
    assert "s3cret" not in str(caught.value)


def test_secrets_are_no_flags(tmp_path):
    for name in ("private_key", "password"):
        with pytest.raises(ValueError, match="environment") as caught:
            resolve({name: "s3cret"}, {})
        assert "s3cret" not in str(caught.value)
    found = resolve({}, {"STARKNET_PRIVATE_KEY": "0x5ec4e7", "STARKNET_RPC_URL": SECRET})
    assert "5ec4e7" not in repr(found) and "hunter2pass" not in repr(found)
    assert "5ec4e7" not in repr(found.found)
    assert found.secrets["private_key"].reveal() == "0x5ec4e7"


def test_env_file_lines(tmp_path):
    path = tmp_path / ".env"
    path.write_text('A=1\nB="two words" # c\n  export C = 3 \n#D=4\nE=a#b\nF=\n')
    assert read_env_file(path) == {"A": "1", "B": "two words", "C": "3", "E": "a#b", "F": ""}
    assert read_env_file(tmp_path / "absent") == {}
