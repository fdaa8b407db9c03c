"""Whole runs of the benchmark, as small as they get."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "benchmark.py"
SMALL = ["--image-size", "16", "--filters", "1", "--batch-size", "2", "--turns", "2", "--seconds", "0.05"]

pytestmark = pytest.mark.slow


def start(results, *options):
    command = [sys.executable, SCRIPT, *SMALL, *options, "--results", results]
    return subprocess.Popen(
        list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def processes_of(session):
    """Ids of the processes that a session has left."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_run_measures_every_setting_and_writes_record_page_and_summary(tmp_path):
    run = start(tmp_path, "--parts", "unet", "memory")
    output, _ = run.communicate(timeout=900)
    assert run.returncode == 0, output
    assert "failed" not in output and output.splitlines()[-3].endswith("left: 0m00s")
    (folder,) = (tmp_path / "benchmark").iterdir()
    record = json.loads((folder / "record.json").read_text())
    part = record["workloads"]["unet"]
    shares = {}
    for row in part["rows"]:
        measures = ["together"] if row["loop"] == "plain" else ["step", "together", "inference"]
        assert list(row["turns"]) == measures and row["first_step_seconds"] > 0
        assert all(1 <= len(turns) <= 2 and min(turns) > 0 for turns in row["turns"].values())
        assert 100 * 2**20 < row["memory"]["start"] < row["memory"]["peak"] < 4 * 2**30
        assert row["xla_used"] is (row["xla"] is True)  # Keras leaves XLA off on a CPU
        shares[row["precision"]] = row.get("ceiling_share")
    assert {row["loop"] for row in part["rows"]} == {"plain", "project"} and all(0 < s < 1 for s in shares.values())
    assert list(part["ceilings"]) == list(shares) and part["ceilings"]["float32"]["flops_per_second"] > 1e8
    memory = {(row["cache"], row["photos"]): row["peak"] - row["start"] for row in record["pipeline_memory"]["rows"]}
    images = 1500 * 4 * 320**2  # bytes of what 2,000 photos take more than 500, stored for training at 256 pixels
    assert memory["memory", 2000] - memory["memory", 500] > 0.8 * images
    for cache in ("disk", "none"):
        assert memory[cache, 2000] - memory[cache, 500] < 0.2 * images
    assert "### U-Net" in (tmp_path / "benchmark.md").read_text()
    assert "](benchmark.md)" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path, number, code):
    run = start(tmp_path, "--parts", "unet", "--settings", "default", "--turns", "1000")
    for line in run.stdout:
        if "turn 1/1000" in line:
            break
    assert len(processes_of(run.pid)) >= 4  # this one, the machine's, and one a setting
    if number == signal.SIGKILL:
        run.kill()
    else:
        os.killpg(run.pid, number)  # as Ctrl-C does
    output, _ = run.communicate(timeout=60)
    assert run.returncode == code
    if number == signal.SIGINT:
        assert output.splitlines()[-1] == "interrupted: nothing was written" and "Traceback" not in output
    deadline = time.monotonic() + 60
    while processes_of(run.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(run.pid) == []
    assert list(tmp_path.iterdir()) == []
