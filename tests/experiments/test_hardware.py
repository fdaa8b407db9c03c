import os
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from experiments.harness.running import hardware
from experiments.harness.running.errors import UserError
from experiments.harness.running.hardware import ONEDNN
from tests.experiments.sessions import ROOT

PLAIN_X86 = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni
vmx flags\t: vnmi amx_bf16
bugs\t\t: spectre_v1
"""
X86 = PLAIN_X86.replace("avx512_vnni", "avx512_vnni avx512_bf16")
AMD = X86.replace("GenuineIntel", "AuthenticAMD").replace("Intel(R) Xeon(R) CPU @ 2.20GHz", "AMD EPYC")
AMX = X86.replace("avx512_bf16", "avx512_bf16 amx_bf16 amx_tile")
ARM = "processor\t: 0\nFeatures\t: fp asimd i8mm bf16\nCPU implementer\t: 0x41\n"
PLAIN_ARM = "processor\t: 0\nFeatures\t: fp asimd ebf16x\n"


@pytest.fixture
def machine(monkeypatch):
    """Describes another machine to `decide`: text of /proc/cpuinfo, and compute capabilities of GPUs."""

    def describe(cpuinfo="", capabilities=()):
        monkeypatch.setattr(hardware, "_cpuinfo", cpuinfo.splitlines)
        details = dict(enumerate({"device_name": "Tesla", "compute_capability": c} for c in capabilities))
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(details))
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)

    return describe


@pytest.mark.parametrize(
    "cpuinfo, has, gains",
    [
        pytest.param(AMD, True, True, id="amd"),
        pytest.param(AMX, True, True, id="amx"),
        pytest.param(ARM, True, True, id="arm"),
        pytest.param(X86, True, False, id="intel without amx"),
        pytest.param(PLAIN_X86, False, False, id="plain x86"),
        pytest.param(PLAIN_ARM, False, False, id="plain arm"),
        pytest.param("", False, False, id="unknown"),
    ],
)
def test_bfloat16_is_read_off_the_processors_flags(machine, cpuinfo, has, gains):
    machine(cpuinfo)
    assert (hardware.cpu_has_bfloat16(), hardware.cpu_gains_from_bfloat16()) == (has, gains)
    decision = hardware.decide()
    assert decision.precision == ("mixed_bfloat16" if gains else "float32")
    assert keras.mixed_precision.dtype_policy().name == decision.precision
    assert (decision.device, decision.gpus, decision.xla) == ("CPU", 0, False)
    assert decision.name and decision.cores == len(os.sched_getaffinity(0))
    assert decision.name == "Intel(R) Xeon(R) CPU @ 2.20GHz" or "Intel" not in cpuinfo


@pytest.mark.parametrize(
    "capabilities, precision",
    [
        ([(8, 0)], "mixed_bfloat16"),
        ([(10, 0)], "mixed_bfloat16"),
        ([(7, 5)], "mixed_float16"),
        ([(6, 1)], "float32"),  # which computes in half precision, but slower
        ([(9, 0), (7, 0)], "mixed_float16"),  # the weakest card decides
    ],
)
def test_gpu_precision_follows_the_compute_capability(machine, capabilities, precision):
    machine(PLAIN_X86, capabilities)
    decision = hardware.decide()
    assert (decision.device, decision.name, decision.gpus) == ("GPU", "Tesla", len(capabilities))
    assert decision.precision == keras.mixed_precision.dtype_policy().name == precision
    assert decision.xla is True
    assert decision.reason == "compute capability " + ".".join(map(str, min(capabilities)))


@pytest.mark.parametrize("precision, capabilities", [("float32", [(9, 0)]), ("mixed_float16", ())])
def test_precision_asked_for_is_kept(machine, precision, capabilities):
    machine(X86, capabilities)
    decision = hardware.decide(precision)
    assert decision.precision == keras.mixed_precision.dtype_policy().name == precision
    assert decision.reason == "as asked"
    assert decision.xla is bool(capabilities)


def test_one_line_says_the_decision(machine):
    machine(PLAIN_X86, [(8, 6), (8, 6)])
    decision = hardware.decide()
    assert str(decision) == (f"GPU 2 x Tesla, {decision.cores} cores; mixed_bfloat16 (compute capability 8.6); XLA on")
    assert (decision.gpus, decision.strategy, decision.replicas, decision.backend) == (2, "none", 1, "tensorflow")
    assert decision.settings() == {"precision": "mixed_bfloat16"}


@pytest.mark.parametrize(
    "replicas, count, limit, sizes",
    [(1, 7, 4, [4, 3]), (2, 7, 5, [4, 2]), (4, 70, 32, [32, 32, 4]), (3, 8, 2, [3, 3])],
)
def test_every_device_gets_its_share_of_every_validation_batch(replicas, count, limit, sizes):
    machine = hardware.Hardware("CPU", "", 2, 0, "float32", False, "", "mirrored", replicas)
    examples, batch_size = machine.shareable(tf.data.Dataset.range(count), limit)
    batches = list(examples.batch(batch_size).as_numpy_iterator())
    assert [len(batch) for batch in batches] == sizes
    assert [n for batch in batches for n in batch] == list(range(sum(sizes)))


def test_fewer_validation_examples_than_devices_are_refused():
    machine = hardware.Hardware("CPU", "", 2, 0, "float32", False, "", "mirrored", 2)
    with pytest.raises(UserError, match="2 devices can't share 1 for validation"):
        machine.shareable(tf.data.Dataset.range(1), 32)


def test_a_batch_that_the_devices_cannot_share_evenly_is_refused():
    machine = hardware.Hardware("CPU", "", 2, 0, "float32", False, "", "mirrored", 2)
    machine.check_shares("unet mp-tr-bce", 8, 65)
    line = r"^unet mp-tr-bce: 2 devices can't share batches of 7 .*--batch-size .* multiple of 2 .* the 65 images"
    with pytest.raises(UserError, match=line):
        machine.check_shares("unet mp-tr-bce", 7, 65)
    with pytest.raises(UserError, match=r"batches of 65 images evenly\. .* Received: batch size 128$"):
        machine.check_shares("unet mp-tr-bce", 128, 65)  # all that there are


def test_several_devices_are_said_recorded_and_shape_the_run():
    decision = hardware.decide("float32", "mirrored")
    assert (decision.strategy, decision.replicas, decision.xla) == ("mirrored", 1, False)
    assert str(decision).endswith("; XLA off; batches shared out over 1 devices")
    assert decision.settings() == {"precision": "float32", "strategy": "mirrored", "replicas": 1}
    with decision.scope():
        assert tf.distribute.get_strategy().num_replicas_in_sync == 1 and tf.distribute.has_strategy()
    with hardware.decide("float32").scope():
        assert not tf.distribute.has_strategy()


IMPORT = """
import os
from experiments.harness.running.hardware import import_tensorflow
import_tensorflow()
os.write(2, b"still here\\n")
"""
CHATTERING = """
import os
from unittest.mock import Mock
os.write(2, b"no such library\\n")
config = get_logger = Mock()
"""


def import_other(tmp_path, tensorflow):
    """What the import says where `tensorflow` is TensorFlow's source."""
    (tmp_path / "tensorflow.py").write_text(tensorflow)
    (tmp_path / "keras.py").write_text("")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", IMPORT]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=env)


def test_import_keeps_chatter_off_the_terminal_and_leaves_stderr_working(tmp_path):
    """That nothing of the real one's is left over, every test of a whole run asserts."""
    done = import_other(tmp_path, CHATTERING)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "still here\n")


@pytest.mark.parametrize(
    "environment, onednn, used", [({}, True, "1"), ({ONEDNN: "0"}, True, "0"), ({ONEDNN: "1"}, False, None)]
)
def test_onednn_is_on_unless_the_user_or_a_plain_program_has_it_otherwise(monkeypatch, environment, onednn, used):
    monkeypatch.delenv(ONEDNN, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    hardware.import_tensorflow(onednn)  # which is imported already
    assert os.environ.get(ONEDNN) == used


def test_import_that_fails_shows_what_was_said(tmp_path):
    done = import_other(tmp_path, CHATTERING + "raise ImportError('broken')")
    assert done.returncode == 1
    assert "no such library\n" in done.stderr and done.stderr.endswith("ImportError: broken\n")


@pytest.mark.parametrize(
    "backend, line",
    [
        ("tensorflow", "^tensorflow is not installed; run: pip install -r requirements.txt$"),
        ("torch", "KERAS_BACKEND must be one of tensorflow, jax for this script. Received: torch"),
        ("jax", r'jax is not installed; run: pip install "\.\[jax\]"'),
    ],
)
def test_a_backend_that_cannot_be_used_is_named_before_anything_is_imported(monkeypatch, backend, line):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    for name in ("tensorflow", "jax"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    with pytest.raises(UserError, match=line):
        hardware.import_tensorflow()
