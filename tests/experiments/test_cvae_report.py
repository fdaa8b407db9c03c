import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cvaes import report as cvae_report
from experiments.cvaes.report import cvae_section, draw_pictures, judge_section, short_table
from experiments.harness.reporting import report
from experiments.harness.running.errors import UserError

NAMES = [f"class{n}" for n in range(10)]
HARDWARE = {"device": "CPU", "name": "AMD EPYC", "cores": 2, "precision": "mixed_bfloat16", "xla": False}


def reading(accuracy, retention, still_true=0.05):
    per_class = [accuracy] * 9 + [accuracy / 2]
    scores = {"accuracy": accuracy, "still_true": still_true, "retention": retention}
    return {**scores, "per_class": per_class, "pairs": []}


def relabel(a, b, retention, shift=None, r=0.91):
    readings = {"a": reading(a, retention), "b": reading(b, retention + 0.1)}
    if shift is not None:
        readings["prior_shift"] = reading(shift, retention - 0.1)
    accuracies = {"judge_accuracy": 0.985, "reconstruction_accuracy": r, "ignored_label_accuracy": (1 - r) / 9}
    return {"images": 10_000, "wrong_labels": 9, "gallery": 1000, **accuracies, "readings": readings}


def make_record(model="standard", seed=0, elbo=84.0, bits=None, a=0.97, b=0.98, retention=0.4, **options):
    record = {
        "experiment": "cvae",
        "command": "python experiments/cvae.py --data mnist",
        "dataset": "mnist",
        "run": "cpu",
        "variant": model,
        "seed": seed,
        "config": {
            **{"network": "small", "latent_shape": [32], "label_dim": 16, "likelihood": "bernoulli"},
            **{"prior": "standard", "kl_weight": 1.0, "kl_warmup": 0.1, "free_bits": 0.0, "batch_size": 128},
            **{"epochs": 55, "learning_rate": 0.002},
        },
        "data": {"train": 55_000, "validation": 5_000, "test": 10_000, "fingerprint": {}, "binarisation_seed": 7},
        "parameters": 1_234_567,
        "images_seen": 3_025_000,
        "validation": {"negative_elbo": elbo + 1, "epoch": 54, "relabel": None},
        "test": {
            **{"elbo": -elbo, "negative_elbo": elbo, "unconditional_nll": elbo + math.log(10), "comparable": True},
            "importance_weighted_nll": {"nll": elbo - 2.5, "samples": 500, "images": 1000},
            **{"bits_per_dim": bits, "reconstruction_error": 0.01234, "kl": 25.32},
            **{"active_units": 24, "latent_units": 32},
            "sample_accuracy": {"accuracy": 0.987, "per_class": [0.99] * 9 + [None]},
            "relabel": relabel(a, b, retention),
        },
        "judge": {"accuracy": 0.994, "test_accuracy": 0.995, "folder": "judge/mnist/cpu/small/seed-0"},
        "class_names": NAMES,
        "seconds": {"training": 3300.0, "evaluation": 300.0},
        "images_per_second": 916.7,
        "versions": {"python": "3.11", "tensorflow": "2.21.0", "keras": "3.15.1"},
        "hardware": HARDWARE,
    }
    record["config"] |= options.pop("config", {})
    return record | options


def colour_record(model, seed=0, a=0.3, b=0.2, retention=0.6, elbo=10_000.0, bits=4.7, **config):
    config = {"likelihood": "coupled_discretized_logistic", **config}
    record = make_record(model, seed, elbo, bits, a, b, retention, dataset="cifar10", config=config)
    record["test"]["importance_weighted_nll"] = None
    record["validation"] |= {"negative_elbo": elbo, "relabel": relabel(a + 0.02, b + 0.02, retention + 0.02)}
    return record


def save(results, *records):
    for record in records:
        parts = [record[key] for key in ("experiment", "dataset", "run", "variant")]
        folder = results.joinpath(*parts, f"seed-{record['seed']}")
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record))


def summary(results, *records):
    save(results, *records)
    sections = {"judge": judge_section, "cvae": cvae_section}
    return report.write_summary(results, sections).read_text(encoding="utf-8")


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def column(text, start, title):
    """The cell under a title in the row that starts so, in the first table with that title."""
    lines = text.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("|") and f" {title} |" in line)
    line = next(line for line in lines[head:] if line.startswith(f"| {start} |"))
    return cells(line)[cells(lines[head]).index(title)]


def titles(text, title):
    """The titles of the first table that has this one."""
    return cells(next(line for line in text.splitlines() if line.startswith("|") and f" {title} |" in line))


MNIST = {
    "likelihood": "bernoulli",
    "latent": "32",
    "prior": "standard",
    "KL weight": "1",
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
    "read as asked (b)": "98.0",
    "label ignored, (1 − r) / 9": "1.0",
    "retention (a)": "40.0",
    "retention (b)": "50.0",
    "still true (a)": "5.0",
    "judge on reconstructions, r": "91.0",
    "judge on the inputs": "98.5",
    "judge on real images": "99.4",
}


def test_tables_hold_the_record(tmp_path):
    text = summary(tmp_path, make_record())
    assert {title: column(text, "`standard`", title) for title in MNIST} == MNIST


def test_columns_without_any_value_are_left_out(tmp_path):
    text = summary(tmp_path, make_record())
    assert not {"bits/dim", "seeds"} & set(titles(text, "IW-NLL"))
    assert not [title for title in titles(text, "retention (a)") if "shift" in title]
    assert "trade" not in text and "±" not in text and "not comparable" not in text


def test_class_by_class(tmp_path):
    text = summary(tmp_path, make_record())
    rows = [cells(line)[1:] for line in text.splitlines() if line.startswith("| `standard` | ")]
    rows = {row[0]: row[1:] for row in rows if len(row) == 11}
    assert rows == {
        "samples": ["99.0"] * 9 + ["–"],
        "(a)": ["97.0"] * 9 + ["48.5"],
        "(b)": ["98.0"] * 9 + ["49.0"],
    }


def test_says_what_it_was_computed_on(tmp_path):
    text = summary(tmp_path, make_record())
    assert "60,000 train / 10,000 test images of `mnist`; 5,000 of the 60,000 are held out" in text
    assert "once, with seed 7, in validation and test" in text
    assert "10,000 test images, each under all 9 wrong labels; retention among 1,000 images, 0.1% by chance" in text
    assert "500 latents an image, 1,000 test images" in text
    assert "label embedding of 16" in text and "first 10% of the steps" in text and "3,025,000 images seen" in text
    assert "AMD EPYC, 2 cores, mixed_bfloat16, XLA off" in text and "Seed: 0." in text
    assert "python experiments/cvae.py --data mnist\n" in text
    assert "free bits a latent" not in text and "mirrored" not in text


def test_grey_likelihoods_are_neither_binarised_nor_comparable(tmp_path):
    record = make_record(config={"likelihood": "bernoulli_grey"})
    record["test"]["comparable"] = False
    text = summary(tmp_path, record)
    assert column(text, "`standard`", "likelihood") == "bernoulli_grey (not comparable)"
    assert "black or white" not in text


def test_seeds_become_means_with_their_spread(tmp_path):
    records = [make_record(seed=seed, elbo=84.0 + seed, a=0.96 + 0.02 * seed) for seed in (0, 1)]
    records[1]["test"]["active_units"] = 25
    text = summary(tmp_path, *records)
    assert column(text, "`standard`", "seeds") == "2"
    assert column(text, "`standard`", "−ELBO, nats") == "84.50 ± 0.50"
    assert column(text, "`standard`", "read as asked (a)") == "97.0 ± 1.0"
    assert column(text, "`standard`", "active units") == "24.5 ± 0.5 of 32"
    assert "half the range" in text and "Seeds: 0, 1." in text


POINTS = {"control": (0.36, 0.5), "density": (0.02, 0.98), "kl-4": (0.4, 0.2), "flat-64": (0.2, 0.7)}


@pytest.fixture
def traded():
    records = [colour_record(name, a=a, retention=retention) for name, (a, retention) in POINTS.items()]
    records[1]["config"] |= {"latent_shape": [8, 8, 16]}
    records[2]["config"] |= {"kl_weight": 4.0, "prior": "class", "label_dim": 64}
    records[2]["test"]["relabel"] = relabel(0.4, 0.2, 0.2, shift=0.45)
    return records


def test_models_are_traded_off_in_the_order_of_control_on_validation(tmp_path, traded):
    traded[0]["test"]["relabel"]["readings"]["a"]["accuracy"] = 0.9  # of the test split, which decides nothing
    traded[0]["validation"]["negative_elbo"] = 11_000.0
    text = summary(tmp_path, *traded, colour_record("control", 1, a=0.38, retention=0.52, elbo=10_200.0, bits=4.9))
    part = text[text.index("Label control against") :]
    rows = [line for line in part.split("!")[0].splitlines() if line.startswith("|")]
    assert [cells(row)[0] for row in rows[2:6]] == ["`kl-4`", "**`control`** ★", "`flat-64`", "`density`"]
    assert column(part, r"**`control`** ★", "validation (a)") == "39.0 ± 1.0"
    assert column(part, r"**`control`** ★", "test (a)") == "64.0 ± 26.0"
    assert column(part, r"**`control`** ★", "validation retention") == "53.0 ± 1.0"
    assert column(part, r"**`control`** ★", "test bits/dim") == "4.800 ± 0.100"
    assert column(part, r"**`control`** ★", "validation bits/dim") == "5.035 ± 0.135"  # 4.7 * 1.1 and 4.9
    assert column(part, "`kl-4`", "validation ignored") == "1.0"  # (1 - 0.91) / 9
    assert "the judge reads 99.4% of real images." in part
    assert column(part, "`kl-4`", "validation (b)") == "22.0" and column(part, "`kl-4`", "label dim") == "64"
    assert column(part, "`density`", "latent") == "8 x 8 x 16" and column(part, "`kl-4`", "KL weight") == "4"
    assert "network" not in titles(part, "label dim") and "images seen" not in titles(part, "label dim")
    assert "is reached on validation images by `control`." in part
    # On validation images: control 0.53 / 0.5 and 0.39 / 0.35; flat-64 0.22 / 0.35; kl-4 0.22 / 0.5.
    # In (b): 0.22 / 0.35 of all but density, with a retention of kl-4 there of 0.32 / 0.5.
    assert "In reading (b), with the retention there, `kl-4` is, with 0.63." in part
    assert "`control` (★) has 1.06; of the others, `flat-64` is the nearest to it, with 0.63." in part


def test_models_that_were_trained_for_longer_are_told_apart(tmp_path, traded):
    traded[0]["images_seen"] = 4 * traded[1]["images_seen"]
    text = summary(tmp_path, *traded)
    part = text[text.index("Label control against") :]
    seen = [column(part, name, "images seen") for name in (r"**`control`** ★", "`density`")]
    assert [int(text.replace(",", "")) for text in seen] == [traded[0]["images_seen"], traded[1]["images_seen"]]


def test_what_else_sets_models_apart_is_a_column_and_every_judge_is_named(tmp_path, traded):
    traded[0]["config"]["batch_size"], traded[3]["judge"]["accuracy"] = 32, 0.9
    part = summary(tmp_path, *traded).split("Label control against")[1]
    assert [column(part, name, "batch") for name in (r"**`control`** ★", "`density`")] == ["32", "128"]
    assert "the judge reads 99.4% or 90.0% of real images, trained more than once: the table above says which." in part


def test_the_aim_may_be_missed(tmp_path, traded):
    assert "by none of them." in summary(tmp_path, *traded[1:])


def test_prior_shift_is_shown_where_there_is_one(tmp_path, traded):
    text = summary(tmp_path, *traded)
    assert column(text, "`kl-4`", "read as asked (shift)") == "45.0"
    assert column(text, "`control`", "read as asked (shift)") == "–"
    assert column(text, "`kl-4`", "retention (shift)") == "10.0"
    assert column(text, "`control`", "−ELBO, nats") == "10,000.0"


def test_only_headline_models_are_shown_class_by_class(tmp_path, traded):
    text = summary(tmp_path, *traded)
    part = text[text.index("Class by class") :]
    assert "| `control` | (a) |" in part and "| `density` | (a) |" in part and "`kl-4`" not in part


def test_validation_bits_follow_from_the_validation_elbo(traded):
    from experiments.cvaes.tables import trade_off

    traded[0]["validation"]["negative_elbo"] = 11_000.0
    points = {point["name"]: point for point in trade_off(traded)}
    assert points["control"]["bits_per_dim"] == pytest.approx(4.7 * 1.1)
    assert points["control"]["chosen"] and not points["density"]["chosen"]
    assert points["kl-4"]["relabel_a"] == pytest.approx(0.42) and points["kl-4"]["retention"] == pytest.approx(0.22)
    assert trade_off(traded[:1]) == [] and trade_off([make_record(), make_record("other")]) == []


def test_mnist_comes_first_and_the_longest_run_of_a_dataset(tmp_path):
    quick = make_record(run="a-quick", images_seen=100)
    text = summary(tmp_path, colour_record("control"), quick, make_record())
    order = [text.index(part) for part in ("### mnist", "Run `cpu`", "Run `a-quick`", "### cifar10")]
    assert order == sorted(order) and text.count("### mnist") == 1


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


@pytest.mark.parametrize("missing", ["test.negative_elbo", "judge.accuracy", "test.relabel.readings.a.retention"])
def test_an_incomplete_record_is_named(tmp_path, missing):
    record = copy.deepcopy(make_record(seed=3))
    *path, last = missing.split(".")
    inner = record
    for key in path:
        inner = inner[key]
    del inner[last]
    with pytest.raises(UserError, match=f"standard/seed-3/record.json has no '{missing}'"):
        summary(tmp_path, record)


def test_what_a_record_may_lack_shows_as_a_dash_or_not_at_all(tmp_path):
    record = make_record()
    for key in ("config", "hardware", "versions", "seconds", "validation", "parameters"):
        del record[key]
    del record["test"]["active_units"], record["test"]["latent_units"], record["test"]["sample_accuracy"]["per_class"]
    text = summary(tmp_path, record, make_record("other"))
    assert column(text, "`standard`", "latent") == column(text, "`standard`", "active units") == "–"
    assert column(text, "`other`", "active units") == "24 of 32"


def test_short_table_holds_headline_models(tmp_path, traded):
    text = short_table(traded)
    assert [cells(line)[0] for line in text.splitlines() if line.startswith("| `")] == ["`control`", "`density`"]
    assert column(text, "`control`", "wrong label obeyed (a)") == "36.0"
    assert column(text, "`control`", "label ignored") == "1.0"
    assert column(text, "`control`", "retention (a)") == "50.0" and column(text, "`control`", "bits/dim") == "4.700"
    assert "60,000 train / 10,000 test images of `cifar10`" in text and "AMD EPYC" in text
    assert text.endswith("Made by `python experiments/cvae.py --data mnist`.")
    assert "bits/dim" not in short_table([make_record()])


def test_commands_name_the_models_that_are_shown(tmp_path, traded):
    for record in traded[:3]:
        record["command"] = "python experiments/cvae.py --data cifar10 --model control gone kl-4 density --seed 0"
    text = summary(tmp_path, *traded, judge_record("cifar10", command=traded[0]["command"]))
    judges, models = text.split("## Conditional VAE")
    assert "\npython experiments/cvae.py --data cifar10 --seed 0\n" in judges
    assert "\npython experiments/cvae.py --data cifar10 --model control density kl-4 --seed 0\n" in models
    assert models.count("python experiments/cvae.py") == 2 and "gone" not in text
    assert "--data cifar10 --model control density --seed 0`." in short_table(traded)


def judge_record(dataset="mnist", **values):
    return {
        **{"experiment": "judge", "dataset": dataset, "run": "cpu", "variant": "small", "seed": 0},
        **{"command": f"python experiments/cvae.py --data {dataset}", "parameters": 130_000, "images_seen": 660_000},
        **{"accuracy": 0.99412, "validation_accuracy": 0.9921, "test_accuracy": 0.9952},
        "data": {"train": 55_000, "validation": 5_000, "test": 10_000, "fingerprint": {"test": dataset}},
        **{"seconds": {"training": 540.4}, "hardware": HARDWARE, "versions": {"keras": "3.15.1"}},
        **values,
    }


def test_judges_stand_before_the_models(tmp_path):
    text = summary(tmp_path, make_record(), judge_record("cifar10", accuracy=0.9), judge_record())
    assert text.index("## Judge") < text.index("## Conditional VAE")
    expected = {"on validation, %": "99.21", "on test, %": "99.52", "on both together, %": "99.41"}
    expected |= {"train images": "55,000", "test": "10,000", "parameters": "130,000", "training, s": "540"}
    assert {title: column(text, "mnist", title) for title in expected} == expected
    assert column(text, "cifar10", "on both together, %") == "90.00"
    part = text[: text.index("## Conditional VAE")]
    assert part.index("| mnist |") < part.index("| cifar10 |") and part.count("AMD EPYC") == 1
    assert "different images" not in part


def test_a_judge_that_learned_from_blurred_images_says_so(tmp_path):
    text = summary(tmp_path, make_record(), judge_record("cifar10", config={"blur": 0.25}), judge_record())
    (line,) = [line for line in text.splitlines() if "coarser" in line]
    assert line.startswith("- cifar10, `cpu`: 25% of the training images were made 2 or 4 times coarser")


def test_a_judge_without_accuracy_is_named(tmp_path):
    with pytest.raises(UserError, match="judge/mnist/cpu/small/seed-0/record.json has no 'accuracy'"):
        summary(tmp_path, judge_record(accuracy=None))


HISTORY = "epoch,images,loss,reconstruction,kl,negative_elbo,val_loss,val_reconstruction,val_kl,val_negative_elbo\n"


def test_pictures_are_drawn_from_records_and_histories(tmp_path, traded):
    save(tmp_path, *traded)
    folder = tmp_path / "cvae/cifar10/cpu"
    rows = "1,100,9,8,1,9,9,8,1,9\n2,200,8,7,1,8,8,7,1,8\n"
    (folder / "control/seed-0/history.csv").write_text(HISTORY + rows)
    records = [*report.read_records(tmp_path), {"experiment": "unet", "folder": "unet"}]
    expected = [folder / "control/seed-0/curves.png", folder / "tradeoff.png"]
    assert draw_pictures(records, tmp_path) == expected
    assert all(path.is_file() for path in expected)
    assert "](cvae/cifar10/cpu/tradeoff.png)" in summary(tmp_path)


def test_a_single_model_is_not_traded_off(tmp_path):
    save(tmp_path, colour_record("control"))
    assert draw_pictures(report.read_records(tmp_path), tmp_path) == []


def test_a_broken_history_is_named(tmp_path):
    save(tmp_path, make_record())
    path = tmp_path / "cvae/mnist/cpu/standard/seed-0/history.csv"
    path.write_text("images,loss\n1,abc\n")
    with pytest.raises(UserError, match=r"seed-0/history\.csv"):
        draw_pictures(report.read_records(tmp_path), tmp_path)


def test_report_and_figures_need_neither_tensorflow_nor_matplotlib():
    code = (
        "import sys, experiments.cvaes.report, experiments.cvaes.image_grids; loaded = set(sys.modules);"
        "assert not loaded & {'tensorflow', 'keras', 'matplotlib'}, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(cvae_report.__file__).parents[2])
