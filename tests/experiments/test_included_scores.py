"""The weights that come along, as they are stored, score as their records say. Needs the prepared data."""

import os

import pytest

from experiments.cvaes.included import preset_of
from experiments.cvaes.training import LabelledImages
from experiments.harness.data.datasets import Choice, prepared_folder
from tfcvae import pretrained
from tfcvae.evaluate import reconstruction_error, relabel_scores
from tfcvae.judge import predict_labels

pytestmark = pytest.mark.slow

IMAGES = 1000


@pytest.mark.parametrize("name", pretrained.included())
def test_included_weights_score_as_their_record_says(name):
    """Over the first 1,000 test images, each under one wrong label; float16 in the file costs nothing that shows."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not prepared_folder(folder, name):
        pytest.skip(f"{name} is not prepared in TFDS_DATA_DIR")
    record, model = pretrained.read_record(name), pretrained.load_model(name)
    limits = [record["config"][limit] for limit in ("train_limit", "test_limit")]
    data = LabelledImages(Choice(name, "prepared", folder, ""), preset_of(record), *limits)
    assert data.fingerprint["test"] == record["data"]["fingerprint"]["test"]
    images, labels = (values[:IMAGES] for values in data.arrays("test", model.likelihood.binarises))
    networks = pretrained.load_judges(name)
    judges = {key: lambda x, judge=judge: predict_labels(judge, x) for key, judge in networks.items()}
    found, test = relabel_scores(model, images, labels, judges, wrong=1)["readings"]["a"], record["test"]
    expected = test["relabel"]["readings"]["a"]
    # One in 1,000 draws lies further off than 3.3 standard deviations, of which the largest is 1.6 %.
    for score in ("accuracy", "retention", "still_true"):
        assert found[score] == pytest.approx(expected[score], abs=0.05), score
    for judge, share in expected.get("judges", {}).items():
        assert found["judges"][judge] == pytest.approx(share, abs=0.05), judge
    assert reconstruction_error(model, images, labels) == pytest.approx(test["reconstruction_error"], rel=0.05)
    if "negative_elbo" in test:
        assert -model.elbo(images, labels).mean() == pytest.approx(test["negative_elbo"], rel=0.03)
