import copy
import statistics

import pytest

from experiments.harness.reporting import report
from experiments.harness.running.errors import UserError
from experiments.unets.report import unet_section
from tests.experiments.markdown import column
from tests.experiments.sessions import save

VARIANTS = {
    "mp-tr-bce": ("maxpool", "transpose", "bce"),
    "mp-tr-dice": ("maxpool", "transpose", "dice"),
    "strconv-tr-bce": ("strided", "transpose", "bce"),
    "strconv-ups-dice": ("strided", "upsample", "dice"),
    "tutorial": ("maxpool", "transpose", "bce"),
}
SCORES = ("iou", "dice", "per_image_iou", "pixel_accuracy", "iou_border_excluded", "iou_native")


def scores(value):
    return {name: value + 0.01 * n for n, name in enumerate(SCORES)}


def make_record(variant, seed, iou=0.75):
    down, up, loss = VARIANTS[variant]
    record = {
        "experiment": "unet",
        "command": "python experiments/run_unet_matrix.py --preset cpu",
        "dataset": "oxford_iiit_pet",
        "run": "cpu",
        "variant": variant,
        "seed": seed,
        "config": {"down": down, "up": up, "loss": loss, "image_size": 128, "epochs": 43, "target": "foreground"},
        "data": {"train": 585, "validation": 65, "test": 235, "fingerprint": {"train": {"sha256": "a"}}},
        "parameters": 7784625,
        "images_seen": 24768,
        "validation": {"iou": iou - 0.01, "epoch": 40 + seed},
        "test": scores(iou),
        "test_flip": scores(iou + 0.005),
        "trivial": {"all_foreground": scores(0.4), "all_background": dict.fromkeys(SCORES, 0.0)},
        "seconds": {"training": 372.0, "evaluation": 12.0},
        "images_per_second": 66.0,
        "versions": {"python": "3.11", "tensorflow": "2.21.0", "keras": "3.15.1"},
        "hardware": {"device": "CPU", "name": "AMD EPYC", "cores": 2, "precision": "float32", "xla": False},
    }
    if variant == "tutorial":
        record["config"]["target"] = "trimap"
        classes = {"pet": 0.61, "background": 0.82, "border": 0.33}
        record["test"] |= {"per_class_iou": classes, "mean_class_iou": 0.587, "three_class_accuracy": 0.84}
    return record


def summary(results):
    return report.write_summary(results, {"unet": unet_section}).read_text(encoding="utf-8")


@pytest.fixture
def full(tmp_path):
    ious = {"mp-tr-bce": (0.75, 0.77), "mp-tr-dice": (0.78, 0.79), "strconv-tr-bce": (0.7, 0.71)}
    for variant in VARIANTS:
        save(tmp_path, *[make_record(variant, seed, ious.get(variant, (0.6, 0.6))[seed]) for seed in (0, 1)])
    return tmp_path


def test_records_are_read_in_order_with_their_folder(full):
    folders = [record["folder"] for record in report.read_records(full)]
    assert folders[0] == "unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-0"
    assert folders == sorted(folders) and len(folders) == 10


def test_table_holds_the_records_means(full):
    text = summary(full)
    assert column(text, "`mp-tr-bce`", "test IoU") == "0.760 ± 0.010"
    assert column(text, "`mp-tr-dice`", "test IoU") == "0.785 ± 0.005"
    assert column(text, "`mp-tr-bce`", "Dice") == "0.770 ± 0.010"
    assert column(text, "`mp-tr-bce`", "IoU w/o border") == "0.800 ± 0.010"
    assert column(text, "`mp-tr-bce`", "parameters") == "7,784,625"
    assert column(text, "`mp-tr-bce`", "images/s") == "66.0 ± 0.0"
    assert column(text, "`mp-tr-bce`", "IoU, photo size") == "0.810 ± 0.010"
    assert column(text, "`mp-tr-bce`", "IoU, flip") == "0.765 ± 0.010"
    assert column(text, "`mp-tr-bce`", "validation IoU") == "0.750 ± 0.010"
    assert column(text, "`mp-tr-bce`", "chosen epoch, by seed") == "40, 41"
    assert column(text, "`mp-tr-bce`", "training, min") == "6.2 ± 0.0"
    parts = [column(text, "`strconv-ups-dice`", title) for title in ("down", "up", "loss", "seeds")]
    assert parts == ["strided", "upsample", "dice", "2"]
    assert "half the range" in text and "not complete" not in text and "different images" not in text


def test_trivial_and_tutorial_rows(full):
    text = summary(full)
    assert column(text, "all foreground", "test IoU") == "0.400"
    assert column(text, "all background", "Dice") == "0.000"
    assert column(text, "`tutorial` †", "test IoU") == "0.600 ± 0.000"
    assert column(text, "`tutorial`", "IoU of border") == "0.330 ± 0.000"
    assert column(text, "`tutorial`", "three-class accuracy") == "0.840 ± 0.000"


def test_rows_from_different_images_are_pointed_out(full):
    other = make_record("mp-tr-bce", 2)
    other["data"] = other["data"] | {"fingerprint": {"train": {"sha256": "b"}}}
    save(full, other)
    assert "computed on different images" in summary(full)


def test_an_unfinished_run_shows_what_is_there_and_says_what_is_not(tmp_path):
    save(tmp_path, make_record("mp-tr-bce", 0), make_record("mp-tr-bce", 1), make_record("strconv-ups-dice", 0))
    text = summary(tmp_path)
    assert "No record yet of `mp-tr-dice`, `strconv-tr-bce`, `strconv-ups-dice` with seed 1." in text
    assert column(text, "`strconv-ups-dice`", "test IoU") == "0.750"


@pytest.mark.parametrize("content", ['{"experiment": "unet", "te', "[]", "{}"])
def test_a_torn_record_is_named(full, content):
    path = full / "unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-1/record.json"
    path.write_text(content)
    with pytest.raises(UserError, match="mp-tr-bce/seed-1/record.json"):
        summary(full)


def test_a_record_without_scores_is_named(full):
    record = copy.deepcopy(make_record("mp-tr-bce", 7))
    del record["test"]["iou"]
    save(full, record)
    with pytest.raises(UserError, match="mp-tr-bce/seed-7/record.json has no 'test.iou'"):
        summary(full)


def test_scores_that_a_record_lacks_show_as_a_dash(tmp_path):
    record = make_record("mp-tr-bce", 0)
    for key in ("test_flip", "validation", "trivial", "hardware", "versions", "seconds", "config"):
        del record[key]
    save(tmp_path, record, make_record("mp-tr-dice", 0))
    assert column(summary(tmp_path), "`mp-tr-bce`", "IoU, flip") == "–"


def test_a_failing_section_leaves_the_old_summary(full):
    text = summary(full)
    with pytest.raises(ZeroDivisionError):
        report.write_summary(full, {"unet": lambda records, results: 1 / 0})
    assert (full / "summary.md").read_text(encoding="utf-8") == text


def test_skeleton_knows_no_experiment(full):
    folder = full / "vae/mnist/seed-0"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"experiment": "vae"}')
    sections = {"vae": lambda records, results: f"## VAE\n\n{len(records)} records", "absent": unet_section}
    text = report.write_summary(full, sections).read_text(encoding="utf-8")
    assert text.index("## VAE\n\n1 records") < text.index("## unet")
    assert "(unet/oxford_iiit_pet/cpu/mp-tr-bce/seed-0/record.json)" in text


def test_no_records(tmp_path):
    assert "No records yet." in summary(tmp_path)


def test_mean_and_spread():
    assert report.mean_and_spread([0.5]) == "0.500"
    assert report.mean_and_spread([0.5, 0.75], 2) == "0.62 ± 0.12"
    values = [0.5, 0.6, 0.9]
    assert report.mean_and_spread(values) == f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
    assert report.mean_and_spread([1234.5, 1234.5], 1) == "1,234.5 ± 0.0"
    assert report.mean_and_spread([]) == report.mean_and_spread([0.5, None]) == "–"


def test_a_history_that_is_no_table_of_numbers_is_named(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n1,abc\n")
    with pytest.raises(UserError, match=r"history\.csv"):
        report.read_history(path)
