"""A matrix trains the same wherever its training images are kept, and leaves no cache behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "run_unet_matrix.py"


@pytest.mark.slow
def test_every_cache_gives_the_same_model(tmp_path):
    records = {}
    for cache in ("memory", "disk", "none"):
        folder = tmp_path / cache / "unet" / "shapes" / "smoke" / "mp-tr-bce" / "seed-0"
        (folder / "cache-of-a-killed-run").mkdir(parents=True)
        options = ["--preset", "smoke", "--data", "shapes", "--precision", "float32", "--variants", "mp-tr-bce"]
        command = [sys.executable, SCRIPT, *options, "--cache", cache, "--results", tmp_path / cache]
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        records[cache] = json.loads((folder / "record.json").read_text())
        assert list(folder.glob("cache-*")) == []
    assert records["memory"]["test"] == records["disk"]["test"] == records["none"]["test"]
