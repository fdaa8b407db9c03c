"""Whole runs of the benchmark, as small as they get."""

import os
import signal

import pytest

from experiments import benchmark
from experiments.benchmarks import memory
from experiments.benchmarks.plan import Row, make_sizes
from tests.experiments.sessions import Session, read, run_here

SMALL = ["--image-size", "16", "--filters", "1", "--batch-size", "2", "--turns", "2", "--seconds", "0.05"]
SMALL += ["--settings", "default"]

pytestmark = pytest.mark.slow


def test_a_run_measures_speed_and_memory_and_writes_record_page_and_summary(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(memory, "READS", [("memory", 800), ("disk", 800)])
    parts = ["--parts", "unet", "memory"]
    code, out, err = run_here(monkeypatch, capfd, benchmark, *SMALL, *parts, "--results", tmp_path)
    assert (code, err) == (0, "")
    assert "failed" not in out and out.splitlines()[-3].endswith("left: 0m00s")
    (folder,) = (tmp_path / "benchmark").iterdir()
    record = read(folder)
    part = record["workloads"]["unet"]
    for row in part["rows"]:
        measures = ["together"] if row["loop"] == "plain" else ["step", "together", "inference"]
        assert list(row["turns"]) == measures and row["first_step_seconds"] > 0
        assert all(1 <= len(turns) <= 2 and min(turns) > 0 for turns in row["turns"].values())
        assert 100 * 2**20 < row["memory"]["start"] < row["memory"]["peak"] < 4 * 2**30
        assert row["xla_used"] is False  # Keras leaves XLA off on a CPU
    plain, own = part["rows"]
    assert sum(own["kernels"].values()) == pytest.approx(1) and own["kernels"]["convolutions"] > 0.05
    assert (plain["loop"], own["loop"]) == ("plain", "project") and 0 < own["ceiling_share"] < 1
    assert {row["precision"] for row in part["rows"]} <= set(part["ceilings"])
    assert part["ceilings"]["float32"]["flops_per_second"] > 1e8
    taken = {row["cache"]: row["peak"] - row["start"] for row in record["pipeline_memory"]["rows"]}
    images = 800 * 4 * 320**2  # bytes of what is kept for training at 256 pixels
    assert taken["memory"] - taken["disk"] > 0.5 * images
    assert "### U-Net" in (tmp_path / "benchmark.md").read_text()
    assert "](benchmark.md)" in (tmp_path / "summary.md").read_text()


def test_a_setting_under_xla():
    from experiments.benchmarks.measurements import RowService

    sizes = make_sizes("CPU", image_size=16, filters=1, batch_size=2, unet_batches=2)
    service = RowService(Row("unet", "project", "float32", True), sizes)
    assert service.build()["xla_used"] is True
    assert all(service.measure(name, 0) > 0 for name in service.row.measures)


# Ended


PARENT = """
import time
from experiments.benchmarks.processes import Child

with Child("tests.experiments.test_benchmark:Service", 12) as child:
    child.wait()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_run_that_is_interrupted_leaves_nothing_behind(tmp_path):
    options = [*SMALL, "--parts", "unet", "--turns", "1000"]
    with Session(tmp_path / "results", benchmark.__file__, *options, alone=True) as run:
        run.wait_for("first step, compilation included")
        assert len(run.processes()) >= 4  # this one, the machine's, and one a setting
        os.killpg(run.process.pid, signal.SIGINT)  # as Ctrl-C does
        assert run.finish() == 130 and run.stderr() == "interrupted: nothing was written\n"
        assert run.has_left_nothing() and list((tmp_path / "results").iterdir()) == []


def test_processes_end_with_the_one_that_started_them(tmp_path):
    with Session(tmp_path / "results", "-c", PARENT, alone=True) as parent:
        parent.wait_for("ready")
        assert len(parent.processes()) >= 2
        parent.kill()
        assert parent.has_left_nothing()
