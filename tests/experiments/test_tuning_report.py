"""What the summary says of a search, and its pictures."""

import csv
import json

import pytest

from experiments.harness.reporting import report
from experiments.harness.running import runs
from experiments.harness.running.errors import UserError
from experiments.searches.figures import draw_pictures
from experiments.searches.folder import choose_folder
from experiments.searches.report import trials_csv, tuning_section
from tests.experiments.markdown import table

SPACE = {
    "loss": {"choices": ["bce", "dice"]},
    "normalization": {"choices": ["batch", "none"]},
    "rate": {"min": 1e-4, "max": 1e-1, "step": None, "log": True},
    "dropout": {"min": 0.0, "max": 0.4, "step": 0.1, "log": False},
}


def make_trial(number, score):
    fields = {"loss": "dice" if number % 2 else "bce", "normalization": None, "rate": number / 1000, "dropout": 0.1}
    trial = {"trial": number, "status": "completed", "score": score, "epochs": 3 if number % 3 else 9, "best_epoch": 2}
    more = {"hyperparameters": fields, "parameters": 1234567, "seconds": 60.0, "worker": "tuner0", "failure": None}
    return trial | more


def make_record(scores, failed=(), direction="max"):
    trials = [make_trial(number, score) for number, score in enumerate(scores, 1)]
    trials.sort(key=lambda trial: trial["score"] * (-1 if direction == "max" else 1))
    lost = {"status": "failed", "score": None, "parameters": None, "failure": "TrainingDiverged: the loss became nan"}
    trials += [make_trial(number, None) | lost for number in failed]
    return {
        "experiment": "tuning",
        "command": "python experiments/tune_unet.py --trials 14",
        "dataset": "shapes",
        "run": "unet-shapes",
        "config": {
            "experiment": "unet",
            "tuner": "hyperband",
            "seed": 0,
            "preset": "cpu",
            "max_epochs": 9,
            "objective": {"name": "val_iou", "direction": direction, "title": "val IoU"},
            "space": SPACE,
        },
        "use": "python experiments/run_unet_matrix.py --data shapes",
        "budget": {"trials": 14, "epochs": 70},
        "data": {"train": 1585, "validation": 65, "test": 235},
        "best": trials[0]["hyperparameters"] if scores else None,
        "trials": trials,
        "versions": {"python": "3.11", "tensorflow": "2.21.0", "keras": "3.15.1", "keras-tuner": "1.4.8"},
        "hardware": {"device": "CPU", "name": "AMD EPYC", "cores": 2, "precision": "float32", "xla": False},
    }


def save(results, record):
    folder = results / "tuning" / record["run"]
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def summary(results):
    return report.write_summary(results, {"tuning": tuning_section}).read_text(encoding="utf-8")


SCORES = [0.5 + 0.01 * (7 * number % 12) for number in range(12)]  # 0.50 to 0.61, each once


def test_section_ranks_the_ten_best_and_names_the_failed(tmp_path):
    save(tmp_path, make_record(SCORES, failed=(13, 14)))
    text = summary(tmp_path)
    rows = table(text, "rank")
    assert [row["validation IoU"] for row in rows] == [f"{0.61 - 0.01 * n:.4f}" for n in range(10)]
    assert [row["rank"] for row in rows] == [str(n) for n in range(1, 11)]
    best = max(range(12), key=lambda n: SCORES[n]) + 1
    assert rows[0]["trial"] == str(best) and rows[0]["rate"] == f"{best / 1000:g}"
    assert rows[0]["normalization"] == "none" and rows[0]["parameters"] == "1,234,567"
    assert text.count("failed: TrainingDiverged: the loss became nan") == 2 and "- Trial 13 failed" in text


def test_lower_scores_rank_first_where_they_are_better(tmp_path):
    save(tmp_path, make_record([92.5, 90.25, 101.0], direction="min"))
    text = summary(tmp_path)
    assert [row["validation IoU"] for row in table(text, "rank")] == ["90.25", "92.50", "101.00"] and "lowest" in text


def save_model(results, name, seed, score, images, command="", dataset="shapes", **config):
    folder = results / "unet" / dataset / name / f"seed-{seed}"
    folder.mkdir(parents=True)
    record = {"experiment": "unet", "dataset": dataset, "images_seen": images, "config": config}
    command = f"python experiments/run_unet_matrix.py {command}".strip()
    (folder / "record.json").write_text(json.dumps(record | {"command": command, "test": {"iou": score}}))


def test_what_a_search_gains_stands_beside_models_that_compare(tmp_path):
    best = make_record(SCORES)["best"]
    save(tmp_path, make_record(SCORES))
    sections = {"tuning": tuning_section, "unet": lambda records, results_dir: "## U-Net"}
    save_model(tmp_path, "cpu/mp-tr-bce", 0, 0.80, 1000, target="pet", image_size=64)
    save_model(tmp_path, "cpu/mp-tr-bce", 1, 0.82, 1000, target="pet", image_size=64)
    assert "What it gains" not in report.write_summary(tmp_path, sections).read_text()
    command = "--variants tuned --hparams results/tuning/unet-shapes/best.json"
    save_model(tmp_path, "cpu-2/tuned", 0, 0.85, 900, command, target="pet", image_size=64, **best)
    save_model(
        tmp_path, "cpu-2/mp-tr-bce", 0, 0.84, 900, command, target="pet", image_size=64, **best | {"loss": "bce_dice"}
    )
    save_model(tmp_path, "cpu/strconv-tr-bce", 0, 0.87, 1000, target="pet", image_size=64)
    save_model(tmp_path, "cpu-3/mp-tr-bce", 0, 0.99, 1000, target="foreground", image_size=64)
    save_model(tmp_path, "cpu/mp-tr-bce", 0, 0.99, 1000, dataset="other", target="pet", image_size=64)
    text = report.write_summary(tmp_path, sections).read_text()
    rows = table(text, "training images seen")
    assert [(row["model"], row["run"], row["hyperparameters"], row["test IoU"]) for row in rows] == [
        ("`strconv-tr-bce`", "`cpu`", "others", "0.870"),
        ("`tuned`", "`cpu-2`", "this search's", "0.850"),
        ("`mp-tr-bce`", "`cpu-2`", "this search's, in part", "0.840"),
        ("`mp-tr-bce`", "`cpu`", "others", "0.810 ± 0.010"),
    ]
    assert [row["training images seen"] for row in rows] == ["1,000", "900", "900", "1,000"]
    assert [row["seeds"] for row in rows] == ["1", "1", "1", "2"] and "half the range of the two seeds" in text


def test_the_table_of_all_trials():
    lines = trials_csv(make_record(SCORES, failed=(13, 14))).splitlines()
    assert lines[:2] == [
        "rank,trial,status,score,epochs,best_epoch,loss,normalization,rate,dropout,parameters,seconds,failure",
        "1,6,completed,0.61,9,2,bce,none,0.006,0.1,1234567,60.0,",
    ]
    rows = list(csv.DictReader(lines))
    assert [row["rank"] for row in rows] == [*map(str, range(1, 13)), "", ""]
    failed = rows[12]
    assert (failed["trial"], failed["status"], failed["score"], failed["parameters"]) == ("13", "failed", "", "")
    assert failed["failure"] == "TrainingDiverged: the loss became nan" and failed["loss"] == "dice"


def test_a_search_without_a_good_trial_still_has_its_section(tmp_path):
    folder = save(tmp_path, make_record([], failed=(1, 2, 3)))
    assert draw_pictures(json.loads((folder / "record.json").read_text()), folder) == []
    text = summary(tmp_path)
    assert "No trial ended well." in text and "3 of 14 ended, 3 of them failed" in text and "rank" not in text


# Folders

CONFIG = {"seed": 0, "data": {"train": 65}}


def begin(folder, config=CONFIG, record=False, work=True):
    folder.mkdir(parents=True)
    if work:
        runs.write_json(folder / "work" / "oracle.json", {})
    (folder / "config.json").write_text(json.dumps(config))
    if record:
        (folder / "record.json").write_text("{}")


def test_a_search_goes_on_in_its_own_folder(tmp_path):
    assert choose_folder(tmp_path, "s", False, CONFIG) == (tmp_path / "s", [])
    begin(tmp_path / "s")
    assert choose_folder(tmp_path, "s", False, CONFIG) == (tmp_path / "s", [])
    begin(tmp_path / "t", record=True)
    assert choose_folder(tmp_path, "t", True, CONFIG) == (tmp_path / "t", [])


def test_another_search_gets_another_folder(tmp_path):
    begin(tmp_path / "s", CONFIG | {"seed": 1}, record=True)
    assert choose_folder(tmp_path, "s", False, CONFIG) == (tmp_path / "s-2", [])
    begin(tmp_path / "s-2")
    assert choose_folder(tmp_path, "s", False, CONFIG) == (tmp_path / "s-2", [])
    with pytest.raises(UserError, match="s holds another search, of other seed; choose another --name, or replace"):
        choose_folder(tmp_path, "s", True, CONFIG)
    assert choose_folder(tmp_path, "s", True, CONFIG, force=True) == (tmp_path / "s", [])


def test_a_clones_record_is_not_overwritten(tmp_path):
    begin(tmp_path / "s", record=True, work=False)
    folder, notices = choose_folder(tmp_path, "s", False, CONFIG)
    assert folder == tmp_path / "s-2" and "as in a fresh clone" in notices[0] and len(notices) == 1
    with pytest.raises(UserError, match="as in a fresh clone.*--name"):
        choose_folder(tmp_path, "s", True, CONFIG)
    assert choose_folder(tmp_path, "s", False, CONFIG, force=True)[0] == tmp_path / "s"
