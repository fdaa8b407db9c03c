"""What tests of several scripts share, trained once a session."""

import pytest


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
