"""What the summary says of conditional VAEs, their judges and feature networks, and which pictures it draws."""

import pytest

from experiments.cvaes.figures import draw_pictures
from experiments.cvaes.report import short_table
from experiments.harness.reporting import report
from experiments.harness.running.errors import UserError
from tests.experiments.cvae_records import colour_record, energy_record, judge_record, make_record, summary
from tests.experiments.markdown import cells, column, titles
from tests.experiments.sessions import save

MNIST = {
    "likelihood": "bernoulli",
    "latent": "32",
    "prior": "standard",
    "KL weight": "1",
    "wrong labels": "0.25",
    "adversary": "0",
    "parameters": "1,234,567",
    "−ELBO, nats": "84.00",
    "−ELBO + ln 10": "86.30",
    "IW-NLL": "81.50",
    "KL, nats": "25.3",
    "active units": "24 of 32",
    "error a pixel": "0.0123",
    "samples, %": "98.7",
    "images/s": "917",
    "training, min": "55.0",
    "read as asked (a)": "97.0",
    "(a) by `small`": "97.5",
    "(a) by `plain-small`": "97.0",
    "(a) by all at once": "96.0",
    "read as asked (b)": "98.0",
    "(b) by `small`": "98.5",
    "label ignored, (1 − r) / 9": "1.0",
    "retention (a)": "40.0",
    "retention (b)": "50.0",
    "still true (a)": "5.0",
    "slant kept, r": "0.81",
    "stroke thickness kept, r": "0.85",
    "samples": "98.7",
    "samples by `small`": "99.1",
    "samples by `plain-small`": "98.7",
    "reconstructions, r": "91.0",
    "inputs": "98.5",
    "real images": "99.4",
    "real images by `plain-small`": "99.6",
}


def test_tables_hold_the_record(tmp_path):
    record = make_record()
    record["test"]["relabel"]["style"] = {"slant": 0.814, "stroke_thickness": 0.851}
    text = summary(tmp_path, record)
    assert {title: column(text, "`standard`", title) for title in MNIST} == MNIST


def test_class_by_class(tmp_path):
    text = summary(tmp_path, make_record())
    rows = [cells(line)[1:] for line in text.splitlines() if line.startswith("| `standard` | ")]
    rows = {row[0]: row[1:] for row in rows if len(row) == 11}
    assert rows == {
        "samples": ["99.0"] * 9 + ["–"],
        "(a)": ["97.0"] * 9 + ["48.5"],
        "(b)": ["98.0"] * 9 + ["49.0"],
    }


def test_records_of_one_judge_and_of_label_noise_are_still_read(tmp_path):
    record = make_record(config={"label_noise": 0.1})
    del record["judge"]["judges"], record["test"]["sample_accuracy"]["judges"], record["config"]["wrong_label_share"]
    for scores in record["test"]["relabel"]["readings"].values():
        del scores["judges"], scores["agreed"]
    text = summary(tmp_path, record)
    assert column(text, "`standard`", "label noise") == "0.1" and "10% of the labels told to the encoder" in text
    assert column(text, "`standard`", "read as asked (a)") == "97.0" and "wrong labels" not in titles(text, "IW-NLL")
    assert not [title for title in [*titles(text, "retention (a)"), *titles(text, "inputs")] if " by " in title]


def test_an_energy_has_no_likelihood(tmp_path):
    control = energy_record("control", a=0.93, retention=0.91, wrong_label_share=0.5, adversary_weight=50.0)
    text = summary(tmp_path, control, colour_record("density"))
    assert column(text, "`control`", "likelihood") == "features (an energy)"
    assert column(text, "`control`", "−ELBO, nats") == column(text, "`control`", "bits/dim") == "–"
    assert column(text, "`density`", "−ELBO, nats") == "10,000.0" and column(text, "`control`", "adversary") == "50"
    assert column(text, "`control`", "Fréchet distance, (a)") == "21.3"
    assert column(text, "`control`", "of real images") == "4.6"
    assert "`base`, seed 2, reads 91.2% of real images" in text and "50% of the images sent in" in text
    assert column(short_table([control]), "`control`", "wrong label obeyed (a)") == "93.0"


@pytest.fixture
def several():
    return [colour_record("control", a=0.36, retention=0.5), colour_record("density"), colour_record("kl-4")]


def test_pictures_are_shown_where_they_exist(tmp_path):
    assert "![" not in summary(tmp_path / "without", make_record())
    save(tmp_path, make_record(), make_record("other"))
    for name in ("wrong_labels", "latents", "cpu/standard/seed-0/wrong_labels", "cpu/other/seed-0/wrong_labels"):
        (tmp_path / f"cvae/mnist/{name}.png").write_bytes(b"")
    text = summary(tmp_path)
    assert text.index("](cvae/mnist/wrong_labels.png)") < text.index("](cvae/mnist/latents.png)")
    assert "samples.png" not in text
    assert "[standard, seed 0, run cpu](cvae/mnist/cpu/standard/seed-0/wrong_labels.png)" in text
    assert "cpu/other" not in text  # no headline model


def test_an_incomplete_record_is_named(tmp_path):
    record = make_record(seed=3)
    del record["test"]["relabel"]["readings"]["a"]["retention"]
    with pytest.raises(UserError, match="standard/seed-3/record.json has no 'test.relabel.readings.a.retention'"):
        summary(tmp_path, record)


def test_what_a_record_may_lack_shows_as_a_dash_or_not_at_all(tmp_path):
    record = make_record()
    for key in ("config", "hardware", "versions", "seconds", "validation", "parameters"):
        del record[key]
    del record["test"]["active_units"], record["test"]["latent_units"], record["test"]["sample_accuracy"]["per_class"]
    text = summary(tmp_path, record, make_record("other"))
    assert column(text, "`standard`", "latent") == column(text, "`standard`", "active units") == "–"
    assert column(text, "`other`", "active units") == "24 of 32"


def test_short_table_holds_headline_models(several):
    text = short_table(several)
    assert [cells(line)[0] for line in text.splitlines() if line.startswith("| `")] == ["`control`", "`density`"]
    assert column(text, "`control`", "retention (a)") == "50.0" and column(text, "`control`", "bits/dim") == "4.700"
    assert "bits/dim" not in short_table([make_record()])


def test_commands_name_the_models_that_are_shown(tmp_path, several):
    for record in several:
        record["command"] = "python experiments/cvae.py --data cifar10 --model control gone kl-4 density --seed 0"
    text = summary(tmp_path, *several, judge_record("cifar10", command=several[0]["command"]))
    judges, models = text.split("## Conditional VAE")
    assert "\npython experiments/cvae.py --data cifar10 --seed 0\n" in judges
    assert "\npython experiments/cvae.py --data cifar10 --model control density kl-4 --seed 0\n" in models
    assert models.count("python experiments/cvae.py") == 1 and "gone" not in text
    assert "--data cifar10 --model control density --seed 0`." in short_table(several)


def test_judges_and_feature_networks_stand_before_the_models(tmp_path):
    network = judge_record("cifar10", experiment="features", seed=2, accuracy=0.912)
    text = summary(tmp_path, make_record(), network, judge_record("cifar10", accuracy=0.9), judge_record())
    expected = {"on validation, %": "99.21", "on test, %": "99.52", "on both together, %": "99.41"}
    expected |= {"train images": "55,000", "test": "10,000", "parameters": "130,000", "training, s": "540"}
    assert {title: column(text, "mnist", title) for title in expected} == expected
    assert column(text, "cifar10", "on both together, %") == "90.00"
    judges, networks = text[: text.index("## Conditional VAE")].split("### Feature networks")
    assert judges.count("AMD EPYC") == 1
    assert column(networks, "cifar10", "feature network") == "`small`"
    assert column(networks, "cifar10", "on both together, %") == "91.20"


HISTORY = "epoch,images,loss,reconstruction,kl,negative_elbo,val_loss,val_reconstruction,val_kl,val_negative_elbo\n"


def with_history(results, *records):
    """Saves records, each with a history of two epochs, and reads them as a run does."""
    save(results, *records)
    for path in results.rglob("record.json"):
        path.with_name("history.csv").write_text(HISTORY + "1,100,9,8,1,9,9,8,1,9\n2,200,8,7,1,8,8,7,1,8\n")
    return report.read_records(results)


def test_pictures_are_drawn_from_records_and_histories(tmp_path, several):
    draw_pictures(with_history(tmp_path, *several[:2]), tmp_path)
    drawn = sorted(path.relative_to(tmp_path / "cvae/cifar10/cpu").as_posix() for path in tmp_path.rglob("*.png"))
    assert drawn == ["control/seed-0/curves.png", "density/seed-0/curves.png", "tradeoff.png"]
    assert "](cvae/cifar10/cpu/tradeoff.png)" in summary(tmp_path)
