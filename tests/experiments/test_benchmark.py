"""What the benchmark measures, its arithmetic, and its processes."""

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from experiments import benchmark
from experiments.benchmark import parse_arguments
from experiments.benchmarks import buckets, decoding, memory, round_robin
from experiments.benchmarks.memory import MIB, peak_memory
from experiments.benchmarks.plan import Sizes, folder_name, make_rows, make_sizes, native_precisions
from experiments.benchmarks.processes import Child, ChildFailed
from experiments.benchmarks.ratios import rate, summarise
from experiments.harness.running.recipe import given
from tests.experiments.sessions import ROOT, run_here

CPU = {"device": "CPU", "name": "AMD EPYC (TM)", "cores": 2, "precision": "mixed_bfloat16", "xla": False}
CPU |= {"backend": "tensorflow"}
MACHINE = CPU | {"precision": "float32", "gpus": 0, "reason": "as asked"}
GPU = CPU | {"device": "GPU", "name": "Tesla", "xla": True}

# Options


@pytest.mark.parametrize(
    "options, line",
    [
        (["--image-size", "40"], "error: --image-size must be divisible by 16, since the U-Nets halve it 4 times"),
        (["--results", "file/x"], "error: Can't write to file/x: Not a directory."),
        (["--peer", "torch"], "error: --peer torch: that package is not installed here"),
    ],
    ids=str,
)
def test_options_that_cannot_work(tmp_path, monkeypatch, capfd, options, line):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, err = run_here(monkeypatch, capfd, benchmark, *options)
    assert (code, out) == (2, "") and err.startswith(line)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sizes_are_the_devices_and_the_users():
    assert given(parse_arguments([]), Sizes) == {}
    full = make_sizes("CPU")
    assert (full.image_size, full.filters, full.batch_size, full.cvae_preset) == (128, 64, 8, "cpu")
    assert full.workloads() == ["unet", "article", "cvae-mnist", "cvae-cifar10", "nmt"]
    assert (full.turn_seconds("unet"), full.turn_seconds("cvae-mnist")) == (4.0, 1.6)
    on_gpu = make_sizes("GPU", filters=32)
    assert (on_gpu.filters, on_gpu.batch_size, on_gpu.cvae_preset) == (32, 32, "gpu")
    args = parse_arguments(["--quick", "--parts", "memory", "cvae", "--seconds", "0.25"])
    assert given(args, Sizes) == {"parts": ("cvae", "memory"), "seconds": 0.25}
    assert make_sizes("CPU", quick=True, **given(args, Sizes)).settings == "default"


def test_a_record_lies_under_the_machines_name_and_a_tag_of_what_is_not_plain():
    def name(machine=CPU, quick=False, **options):
        return folder_name(machine, make_sizes(machine["device"], quick, **options))

    assert name() == name(turns=3) == "cpu-amd-epyc-tm-2-cores-bfloat16"
    assert name(CPU | {"backend": "jax"}, peer="torch") == "cpu-amd-epyc-tm-2-cores-bfloat16-jax"
    tagged = {name(quick=quick, turns=turns) for quick in (False, True) for turns in (1, 2)}
    assert len(tagged) == 4 and all(len(each) == len("cpu-amd-epyc-tm-2-cores-bfloat16-123456") for each in tagged)


# Settings


@pytest.mark.parametrize(
    "device, capability, bfloat16, precisions",
    [
        ("CPU", (0, 0), False, ["float32"]),
        ("CPU", (0, 0), True, ["float32", "mixed_bfloat16"]),
        ("GPU", (6, 1), True, ["float32"]),
        ("GPU", (7, 5), True, ["float32", "mixed_float16"]),
        ("GPU", (9, 0), False, ["float32", "mixed_float16", "mixed_bfloat16"]),
    ],
)
def test_precisions_are_those_that_the_hardware_computes_in(device, capability, bfloat16, precisions):
    assert native_precisions(device, capability, bfloat16) == precisions


def make(workload, settings, precisions, machine, peer=None):
    return make_rows(workload, make_sizes("CPU", settings=settings, peer=peer), precisions, machine)


def settings(rows):
    return [(row.loop, row.precision, row.xla) for row in rows]


def test_the_settings_that_are_measured():
    """Every precision with and without XLA beside two plain programs; under JAX, XLA is always on."""
    both = ["float32", "mixed_bfloat16"]
    rows = make("unet", "all", both, CPU)
    assert settings(rows) == [
        ("plain", "float32", "auto"),
        ("plain", "float32", True),
        ("project", "float32", False),
        ("project", "float32", True),
        ("project", "mixed_bfloat16", False),
        ("project", "mixed_bfloat16", True),
    ]
    assert [row.default for row in rows] == [False, False, False, False, True, False]
    on_gpu = make("unet", "all", ["float32", "mixed_float16", "mixed_bfloat16"], GPU)
    assert settings(on_gpu)[1] == ("plain", "float32", False) and len(on_gpu) == 8
    quick = make("unet", "default", ["float32"], CPU)
    assert settings(quick) == [("plain", "float32", "auto"), ("project", "mixed_bfloat16", False)]
    rows = make("unet", "all", both, CPU | {"backend": "jax", "xla": True}, "torch")
    project = [("project", "float32", True), ("project", "mixed_bfloat16", True)]
    loops = [("torch", half, loop) for loop in ("compile", "eager") for half in ("mixed_bfloat16", "float32")]
    assert settings(rows) == [("plain", "float32", "auto"), *project, *loops]


# Arithmetic


def test_a_row_is_summarised_by_its_median_turns():
    turns = {"step": [4.0, 5.0, 4.0], "together": [4.0, 4.0, 3.2], "inference": [9.0, 1.0, 8.0]}
    row = {"precision": "float32", "turns": turns}
    assert summarise(row, 10, {"float32": 160.0}) == {
        "images_per_second": {"step": 4.0, "together": 4.0, "inference": 8.0},
        "pipeline_share": 0.25,  # of the pairs of turns: 0, 0.25, 0.25
        "ceiling_share": 0.75,  # 4 images/s, three forward passes of 10 FLOPs each a step
    }
    assert "ceiling_share" not in summarise(row, 10, {"bfloat16": 160.0})
    alone = {"precision": "float32", "turns": {"step": [4.0]}}  # a peer's
    assert summarise(alone, 10, {"float32": 160.0}) == {"images_per_second": {"step": 4.0}, "ceiling_share": 0.75}
    assert summarise(alone, None, {"float32": 160.0}) == {"images_per_second": {"step": 4.0}}  # of a peer alone
    assert summarise({"turns": {"together": [1.0, 9.0, 2.0]}}, 10, {}) == {"images_per_second": {"together": 2.0}}


def test_rate_is_amount_by_time_and_at_least_one_step(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def step():
        clock[0] += 2.0

    assert rate(step, 8, 0) == 4.0 and clock[0] == 2.0
    assert rate(step, 8, 5) == 4.0 and clock[0] == 8.0  # three steps of 2 s
    assert rate(step, 8, 6) == 4.0 and clock[0] == 14.0


# Turns


class Scripted(contextlib.nullcontext):
    """In place of a child process: gives answers that are written here."""

    answers = {
        "describe": {"hardware": MACHINE, "versions": {"python": "3.11"}, "precisions": ["float32"]},
        "prepare_product": {"side": 64, "dtype": "float32"},
        "product": 2e9,
        "prepare_pipeline": None,
        "pipeline": 500.0,
        "build": {
            **{"network": "a net", "unit": "images", "image_shape": [8, 8, 3], "batch_size": 2, "parameters": 7},
            **{"forward_flops": 1000, "xla_used": False, "first_step_seconds": 0.5},
        },
        "memory": {"start": 1, "peak": 2},
        "padding": {"buckets": 0.25, "longest": 0.5},
        "kernels": {"convolutions": 0.9, "elementwise and copies": 0.1},
    }
    speeds = {"step": 1000.0, "together": 800.0, "inference": 4000.0}

    def __init__(self, service, row=None, *_, onednn=True):
        super().__init__(self)
        self.service, self.row = service.rpartition(":")[2], row
        assert onednn == (getattr(row, "loop", None) != "plain")

    def wait(self):
        pass

    def kill(self):
        pass

    def call(self, method, *arguments, limit=None):
        if method == "build" and self.row.xla is True:
            raise ChildFailed("out of memory")
        if method != "measure":
            return copy.copy(self.answers[method])
        if self.service == "BucketService":
            return {"buckets": [5.0, 6.0, 7.0], "longest": [3.0, 4.0, 5.0]}
        if self.service == "DecodingService":
            return {"kept": [90.0, 100.0, 110.0], "recomputed": [10.0, 9.0, 11.0]}
        if self.service == "PipelineMemory":
            return {"start": MIB, "peak": 3 * MIB, "images_per_second": 20.0}
        return self.speeds[arguments[0]]


def test_a_failure_is_one_rows_matter(tmp_path, monkeypatch, capfd):
    for module in (benchmark, round_robin, buckets, decoding, memory):
        monkeypatch.setattr(module, "Child", Scripted)
    options = ["--parts", "unet", "buckets", "decoding", "memory", "--seconds", "0.01", "--results", tmp_path]
    code, out, err = run_here(monkeypatch, capfd, benchmark, *options)
    assert (code, err) == (1, "") and "left: 0m00s" in out.splitlines()[-3]
    (path,) = tmp_path.glob("benchmark/cpu-amd-epyc-tm-2-cores-*/record.json")
    record = json.loads(path.read_text())
    part = record["workloads"]["unet"]
    plain, plain_xla, own, own_xla = part["rows"]
    assert plain_xla["failed"] == own_xla["failed"] == "out of memory" and "failed" not in plain | own
    assert plain["turns"] == {"together": [800.0] * 3}
    assert own["turns"] == {"step": [1000.0] * 3, "together": [800.0] * 3, "inference": [4000.0] * 3}
    assert own["ceiling_share"] == pytest.approx(1000 * 3 * 1000 / 2e9) and own["pipeline_share"] == 0.25
    assert own["memory"] == {"start": 1, "peak": 2} and "memory" not in own_xla
    assert own["kernels"]["convolutions"] == 0.9 and "kernels" not in plain
    assert part["ceilings"]["float32"] == {"side": 64, "dtype": "float32", "turns": [2e9] * 3, "flops_per_second": 2e9}
    assert part["pipeline"]["images_per_second"] == 500.0 and part["parameters"] == 7
    assert [row["tokens_per_second"] for row in record["decoding"]["rows"]] == 2 * [{"kept": 100.0, "recomputed": 10.0}]
    assert [row["peak"] for row in record["pipeline_memory"]["rows"]] == 6 * [3 * MIB]
    assert [row["sentences_per_second"] for row in record["buckets"]["rows"]] == [6.0, 4.0]
    page = (tmp_path / "benchmark.md").read_text()
    assert "### Decoding" in page and "| by length, in buckets | 25% | 6.0 | 1.50 |" in page
    assert "](benchmark.md)" in (tmp_path / "summary.md").read_text()


# Processes


class Service:
    """What the processes of the tests below hold."""

    def __init__(self, number):
        self.number = number

    def divide(self, by):
        return self.number / by

    def end(self, number):
        os.kill(os.getpid(), number)

    def sleep(self):
        time.sleep(60)


@pytest.mark.slow  # each process imports TensorFlow
def test_a_child_answers_until_it_dies_and_says_how():
    service = "tests.experiments.test_benchmark:Service"
    with Child(service, 12) as child, Child(service, 12) as slow, Child(service, "too", "many") as broken:
        assert child.call("divide", 3) == 4
        with pytest.raises(ChildFailed, match="^division by zero$"):
            child.call("divide", 0)
        assert child.call("divide", 4) == 3  # an error is not the end
        for _ in range(2):
            with pytest.raises(ChildFailed, match="its process ended with signal SIGKILL, as for lack of memory"):
                child.call("end", signal.SIGKILL)
        slow.wait()
        with pytest.raises(ChildFailed, match="no answer within 0.1 s"):
            slow.call("sleep", limit=0.1)
        with pytest.raises(ChildFailed, match="positional argument"):
            broken.wait()


def test_peak_memory_is_the_most_so_far_and_this_processs_own():
    ballast = b"x" * (300 * MIB)  # of the process that starts the other
    code = """
from experiments.benchmarks.memory import MIB, peak_memory
start = peak_memory()
block = b"x" * (100 * MIB)
grown = peak_memory()
del block
print(start / MIB, (grown - start) / MIB, (peak_memory() - start) / MIB)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    start, grown, kept = map(float, done.stdout.split())
    assert 3 < start < 100 and 99 < grown < 110 and 99 < kept < 110
    assert peak_memory() > len(ballast)
