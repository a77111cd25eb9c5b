"""Jobs: arguments in their layout, calls in their transactions, limits, and the job file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxstark.errors import ProofShapeError
from jaxstark.starknet.calls import invoke_felts
from jaxstark.starknet.envelope import join, split
from jaxstark.starknet.felts import PRIME
from jaxstark.starknet.job import RECORD, STEPS, Job, Target, encode
from jaxstark.starknet.job_file import load_job, parse_job
from jaxstark.starknet.submission import Submission, describe, make_submission

pytest.importorskip("starknet_py")

from tests.starknet.submit_kit import message  # noqa: E402

ALL = {step: Target(100 + i, step) for i, step in enumerate(STEPS)}
JOB = Job(
    ALL,
    job_id=(7 << 128) + 5,
    worker=0xA,
    client=0xB,
    amount=(1 << 130) + 3,
    value=9,
    private=True,
    measurement=0xC,
    signature=(1, 2, 3),
)


def test_a_u256_is_split_at_128_bits():
    assert encode("job_id", (1 << 64) + 1) == [(1 << 64) + 1, 0]
    assert encode("job_id", (7 << 128) + 5) == [5, 7]


@given(st.integers(0, 2**256 - 1))
def test_a_u256_comes_back(value):
    low, high = encode("amount", value)
    assert max(low, high) < 1 << 128 and low + (high << 128) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("job_id", -1), ("job_id", 1 << 256), ("worker", PRIME), ("private", 1), ("job_id", True)]
    + [("signature", (PRIME,)), ("signature", 5), ("worker", "0x1"), ("amount", 1.0)],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Job({RECORD: Target(1, RECORD)}, **{name: value})


def test_the_five_calls_and_the_record():
    (calls,) = JOB.calls([message(4)])
    text = message(4)
    statement = text[4]
    arguments = {call.step: list(call.arguments) for call in calls}
    assert [call.step for call in calls] == list(STEPS)
    assert [call.contract for call in calls] == [100, 101, 102, 103, 104, 105]
    assert arguments == {
        "register_job": [5, 7, 0xA, 0xB, 3, 4, 9, 0, 1],
        "record": [len(text), *text],
        "submit_proof": [len(text), *text, statement, 5, 7],
        "register_with_router": [5, 7, 0xA, 1],
        "pay": [3, 4, 5, 7],
        "submit_result": [5, 7, 0xA, statement, 0xC, 3, 1, 2, 3],
    }


def test_chunks_have_their_calls():
    chunks = split(message(4, 60), 32)
    steps = [[call.step for call in calls] for calls in JOB.calls(chunks)]
    every = ["record", "submit_proof"]
    last = ["register_with_router", "pay", "submit_result"]
    assert steps == [["register_job", *every], every, [*every, *last]]


def test_entry_points_and_arguments_are_configuration():
    target = Target(5, "settle", ("digest", "job_id", "result_hash"))
    job = Job({RECORD: Target(1, "publish"), "pay": target}, job_id=3, result_hash=8)
    (calls,) = job.calls([message(1)])
    assert [(c.entry_point, c.arguments[:1]) for c in calls][1] == ("settle", (message(1)[5],))
    assert calls[0].entry_point == "publish" and calls[1].arguments[1:] == (3, 0, 8)


def test_a_call_may_have_no_arguments():
    job = Job({RECORD: Target(1, RECORD), "pay": Target(5, "settle", ())}, job_id=3)
    (calls,) = job.calls([message(1)])
    assert calls[1].arguments == ()
    assert job.chunk_room(500) == 500 - 1 - 3 - 1 - 3
    text = json.dumps(FILE | {"calls": {"pay": {"contract": "0x5", "arguments": []}}})
    assert parse_job(text, registry=1).targets["pay"].arguments == ()


def test_the_record_has_the_message():
    for names in ((), ("digest",)):
        with pytest.raises(ValueError, match="arguments of record: expected message"):
            Job({RECORD: Target(1, RECORD, names)})


def test_a_job_needs_the_record_and_known_steps():
    with pytest.raises(ValueError, match="expected the step record"):
        Job({"pay": Target(1, "pay")})
    with pytest.raises(ValueError, match="step: expected one of"):
        Job({RECORD: Target(1, RECORD), "refund": Target(1, "refund")})
    for bad in ((0, "f"), (PRIME, "f"), (1, "a b"), (1, "")):
        with pytest.raises(ValueError, match="contract|entry point"):
            Target(*bad)
    with pytest.raises(ValueError, match="argument of f"):
        Target(1, "f", ("secret",))


@pytest.mark.parametrize("limit", [130, 257, 700])
@pytest.mark.parametrize("targets", [{RECORD: ALL[RECORD]}, ALL])
def test_no_transaction_is_over_the_limit(limit, targets):
    job = Job(targets, signature=(1,) * 20)
    submission = make_submission(message(1, 500), job, chunk_felts=limit)
    assert max(submission.felts) <= limit
    assert submission.felts == tuple(invoke_felts(c) for c in submission.transactions)
    found = [c for t in submission.transactions for c in t if c.step == RECORD]
    assert join([list(c.arguments[1:]) for c in found]) == message(1, 500)


def test_felts_over_the_limit_are_refused():
    job = Job({RECORD: ALL[RECORD]})
    with pytest.raises(ValueError, match="expected at most 5000 felts .* got 5015"):
        job.calls([message(1, 5000)])
    with pytest.raises(ValueError, match="expected room for a chunk"):
        make_submission(message(1, 500), Job(ALL, signature=(1,) * 80), chunk_felts=100)


def test_a_message_that_the_registry_would_refuse_goes_nowhere():
    for place in range(1, len(message(1))):
        bad = message(1)
        bad[place] += 1
        with pytest.raises(ProofShapeError):
            make_submission(bad, Job.record_only(1))


def test_pass_through_data_are_checked_and_counted():
    job = Job.record_only(1)
    both = make_submission(message(1), job, proof="cHJvb2Y=", proof_facts=[1, 2])
    plain = make_submission(message(1), job)
    assert both.felts[0] == plain.felts[0] + 2
    assert both.key(1, 2) != plain.key(1, 2)
    with pytest.raises(ValueError, match="both or neither"):
        make_submission(message(1), job, proof="x")
    with pytest.raises(ProofShapeError, match="proof facts"):
        make_submission(message(1), job, proof="x", proof_facts=[PRIME])
    with pytest.raises(ValueError, match="expected a message of one transaction"):
        make_submission(message(1, 60), job, chunk_felts=50, proof="x", proof_facts=[1])


def test_a_plan_comes_back_and_its_key_names_everything():
    submission = make_submission(message(1, 60), JOB, chunk_felts=200)
    assert Submission.from_plan(submission.plan()) == submission
    keys = {
        submission.key(1, 2),
        submission.key(2, 2),
        submission.key(1, 3),
        make_submission(message(1, 60), JOB, chunk_felts=201).key(1, 2),
        make_submission(message(2, 60), JOB, chunk_felts=200).key(1, 2),
        make_submission(message(1, 60), Job(ALL, job_id=1), chunk_felts=200).key(1, 2),
    }
    assert len(keys) >= 5 and submission.key(1, 2) == make_submission(
        message(1, 60), JOB, chunk_felts=200
    ).key(1, 2)
    assert not submission.record_only and describe(submission)[0]["calls"][1]["step"] == RECORD


FILE = {
    "format": "jaxstark-job/1",
    "calls": {
        "pay": {"contract": "0x68", "arguments": ["amount"]},
        "register_job": {"contract": "0x64", "entry_point": "register_job_payment"},
    },
    "job": {"job_id": "0x10", "amount": 12, "private": True, "signature": ["0x1", 2]},
}


def test_a_job_file(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(FILE))
    job = load_job(path, registry=0x99)
    assert job.registry == 0x99 and job.job_id == 16 and job.signature == (1, 2) and job.private
    assert job.targets["register_job"] == Target(0x64, "register_job_payment")
    assert job.targets["pay"] == Target(0x68, "pay", ("amount",))
    with pytest.raises(ValueError, match="step record"):
        load_job(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "format"),
        ({"more": 1}, "members"),
        ({"calls": []}, "members"),
        ({"calls": {"pay": {}}}, "address"),
        ({"calls": {"pay": {"contract": "0x0"}}}, "contract"),
        ({"calls": {"pay": {"contract": "0x1", "arguments": "amount"}}}, "argument names"),
        ({"calls": {"pay": {"contract": "0x1", "to": "0x2"}}}, "contract, entry_point"),
        ({"job": {"key": 1}}, "'key'"),
        ({"job": {"job_id": "many"}}, "job_id: expected a number"),
        ({"job": {"job_id": -1}}, "job_id"),
        ({"job": {"private": 1}}, "private"),
    ],
)
def test_bad_job_files_are_one_sentence(change, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse_job(json.dumps(FILE | change), registry=1)
    assert "\n" not in str(caught.value)


def test_a_job_file_must_be_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        parse_job("{")
    (tmp_path / "job").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        load_job(tmp_path / "job")
