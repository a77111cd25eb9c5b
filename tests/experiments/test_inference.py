"""The inference scripts: the committed networks, one proof end to end, and bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is missing: the executor was not run")
pytest.importorskip("sklearn", reason="scikit-learn is missing: there are no data sets")

import _networks  # noqa: E402

from jaxstark import vm  # noqa: E402
from tests.experiments.test_scripts import (  # noqa: E402
    CACHED,
    FAILED,
    REPO,
    USAGE,
    assert_one_sentence,
    last,
    script,
)
from tests.vm.test_dense import program_logits, with_data  # noqa: E402

TINY = ["--preset=test", "--insecure", CACHED]
PROVENANCE = ("data", "held_out", "script", "seed", "steps", "accuracy")


@pytest.fixture(scope="module", params=_networks.SHIPPED)
def shipped(request):
    """A committed network with its data set: ``(network, features, labels)``."""
    return _networks.load(request.param), *_networks.load_data(request.param)


def test_quantised_accuracy_is_within_two_points_of_the_float_network(shipped):
    network, features, labels = shipped
    dense = network.compiled()
    samples = network.samples(features, network.name)
    answers = dense.classify(samples)
    quantised = (answers == labels).mean()
    floats = (network.logits(features).argmax(axis=1) == labels).mean()
    assert len(labels) == {"iris": 150, "digits": 1797}[network.name]
    assert abs(quantised - floats) <= 0.02
    assert floats > 0.95
    found = json.loads((_networks.MODELS / f"{network.name}.json").read_text())["provenance"]
    assert tuple(found) == PROVENANCE
    assert found["accuracy"]["float"]["all"] == round(floats, 4)
    assert found["accuracy"]["quantised"]["all"] == round(quantised, 4)
    # The program says the same as NumPy, on all samples.
    limits = {"step_limit": 1 << 25, "memory_limit": 1 << 17}
    executed = vm.execute(dense.program, dense.public_input(samples), **limits)
    assert executed.output.tolist() == answers.tolist()


def test_sizes_and_steps(shipped):
    network, features, _ = shipped
    dense = network.compiled()
    sizes, count, steps = {
        "iris": ((4, 8, 3), 1, 2**9),
        "digits": ((64, 32, 10), 26, 2**18),
    }[network.name]
    assert network.sizes == sizes
    samples = network.samples(features, network.name)[:count]
    made = vm.execute(dense.program, dense.public_input(samples)).steps
    assert 0.6 * steps < made <= dense.step_bound(count) <= steps


def test_every_weight_of_the_committed_networks_moves_a_logit(shipped):
    network, features, _ = shipped
    dense = network.compiled()
    program = dense.program
    assert len(program.data) == sum(w.size + b.size for w, b in dense.layers)
    least, largest = dense.input_range
    # Pixels that are 0 in all real samples have weights too: first samples from all of the range.
    anything = np.random.default_rng(0).integers(least, largest + 1, (6, dense.features))
    real = network.samples(features, network.name)[:: len(features) // 75]

    def still(samples, places):
        words = dense.public_input(samples)

        def logits(altered):
            return program_logits(dense, vm.execute(altered, words, step_limit=1 << 20))

        base = logits(program)
        # A step of 512 in the integers, lest the shift round it away.
        return [at for at in places if (logits(with_data(program, at, 512)) == base).all()]

    assert still(real, still(anything, range(len(program.data)))) == []


def test_every_input_of_the_committed_networks_moves_a_logit(shipped):
    network, features, _ = shipped
    dense = network.compiled()
    samples = network.samples(features, network.name)[:150]
    largest = dense.input_range[1]

    def logits(given):
        return program_logits(dense, vm.execute(dense.program, dense.public_input(given)))

    base = logits(samples)
    for feature in range(dense.features):
        changed = samples.copy()
        changed[:, feature] = np.where(changed[:, feature] < largest // 2, largest, 0)
        assert (logits(changed) != base).any(axis=1).all(), f"feature {feature}"


@pytest.mark.parametrize("name", _networks.SHIPPED)
def test_training_again_gives_the_committed_network(name, tmp_path):
    pytest.importorskip("jax")
    out = tmp_path / "again.json"
    row = last(script(f"train_{name}", f"--out={out}", CACHED))
    again, committed = json.loads(out.read_text()), _networks.MODELS / f"{name}.json"
    wanted = json.loads(committed.read_text())
    for ours, theirs in zip(again["layers"], wanted["layers"], strict=True):
        # The last digit is left to other processors' arithmetic.
        np.testing.assert_allclose(ours["W"], theirs["W"], atol=2e-6)
        np.testing.assert_allclose(ours["b"], theirs["b"], atol=2e-6)
    assert again["quantisation"] == wanted["quantisation"]
    assert row["accuracy"] == wanted["provenance"]["accuracy"]


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A proof of one flower: its folder and what the script printed."""
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("inference")
    return folder, script("prove_inference", "--sample=17", *TINY, f"--out={folder}")


def test_one_flower_is_proved_and_verified(proved):
    folder, done = proved
    row = last(done)
    assert row["verified"] is True
    assert (row["classes"], row["labels"], row["samples"]) == ([0], [0], [17, 18])
    assert max(row["log_sizes"].values()) == row["log_sizes"]["steps"] == 9
    assert row["steps"] <= 2**9
    for name in ("proof.json", "proof.bin", "key.json", "public.json", "program.bin"):
        assert (folder / name).is_file()
        assert len(row["sha256"][name]) == 64
    program = vm.decode((folder / "program.bin").read_bytes())
    assert program.hash.hex() == row["model_hash"] == row["program_hash"]
    public = json.loads((folder / "public.json").read_text())
    assert public == {"input": [1, 510, 350, 140, 30], "output": [0]}
    limits = vm.Limits.from_json((folder / "limits.json").read_text())
    assert limits.log_steps == 9
    for word in (
        *("setosa, true label setosa", "model hash", "hides nothing", "steps 2^9", "bytes JSON"),
        *("execute", "trace", "verifying key", "set-up", "commit trace", "FRI", "verified"),
        *("johnson", "98.67 %"),
    ):
        assert word in done.stdout


def test_a_key_that_another_program_makes_is_not_accepted(proved):
    import jaxstark

    folder, _ = proved
    program = vm.decode((folder / "program.bin").read_bytes())
    limits = vm.Limits.from_json((folder / "limits.json").read_text())
    proof = jaxstark.Proof.load(folder / "proof.bin")
    public = json.loads((folder / "public.json").read_text())
    params = proof.stark.params
    jaxstark.verify(proof, vm.setup(program, limits, params), public, insecure=True)
    for other in (
        (with_data(program, 0, 1), public),
        (program, public | {"output": [1]}),
        (program, public | {"input": [1, 511, 350, 140, 30]}),
    ):
        with pytest.raises(jaxstark.VerificationError):
            jaxstark.verify(proof, vm.setup(other[0], limits, params), other[1], insecure=True)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Files of a user: networks that are good and bad, and samples."""
    folder = tmp_path_factory.mktemp("own")
    w, b = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -1.5]]), np.array([0.5, 0.0, -0.25])
    np.savez(folder / "net.npz", W0=w, b0=b)
    np.savez(folder / "ints.npz", W0=(4 * w).astype(int), b0=np.zeros(3, int))
    np.savez(folder / "keys.npz", weights=w, bias=b)
    np.savez(folder / "gap.npz", W0=w, b0=b, W2=w, b2=b)
    np.savez(folder / "shapes.npz", W0=w.T, b0=b)
    np.savez(folder / "chain.npz", W0=w, b0=b, W1=w, b1=b)
    np.savez(folder / "texts.npz", W0=np.array([["a"]]), b0=np.array(["b"]))
    np.savez(folder / "pickle.npz", W0=np.array([None, 1], object), b0=b)
    np.savez(folder / "large.npz", W0=w * 1e5, b0=b)
    np.save(folder / "array.npy", w)
    (folder / "cut.npz").write_bytes((folder / "net.npz").read_bytes()[:200])
    (folder / "empty.npz").write_bytes(b"")
    for name, text in {
        "x.csv": "length,width\n1.5,2\n\n0,3.25\n",
        "bare.csv": "1,2\n",
        "three.csv": "1,2,3\n",
        "ragged.csv": "1,2\n1\n",
        "words.csv": "1,2\n1,two\n",
        "nan.csv": "1,nan\n",
        "far.csv": "1,2\n3,9\n",
        "header.csv": "a,b\n",
        "empty.csv": "",
    }.items():
        (folder / name).write_text(text)
    return folder


NET = ["--weights=net.npz", "--input=x.csv", "--input_range=0,4"]
BAD = {
    "none": ([], "one of --sample, --samples and --all, got none"),
    "two": (["--sample=1", "--all"], "got --sample and --all"),
    "sample": (["--sample=150"], "--sample: expected 0..149, got 150"),
    "negative": (["--sample=-1"], "--sample: expected 0..149, got -1"),
    "range": (["--samples=4:4"], "0 <= A < B <= 150, got '4:4'"),
    "range_text": (["--samples=4"], "0 <= A < B <= 150, got '4'"),
    "network": (["--network=mnist", "--all"], "mnist"),
    "preset": (["--sample=1", "--preset=test"], "insecure"),
    "steps": (["--all", "--step_limit=1000"], "up to 46805 for 150 samples, got 1000"),
    "step_limit": (["--all", "--step_limit=0"], "step_limit"),
    "out": (["--sample=1", "--out=/dev/null/out"], "/dev/null/out"),
    "stray_scale": (["--sample=1", "--input_scale=2"], "--input_scale: expected --weights"),
    "no_input": (["--weights=net.npz", "--input_range=0,4"], "--input: expected a CSV file"),
    "no_range": (NET[:2], "--input_range: expected low,high"),
    "both": ([*NET, "--network=iris"], "expected no --network"),
    "range_order": ([*NET[:2], "--input_range=4,0"], "two ascending numbers low,high, got '4,0'"),
    "range_words": ([*NET[:2], "--input_range=a,b"], "numbers separated by commas, got 'a,b'"),
    "bits": ([*NET, "--fraction_bits=17"], "fraction_bits in 0..16"),
    "scale": ([*NET, "--input_scale=0"], "input_scale in 0..2^30"),
    "shifts_floats": ([*NET, "--shifts=1"], "--shifts: expected weights of integers, got floats"),
    "scale_ints": ([*NET, "--weights=ints.npz", "--input_scale=2"], "weights of floats"),
    "shifts_many": ([*NET, "--weights=ints.npz", "--shifts=1"], "shifts: expected 0 integers"),
    "ints_floats": ([*NET, "--weights=ints.npz"], "expected an integer for a network of integers"),
    "absent": ([*NET, "--weights=absent.npz"], "absent.npz: expected an .npz file"),
    "folder": ([*NET, "--weights=."], "b1, ..., got none (is a directory)"),
    "csv_as_npz": ([*NET, "--weights=x.csv"], "got a file of another kind"),
    "npy": ([*NET, "--weights=array.npy"], "got a file of another kind"),
    "cut": ([*NET, "--weights=cut.npz"], "got a file of another kind"),
    "npz_empty": ([*NET, "--weights=empty.npz"], "got a file of another kind"),
    "pickle": ([*NET, "--weights=pickle.npz"], "got a file of another kind"),
    "keys": ([*NET, "--weights=keys.npz"], "arrays W0, b0, W1, b1, ..., got bias, weights"),
    "gap": ([*NET, "--weights=gap.npz"], "got W0, W2, b0, b2"),
    "shapes": ([*NET, "--weights=shapes.npz"], "got shapes (3, 2) and (3,)"),
    "chain": ([*NET, "--weights=chain.npz"], "layer 1: expected 3 inputs"),
    "texts": ([*NET, "--weights=texts.npz"], "expected arrays of floats or integers, got <U1"),
    "large": ([*NET, "--weights=large.npz", "--input_scale=100"], "layer 0, neuron 0: expected"),
    "csv_absent": ([*NET, "--input=absent.csv"], "absent.csv: expected CSV text"),
    "npz_as_csv": ([*NET, "--input=net.npz"], "net.npz"),
    "three": ([*NET, "--input=three.csv"], "three.csv: expected 2 features in a sample, got 3"),
    "ragged": ([*NET, "--input=ragged.csv"], "ragged.csv, line 2: expected 2 numbers"),
    "words": ([*NET, "--input=words.csv"], "line 2: expected numbers, got 'two'"),
    "nan": ([*NET, "--input=nan.csv"], "line 1: expected numbers, got 'nan'"),
    "far": ([*NET, "--input=far.csv"], "sample 1, feature 1: expected 0..4"),
    "header": ([*NET, "--input=header.csv"], "got no sample"),
    "csv_empty": ([*NET, "--input=empty.csv"], "got no sample"),
    "flowers": (["--input=three.csv"], "expected 4 features in a sample, got 3"),
}


# Each case in a fork of one process that has imported what takes long: exit code and both outputs.
EACH = """
import json, os, sys
import sklearn.datasets
import _script, prove_inference
from jaxstark import vm

def never(*_):
    raise AssertionError("expensive work began")

vm.trace = vm.setup = never
cases, folder = json.load(sys.stdin), os.getcwd()
for name, arguments in cases.items():
    child = os.fork()
    if not child:
        for number, stream in enumerate(("out", "err"), 1):
            os.dup2(os.open(f"{folder}/{name}.{stream}", os.O_CREAT | os.O_WRONLY), number)
        sys.argv = ["prove_inference.py", *arguments]
        try:
            _script.run(prove_inference.main)
        except SystemExit as end:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(end.code)
        except BaseException as error:
            os.write(2, f"Traceback: {error!r}".encode())
        os._exit(70)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f"{name}.code", "w") as file:
        file.write(str(code))
"""


@pytest.fixture(scope="module")
def refused(own, tmp_path_factory):
    """All cases of ``BAD`` run: the folder of what they printed, and the one for their files."""
    folder, out = tmp_path_factory.mktemp("refused"), tmp_path_factory.mktemp("out") / "out"

    def place(flag: str) -> str:
        name, _, value = flag.partition("=")
        return f"{name}={own / value}" if name in ("--weights", "--input") else flag

    cases = {name: [f"--out={out}", CACHED, *map(place, flags)] for name, (flags, _) in BAD.items()}
    paths = os.pathsep.join([str(REPO / "experiments"), str(REPO)])
    subprocess.run(
        [sys.executable, "-c", EACH],
        input=json.dumps(cases),
        text=True,
        check=True,
        capture_output=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        timeout=300,
    )
    return folder, out


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(refused, case):
    folder, out = refused
    code, printed, error = ((folder / f"{case}.{n}").read_text() for n in ("code", "out", "err"))
    done = subprocess.CompletedProcess([], int(code), printed, error)
    sentence = assert_one_sentence(done, USAGE)
    assert BAD[case][1] in sentence
    assert printed == ""
    assert not out.exists()


OWN_NETWORK = """
import jax, jax.numpy as jnp, numpy as np
rng = np.random.default_rng(0)
x = rng.uniform(0, 4, (200, 2)).astype(np.float32)
y = (x[:, 0] * x[:, 1] > 3).astype(int)
layers = [(rng.normal(size=s).astype(np.float32), np.zeros(s[1], np.float32))
          for s in ((2, 6), (6, 2))]

def loss(layers):
    (w0, b0), (w1, b1) = layers
    logits = jnp.maximum(x @ w0 + b0[None, :], 0) @ w1 + b1[None, :]
    return -jax.nn.log_softmax(logits)[np.arange(len(x)), y].mean()

step = jax.jit(lambda t: jax.tree.map(lambda a, g: a - 0.1 * g, t, jax.grad(loss)(t)))
for _ in range(300):
    layers = step(layers)
np.savez("net.npz", **{f"{n}{i}": a for i, p in enumerate(layers) for n, a in zip("Wb", p)})
np.savetxt("x.csv", x[:9], "%.2f", delimiter=",", header="length,width", comments="")
"""


def test_a_network_of_a_user_is_executed_up_to_the_proof(tmp_path):
    pytest.importorskip("jax")
    subprocess.run([sys.executable, "-c", OWN_NETWORK], check=True, cwd=tmp_path, timeout=300)
    files = [f"--weights={tmp_path / 'net.npz'}", f"--input={tmp_path / 'x.csv'}"]
    own = [*files, "--input_range=0,4", "--input_scale=100", "--fraction_bits=10"]
    stop = (
        "import jaxstark\n"
        "def prove(trace, **options):\n"
        "    raise jaxstark.ProvingError(f'reached: {trace.log_sizes} {trace.public_values}')\n"
        "jaxstark.prove = prove"
    )
    done = script("prove_inference", *own, *TINY, f"--out={tmp_path / 'out'}", before=stop)
    sentence = assert_one_sentence(done, FAILED)
    layers = _networks.read_weights(tmp_path / "net.npz")
    network = _networks.Network("net", layers, (0, 4), 100, 10)
    features = _networks.read_samples(tmp_path / "x.csv")
    classes = network.logits(features).argmax(axis=1)
    assert len(features) == 9
    assert f"'output': {tuple(classes.tolist())}" in sentence
    assert "a 2-6-2 network on 9 samples" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []  # nothing half written
