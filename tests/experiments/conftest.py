"""What tests of several scripts share, among them what is trained once a session."""

import pytest


@pytest.fixture
def start_here(tmp_path, monkeypatch, capfd):
    """A function that runs a script in this process as `run_here` does, with its results below `tmp_path`."""
    from tests.experiments.sessions import run_here

    return lambda script, *options: run_here(monkeypatch, capfd, script, *options, "--results", tmp_path / "results")


@pytest.fixture(scope="session")
def smoke_classifiers(tmp_path_factory):
    """A results folder with the judges and the feature network of the smoke preset for `glyphs`, in float32.

    Copied into a script's results, they are found there as trained.
    """
    from experiments.cvaes.classifiers import FeatureNetworks, Judges
    from experiments.cvaes.training import LabelledImages
    from experiments.harness.data.datasets import Choice
    from experiments.harness.running.hardware import Hardware

    results, choice = tmp_path_factory.mktemp("classifiers") / "results", Choice("glyphs", "builtin", None, "")
    machine, data = Hardware("CPU", "some CPU", 2, 0, "float32", False, "as asked"), LabelledImages(choice, "smoke")
    for kind in (Judges, FeatureNetworks):
        kind(choice, "smoke", data, machine, results).ready()
    return results
