"""What `benchmark.md` and the summary say of a record that is written here by hand."""

import copy
import re

import pytest

from experiments.benchmarks import report as benchmark_report
from experiments.harness.reporting import report
from tests.experiments.markdown import table
from tests.experiments.sessions import ROOT

RESULTS = ROOT / "results"
MIB = 2**20


def row(loop, precision, xla, speeds, default=False, **more):
    measures = {"project": ("step", "together", "inference"), "plain": ("together",), "torch": ("step",)}[loop]
    speeds = dict(zip(measures, speeds, strict=True))
    return {
        "loop": loop,
        "precision": precision,
        "xla": xla,
        "default": default,
        **({} if loop == "torch" else {"xla_used": xla is True}),
        "first_step_seconds": 12.34,
        "turns": {measure: [speed] * 3 for measure, speed in speeds.items()},
        "memory": {"start": 400 * MIB, "peak": 2500 * MIB},
        "images_per_second": speeds,
        **more,
    }


KERNELS = {"kernels": {"convolutions": 0.62, "elementwise and copies": 0.376, "random numbers": 0.004}}
UNET = {
    "network": "U-Net, maxpool, transpose, 64 filters at the first level",
    "image_shape": [128, 128, 3],
    "batch_size": 8,
    "parameters": 31055297,
    "forward_flops": 27_400_000_000,
    "pipeline": {"turns": [812.0], "images_per_second": 812.0},
    "ceilings": {
        "float32": {"side": 2048, "dtype": "float32", "turns": [2.5e11], "flops_per_second": 2.5e11},
        "mixed_bfloat16": {"side": 4096, "dtype": "bfloat16", "turns": [5.1e11], "flops_per_second": 5.1e11},
    },
    "rows": [
        row("plain", "float32", "auto", [2.0]),
        row("plain", "float32", True, [0.5]),
        row("project", "float32", False, [2.6, 2.5, 9.0], ceiling_share=0.871, pipeline_share=0.04),
        row("project", "mixed_bfloat16", False, [5.1, 5.0, 17], True, ceiling_share=0.822, pipeline_share=0.0123)
        | KERNELS,
        {"loop": "project", "precision": "mixed_bfloat16", "xla": True, "default": False, "failed": "out of memory"},
    ],
}
MEMORY = {
    "image_size": 256,
    "rows": [
        {"cache": cache, "photos": photos, "start": 400 * MIB, "peak": (400 + grown) * MIB, "images_per_second": 150.0}
        for cache, photos, grown in (
            ("memory", 500, 230),
            ("memory", 2000, 810),
            ("none", 500, 180),
            ("none", 2000, 190),
        )
    ],
}
RECORD = {
    "experiment": "benchmark",
    "command": "python experiments/benchmark.py",
    "sizes": {"turns": 3},
    "workloads": {"unet": UNET},
    "pipeline_memory": MEMORY,
    "hardware": {
        "device": "CPU",
        "name": "AMD EPYC",
        "cores": 2,
        "gpus": 0,
        "precision": "mixed_bfloat16",
        "xla": False,
    },
    "versions": {"python": "3.11", "tensorflow": "2.21.0", "keras": "3.15.1"},
}
FOLDER = "benchmark/cpu-amd-epyc-2-cores"


def test_the_page_holds_the_records_figures():
    text = benchmark_report.page([RECORD | {"folder": FOLDER}])
    plain, plain_xla, exact, own, failed = table(text, "step alone")
    assert own == {
        "setting": "**this project**",
        "precision": "mixed_bfloat16",
        "XLA": "off",
        "images/s": "5.00",
        "× plain": "2.50",
        "step alone": "5.10",
        "of ceiling": "82 %",
        "input pipeline": "1.2 %",
        "inference, images/s": "17.0",
        "first step, s": "12.3",
        "peak memory, MiB": "2,500",
    }
    assert plain["setting"] == "plain program, Keras's defaults" and plain["step alone"] == "–"
    assert (plain["× plain"], plain_xla["× plain"], exact["× plain"]) == ("1.00", "0.25", "1.25")
    assert (plain_xla["setting"], plain_xla["XLA"], exact["setting"]) == ("plain program", "on", "this project")
    assert (failed["images/s"], failed["XLA"], failed["of ceiling"]) == ("failed", "on", "–")


def test_a_peer_is_held_against_the_step_alone():
    record = copy.deepcopy(RECORD) | {"folder": "benchmark/cpu-amd-epyc-2-cores-jax"}
    record["hardware"] |= {"backend": "jax"}
    peers = [("mixed_bfloat16", "compile", 4.0), ("float32", "eager", 1.5)]
    record["workloads"]["unet"]["rows"] += [
        row("torch", precision, how, [speed], framework="PyTorch 2.14.0", ceiling_share=0.64)
        for precision, how, speed in peers
    ]
    text = benchmark_report.page([record])
    assert "\n## CPU, AMD EPYC, 2 cores, Keras on JAX\n" in text
    assert "against PyTorch 2.14.0 at its best (mixed_bfloat16, `torch.compile`): 1.27 times." in text  # 5.1 / 4
    compiled, eager = table(text, "step alone")[-2:]
    assert (compiled["setting"], compiled["XLA"], eager["XLA"]) == (
        "PyTorch, channels last",
        "`torch.compile`",
        "eager",
    )
    assert (compiled["step alone"], compiled["images/s"], compiled["× plain"]) == ("4.00", "–", "–")
    assert compiled["of ceiling"] == "64 %"


def test_the_pipelines_memory_is_told_by_cache_and_size():
    memory, none = table(benchmark_report.page([RECORD | {"folder": FOLDER}]), "cache")
    assert list(memory.values()) == ["`memory`", "230", "810", "150"]
    assert list(none.values()) == ["`none`", "180", "190", "150"]


def test_on_a_gpu_it_is_the_devices_memory():
    record = copy.deepcopy(RECORD) | {"folder": FOLDER}
    for each in record["workloads"]["unet"]["rows"][:4]:
        each["memory"]["device_peak"] = 3 * MIB
    text = benchmark_report.page([record])
    assert [each["peak device memory, MiB"] for each in table(text, "step alone")] == ["3"] * 4 + ["–"]


def test_the_summary_has_a_line_a_network_and_leads_to_the_page():
    text = benchmark_report.benchmark_section([RECORD | {"folder": FOLDER}], RESULTS)
    assert text.startswith("## Speed\n") and "](benchmark.md)" in text
    (line,) = table(text, "machine")
    assert line == {
        "machine": "CPU, AMD EPYC, 2 cores",
        "network": "U-Net",
        "this project": "mixed_bfloat16, XLA off",
        "images/s": "5.00",
        "× plain": "2.50 (XLA off)",
        "× plain, other XLA": "10.00 (XLA on)",
        "of ceiling": "82 %",
        "of ceiling in float32": "87 %",
        "input pipeline": "1.2 %",
    }


@pytest.mark.skipif(not (RESULTS / "benchmark.md").exists(), reason="the benchmark has not been run")
def test_the_committed_page_is_that_of_the_records_and_leads_to_files():
    records = [record for record in report.read_records(RESULTS) if record["experiment"] == "benchmark"]
    text = (RESULTS / "benchmark.md").read_text()
    assert text == benchmark_report.page(records)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if not link.startswith("http")]
    assert links and all((RESULTS / link).exists() for link in links)
