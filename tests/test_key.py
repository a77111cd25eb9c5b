"""A key is trusted input: malformed ones are the caller's mistake, said in one sentence."""

import dataclasses
import json
import random

import pytest

from jaxstark.hash.poseidon252 import F252
from jaxstark.key import VerifyingKey
from jaxstark.params import PRESETS, ProofParams

ROOT = bytes(range(32))
KEY = VerifyingKey("stwo-2.2", "plonk", (5, 4), ROOT, PRESETS["stwo-96"])
TEXT = (
    '{"format":"jaxstark-key/1","profile":"stwo-2.2","air":"plonk","log_sizes":[5,4],'
    f'"preprocessed_root":"{ROOT.hex()}","config":{{"pow_bits":26,"log_blowup_factor":1,'
    '"log_last_layer_degree_bound":0,"n_queries":70,"fold_step":4}}'
)


def test_json_is_the_documented_text() -> None:
    assert KEY.to_json() == TEXT
    assert VerifyingKey.from_json(TEXT) == KEY
    assert VerifyingKey.from_json(json.dumps(json.loads(TEXT), indent=2)) == KEY


@pytest.mark.parametrize("root", [0, 1, F252 - 1])
def test_poseidon_roots_round_trip(root: int) -> None:
    key = VerifyingKey("stwo-2.2-poseidon252", "x", (3,), root, ProofParams(0, 1, 1))
    assert VerifyingKey.from_json(key.to_json()) == key
    with pytest.raises(ValueError, match="key: root of tree 0"):
        dataclasses.replace(key, preprocessed_root=F252)
    with pytest.raises(ValueError, match="key: root of tree 0"):
        VerifyingKey.from_json(key.to_json().replace(hex(root), "0x0" + hex(root)[2:]))


def test_the_definition_is_not_part_of_the_value() -> None:
    with_air = dataclasses.replace(KEY, definition=object())  # type: ignore[arg-type]
    assert with_air == KEY and hash(with_air) == hash(KEY)
    assert with_air.to_json() == TEXT and "definition" not in repr(with_air)


def test_t1_every_field_counts() -> None:
    for change in (
        {"air": "other"},
        {"log_sizes": (5, 3)},
        {"preprocessed_root": bytes(32)},
        {"params": PRESETS["compact-96"]},
    ):
        assert dataclasses.replace(KEY, **change) != KEY


def test_malformed_fields_are_refused() -> None:
    for change in (
        {"profile": "stwo-9"},
        {"profile": None},
        {"air": ""},
        {"air": 5},
        {"log_sizes": [5, 4]},
        {"log_sizes": ()},
        {"log_sizes": (0,)},
        {"log_sizes": (31,)},
        {"log_sizes": (1 << 40,)},
        {"preprocessed_root": ROOT[:-1]},
        {"preprocessed_root": 5},
        {"params": None},
    ):
        with pytest.raises(ValueError, match="^key: .*expected .*, got "):
            dataclasses.replace(KEY, **change)


def test_malformed_texts_are_refused() -> None:
    for old, new in (
        ("key/1", "key/2"),
        (ROOT.hex(), ROOT.hex().upper()),
        (ROOT.hex(), ROOT.hex()[2:]),
        (f'"{ROOT.hex()}"', "7"),
        ('"fold_step":4', '"fold_step":0'),
        ('"fold_step":4', '"fold_step":true'),
        ('"fold_step":4', '"fold_step":4.0'),
        ('"fold_step":4', '"fold_step":4,"fold_step":4'),
        (',"fold_step":4', ""),
        ("[5,4]", "[5,4.5]"),
        ("[5,4]", '"54"'),
        ("[5,4]", "NaN"),
        ('"air"', '"Air"'),
        ("{", "[" * 50_000 + "{"),
    ):
        assert old in TEXT
        with pytest.raises(ValueError, match="^key: "):
            VerifyingKey.from_json(TEXT.replace(old, new, 1))


def test_t26_mutated_texts_raise_value_error_or_give_another_key() -> None:
    for seed in range(1000):
        rng = random.Random(seed)
        at = rng.randrange(len(TEXT))
        text = TEXT[:at] + rng.choice('0123456789abf[]{},:"-. \u00e9') + TEXT[at + 1 :]
        try:
            key = VerifyingKey.from_json(text)
        except ValueError as error:
            assert len(str(error)) < 1000
        else:
            assert json.loads(key.to_json()) == json.loads(text)


def test_files_round_trip(tmp_path) -> None:
    path = tmp_path / "any.key"
    KEY.save(path)
    assert VerifyingKey.load(path) == KEY
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        VerifyingKey.load(path)
    with pytest.raises(FileNotFoundError):
        VerifyingKey.load(tmp_path / "absent")
