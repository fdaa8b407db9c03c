"""What the benchmark measures, its arithmetic, and its processes taking turns."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.benchmark import overrides, parse_arguments
from experiments.benchmarks import round_robin
from experiments.benchmarks.memory import MIB, peak_memory
from experiments.benchmarks.plan import Row, check, folder_name, make_rows, make_sizes, native_precisions, workloads
from experiments.benchmarks.processes import Child, ChildFailed
from experiments.benchmarks.ratios import ceiling_share, pipeline_share, summarise
from experiments.benchmarks.round_robin import Progress, Turns, count_turns
from experiments.harness.running.errors import UserError
from tests.experiments.sessions import quick

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "benchmark.py"
CPU = {"device": "CPU", "name": "AMD EPYC (TM)", "cores": 2, "precision": "mixed_bfloat16", "xla": False}
CPU |= {"backend": "tensorflow"}
GPU = CPU | {"device": "GPU", "name": "Tesla", "xla": True}

# Options


@pytest.mark.parametrize(
    "options, line",
    [
        (["--parts", "gpu"], "error: argument --parts: invalid choice: 'gpu'"),
        (["--turns", "0"], "error: argument --turns: must be at least 1, received 0"),
        (["--seconds", "-1"], "error: argument --seconds: must be at least 0, and finite, received -1"),
        (["--image-size", "40"], "error: --image-size must be divisible by 16, since the U-Nets halve it 4 times. Rec"),
        (["--results", "file/x"], "error: Can't write to file/x: Not a directory."),
        (["--peer", "mxnet"], "error: argument --peer: invalid choice: 'mxnet'"),
    ],
)
def test_options_that_cannot_work(tmp_path, options, line):
    (tmp_path / "file").write_text("")
    done = quick(tmp_path, SCRIPT, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(line)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_peer_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="--peer torch: that package is not installed"):
        check({"peer": "torch"})
    check({"image_size": 32})


def test_sizes_are_the_presets_the_devices_and_the_users():
    assert overrides(parse_arguments([])) == {}
    full = make_sizes("full", {}, "CPU")
    assert (full.image_size, full.filters, full.batch_size, full.cvae_preset) == (128, 64, 8, "cpu")
    assert workloads(full) == ["unet", "article", "cvae-mnist", "cvae-cifar10", "nmt"]
    assert (full.turn_seconds("unet"), full.turn_seconds("cvae-mnist")) == (4.0, 1.6)
    on_gpu = make_sizes("full", {"filters": 32}, "GPU")
    assert (on_gpu.filters, on_gpu.batch_size, on_gpu.cvae_preset) == (32, 32, "gpu")
    args = parse_arguments(["--quick", "--parts", "memory", "cvae", "--seconds", "0.25"])
    assert overrides(args) == {"parts": ("cvae", "memory"), "seconds": 0.25}
    assert make_sizes("quick", overrides(args), "CPU").settings == "default"


def test_a_record_lies_under_the_machines_name_and_a_tag_of_what_is_not_plain():
    assert folder_name(CPU, "full", {}) == "cpu-amd-epyc-tm-2-cores"
    assert folder_name(CPU, "quick", {}) == "cpu-amd-epyc-tm-2-cores-quick"
    tagged = {folder_name(CPU, preset, {"turns": turns}) for preset in ("full", "quick") for turns in (1, 2)}
    assert folder_name(CPU | {"backend": "jax"}, "full", {"peer": "torch"}) == "cpu-amd-epyc-tm-2-cores-jax"
    assert len(tagged) == 4 and folder_name(CPU, "full", {"turns": 1}) in tagged
    assert all(name.startswith("cpu-amd-epyc-tm-2-cores-") and len(name) == 30 for name in tagged)


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
    return make_rows(workload, make_sizes("full", {"settings": settings, "peer": peer}, "CPU"), precisions, machine)


def settings(rows):
    return [(row.loop, row.precision, row.xla) for row in rows]


def test_all_settings_are_every_precision_with_and_without_xla_beside_two_plain_programs():
    rows = make("unet", "all", ["float32", "mixed_bfloat16"], CPU)
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
    assert [(row.precision, row.xla) for row in on_gpu if row.default] == [("mixed_bfloat16", True)]


def test_the_article_and_a_quick_look_have_this_projects_setting_alone():
    own = ("project", "mixed_bfloat16", False)
    assert settings(make("article", "all", ["float32", "mixed_bfloat16"], CPU))[2:] == [own]
    assert settings(make("unet", "default", ["float32"], CPU)) == [("plain", "float32", "auto"), own]


def test_under_jax_xla_is_always_on_and_a_peer_is_a_row_of_the_unet_alone():
    jax = CPU | {"backend": "jax", "xla": True}
    rows = make("unet", "all", ["float32", "mixed_bfloat16"], jax, "torch")
    project = [("project", "float32", True), ("project", "mixed_bfloat16", True)]
    eager = [("torch", "mixed_bfloat16", "eager"), ("torch", "float32", "eager")]
    assert settings(rows) == [("plain", "float32", "auto"), *project, ("torch", "mixed_bfloat16", "compile"), *eager]
    assert rows[3].measures == ("step",) and str(rows[3]) == "unet, torch loop, mixed_bfloat16, compile"
    assert settings(make("unet", "default", ["float32"], CPU, "torch"))[2:] == [("torch", "float32", "compile")]
    assert "torch" not in {row.loop for row in make("cvae-mnist", "all", ["float32"], CPU, "torch")}


# Arithmetic


def test_the_pipelines_share_is_the_median_of_pairs_of_turns():
    assert pipeline_share([100.0], [80.0]) == 0.25
    # 10 %, 0 %, 2 %: a busy machine in turn two halves both, and changes nothing
    assert pipeline_share([110.0, 50.0, 102.0], [100.0, 50.0, 100.0]) == pytest.approx(0.02)
    assert pipeline_share([110.0, 60.0], [100.0]) == pytest.approx(0.1)


def test_a_step_is_three_forward_passes():
    # 4 images/s of 50 GFLOPs forward are 600 GFLOP/s
    assert ceiling_share(4, 50e9, 800e9) == 0.75


def test_a_row_is_summarised_by_its_median_turns():
    turns = {"step": [4.0, 5.0, 4.0], "together": [4.0, 4.0, 3.2], "inference": [9.0, 1.0, 8.0]}
    row = {"precision": "float32", "forward_flops": 10, "turns": turns}
    assert summarise(row, {"float32": 160.0}) == {
        "images_per_second": {"step": 4.0, "together": 4.0, "inference": 8.0},
        "pipeline_share": 0.25,
        "ceiling_share": 0.75,
    }
    assert "ceiling_share" not in summarise(row, {"bfloat16": 160.0})
    alone = {"precision": "float32", "forward_flops": 10, "turns": {"step": [4.0]}}  # a peer's
    assert summarise(alone, {"float32": 160.0}) == {"images_per_second": {"step": 4.0}, "ceiling_share": 0.75}
    assert summarise({"turns": {"together": [1.0, 9.0, 2.0]}}, {}) == {"images_per_second": {"together": 2.0}}


# Turns


class Scripted:
    """In place of a child process: answers from a dictionary, and notes what it was asked."""

    asked = []

    def __init__(self, service, row=None, sizes=None):
        self.row = row

    def wait(self):
        self.asked.append(("wait", str(self.row)))

    def kill(self):
        self.asked.append(("kill", str(self.row)))

    def call(self, method, *arguments, limit=None):
        self.asked.append((method, str(self.row), *arguments))
        if method == "pipeline":
            return 500.0
        if method == "product":
            return 2e9
        if method == "memory":
            return {"start": 1, "peak": 2}
        if method == "measure":
            return self.measure(*arguments)
        if self.row and self.row.xla is True:
            raise ChildFailed("out of memory")
        facts = {
            "network": "a net",
            "unit": "images",
            "image_shape": [8, 8, 3],
            "batch_size": 2,
            "parameters": 7,
            "forward_flops": 1000,
        }
        return facts | {"xla_used": False, "first_step_seconds": 0.5}

    def measure(self, name, seconds):
        if (self.row.loop, name) == ("plain", "together"):
            time.sleep(2.5 * seconds)  # a step that long is not repeated
        return {"step": 1000.0, "together": 800.0, "inference": 4000.0}[name]


def test_settings_take_turns_and_a_failure_or_a_slow_step_is_one_rows_matter(monkeypatch, capsys):
    monkeypatch.setattr(round_robin, "Child", Scripted)
    monkeypatch.setattr(Scripted, "asked", [])
    sizes = make_sizes("full", {"parts": ("unet",), "turns": 3, "seconds": 0.01}, "CPU")
    rows = make_rows("unet", sizes, ["float32"], CPU | {"precision": "float32"})
    progress = Progress(count_turns(sizes, CPU | {"precision": "float32"}, ["float32"]))
    products = {"float32": {"side": 64, "dtype": "float32"}}
    part = Turns("unet", sizes, rows, products, Scripted("machine"), progress).run()

    plain, plain_xla, own, own_xla = part["rows"]
    assert plain_xla["failed"] == own_xla["failed"] == "out of memory" and "failed" not in plain | own
    assert plain["turns"] == {"together": [800.0]}
    assert own["turns"] == {"step": [1000.0] * 3, "together": [800.0] * 3, "inference": [4000.0] * 3}
    assert own["ceiling_share"] == pytest.approx(1000 * 3 * 1000 / 2e9) and own["pipeline_share"] == 0.25
    assert own["memory"] == {"start": 1, "peak": 2} and "memory" not in own_xla
    assert part["ceilings"]["float32"] == {"side": 64, "dtype": "float32", "turns": [2e9] * 3, "flops_per_second": 2e9}
    assert part["pipeline"]["images_per_second"] == 500.0 and part["parameters"] == 7

    asked = [call[0] for call in Scripted.asked]
    assert asked.index("build") > max(n for n, call in enumerate(asked) if call == "wait")  # none imports meanwhile
    turn = [call[2:] for call in Scripted.asked if call[0] in ("pipeline", "product", "measure")]
    own_turn = [("step", 0.01), ("together", 0.01), ("inference", 0.01)]
    machine = [("unet", 0.01), ("float32", 0.01)]
    assert turn == [*machine, ("together", 0.01), *own_turn, *machine, *own_turn[::-1], *machine, *own_turn]
    assert asked[-4:] == ["kill"] * 4
    output = capsys.readouterr().out
    assert "too slow for another turn" in output and "failed: out of memory" in output
    assert output.splitlines()[-1].endswith("left: 0m00s")


def test_time_left_goes_by_the_pace_so_far(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    progress = Progress(5)
    progress.say("a", "built")
    clock[0] = 20.0
    progress.say("a", "fast", taken=1)
    progress.say("b", "failed", given_up=2)
    assert capsys.readouterr().out.splitlines() == ["a | built", "a | fast | left: 1m20s", "b | failed | left: 0m40s"]


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


def test_a_row_says_what_it_is():
    assert str(Row("unet", "project", "float32", True)) == "unet, project loop, float32, XLA on"
    assert str(Row("unet", "plain", "float32", "auto")) == "unet, plain loop, float32, Keras's defaults"
