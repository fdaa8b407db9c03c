"""The weights that come along, as they are stored, score as their records say. Needs the prepared data."""

import json
import os

import pytest

from experiments.cvaes.included import preset_of
from experiments.cvaes.training import LabelledImages
from experiments.harness.data.datasets import Choice, prepared_folder
from experiments.nmts import sources
from experiments.nmts.data import ParallelText
from experiments.nmts.recipes import make_recipe
from experiments.unets.training import trimaps
from tfcvae import pretrained
from tfcvae.evaluate import reconstruction_error, relabel_scores
from tfcvae.judge import predict_labels
from tfnmt import pretrained as translators
from tfnmt.evaluate import score
from tfnmt.translate import Translator
from tfseg.evaluate import evaluate
from tfseg.predict import WEIGHTS, load_model

pytestmark = pytest.mark.slow

IMAGES = 1000


def prepared(name):
    """Where TFDS has prepared a dataset, as a `Choice`; skips the test where it has not."""
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not prepared_folder(folder, name):
        pytest.skip(f"{name} is not prepared in TFDS_DATA_DIR")
    return Choice(name, "prepared", folder, "")


@pytest.mark.parametrize("name", pretrained.included())
def test_included_vaes_score_as_their_record_says(name):
    """Over the first 1,000 test images, each under one wrong label; float16 in the file costs nothing that shows."""
    choice = prepared(name)
    record, model = pretrained.read_record(name), pretrained.load_model(name)
    limits = [record["config"][limit] for limit in ("train_limit", "test_limit")]
    data = LabelledImages(choice, preset_of(record), *limits)
    assert data.fingerprint["test"] == record["data"]["fingerprint"]["test"]
    images, labels = (values[:IMAGES] for values in data.arrays("test", model.likelihood.binarises))
    networks = pretrained.load_judges(name)
    judges = {key: lambda x, judge=judge: predict_labels(judge, x) for key, judge in networks.items()}
    found, test = relabel_scores(model, images, labels, judges, wrong=1)["readings"]["a"], record["test"]
    expected = test["relabel"]["readings"]["a"]
    # One in 1,000 draws lies further off than 3.3 standard deviations, of which the largest is 1.6 %.
    for share in ("accuracy", "retention", "still_true"):
        assert found[share] == pytest.approx(expected[share], abs=0.05), share
    assert found["judges"] == pytest.approx(expected["judges"], abs=0.05)
    assert reconstruction_error(model, images, labels) == pytest.approx(test["reconstruction_error"], rel=0.05)
    if "negative_elbo" in test:
        assert -model.elbo(images, labels).mean() == pytest.approx(test["negative_elbo"], rel=0.03)


def test_the_included_unet_scores_as_its_record_says():
    data, record = trimaps(prepared("oxford_iiit_pet"), "cpu"), json.loads(WEIGHTS.with_suffix(".json").read_text())
    if data.fingerprint["test"] != record["data"]["fingerprint"]["test"]:
        pytest.skip("these are other test photos than those of the record")
    found = evaluate(load_model(), data.test, record["config"]["image_size"], "foreground", pictures=False).scores
    assert found == pytest.approx(record["test"], abs=0.002)  # trained in another precision, stored as float16


@pytest.mark.parametrize("name", translators.included())
def test_included_translators_score_as_their_record_says(name):
    folder = os.environ.get(sources.FOLDER)
    if not folder or not sources.find(name, folder):
        pytest.skip(f"{name} is not in TRANSLATION_DATA_DIR")
    record = translators.read_record(name)
    recipe = make_recipe(name, record["variant"], "cpu", {})
    data = ParallelText(sources.choose(name), "cpu", recipe)
    if data.identity()["fingerprint"]["test"] != record["data"]["fingerprint"]["test"]:
        pytest.skip("these are other sentences than those of the record")
    test = data.corpora["test"]
    search = recipe.beam, recipe.penalty, recipe.search_tokens, recipe.widths
    found = score(Translator(*translators.load(name), *search).translate(test.english), test.french)
    for metric in ("bleu", "chrf", "bleu_tokenized"):
        assert found[metric] == pytest.approx(record["test"][metric], abs=0.3), metric
    assert found["sentences"] == record["test"]["sentences"]
