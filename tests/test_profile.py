"""Protocol profiles: names, configuration mixing, serialization details."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from jaxstark.channel import Blake2sChannel, Poseidon252Channel
from jaxstark.fields.qm31 import QM31
from jaxstark.params import ProofParams
from jaxstark.profile import DEFAULT_PROFILE, PROFILES, get_profile

PARAMS = ProofParams(pow_bits=1, log_blowup=2, n_queries=3, fold_step=5, log_last_layer=4)


def test_profiles_by_name():
    assert get_profile("stwo-2.2") is DEFAULT_PROFILE
    assert get_profile("stwo-2.2").new_channel() == Blake2sChannel()
    assert get_profile("stwo-2.2-poseidon252").new_channel() == Poseidon252Channel()
    assert all(name == profile.name for name, profile in PROFILES.items())
    for name in ("stwo-1.0", "", None, 3, ["stwo-2.2"]):
        with pytest.raises(ValueError, match="profile: expected one of stwo-2.2"):
            get_profile(name)  # type: ignore[arg-type]


def test_configuration_is_mixed_as_two_elements():
    profile, start = DEFAULT_PROFILE, Blake2sChannel()
    mixed = profile.mix_config(start, PARAMS)
    assert mixed == start.mix_felts([QM31(1, 2, 3, 4), QM31(5, 0, 0, 0)])


def test_t1_every_parameter_is_bound():
    start = Blake2sChannel()
    states = {DEFAULT_PROFILE.mix_config(start, PARAMS)}
    for field in fields(ProofParams):
        changed = replace(PARAMS, **{field.name: getattr(PARAMS, field.name) + 1})
        states.add(DEFAULT_PROFILE.mix_config(start, changed))
    assert len(states) == 1 + len(fields(ProofParams))


def test_serialization_details_of_the_target():
    profile = get_profile("stwo-2.2")
    assert (profile.json_lifting_key, profile.json_lifting_value) == ("lifting_log_size", None)
    assert profile.oods_pow_bits == 0
    known = {field.name for field in fields(ProofParams)}
    for each in PROFILES.values():
        assert known - set(each.felt_config_fields) <= {"fold_step"}
        assert set(each.felt_config_fields) <= known
    with pytest.raises(FrozenInstanceError):
        profile.name = "other"  # type: ignore[misc]


def test_t40_verifier_parts_import_no_jax(repo):
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "import jaxstark.pcs_verify, jaxstark.profile, jaxstark.channel, jaxstark.hash.suite"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    # The same probe does fail for a module that needs JAX.
    probe = "import sys; sys.modules['jax'] = None\nimport jax.numpy"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode != 0
