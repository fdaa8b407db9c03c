import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments.harness.reporting import figures
from experiments.harness.reporting.figures import curves
from experiments.unets import figures as unet_figures
from experiments.unets import overlays
from experiments.unets.overlays import FALSE_POSITIVE, HIT, MISS, class_overlay, coloured, overlay
from tests.experiments.sessions import ROOT


def blend(colour):
    return np.round(100 + 0.5 * (np.float32(colour) - 100)).astype(np.uint8)


def rectangle(rows, columns):
    mask = np.zeros((12, 12), bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture
def photo():
    return np.full((12, 12, 3), 100, np.uint8)


def test_overlay_tints_the_foreground_and_outlines_it(photo):
    mask = rectangle(slice(3, 8), slice(3, 8))
    laid = overlay(photo, mask)
    assert laid.dtype == np.uint8 and laid.shape == photo.shape
    np.testing.assert_array_equal(laid[5, 5], blend(HIT))
    np.testing.assert_array_equal(laid[3, 5], [255, 255, 255])
    np.testing.assert_array_equal(laid[1, 1], [100, 100, 100])
    assert (photo == 100).all()
    np.testing.assert_array_equal(overlay(photo / np.float32(255), mask), laid)
    np.testing.assert_array_equal(overlay(photo, np.zeros((12, 12), bool)), photo)


def test_overlay_tells_hits_false_positives_and_misses_apart(photo):
    prediction, truth = rectangle(slice(0, 9), slice(0, 12)), rectangle(slice(4, 12), slice(0, 12))
    laid = overlay(photo, prediction, truth)
    np.testing.assert_array_equal(laid[2, 5], blend(FALSE_POSITIVE))
    np.testing.assert_array_equal(laid[6, 5], blend(HIT))
    np.testing.assert_array_equal(laid[10, 5], blend(MISS))
    np.testing.assert_array_equal(laid[8, 5], [255, 255, 255])
    np.testing.assert_array_equal(laid[2, 0], blend(FALSE_POSITIVE))  # no outline along the image's edge


def test_curves(tmp_path):
    history = {"images": [10, 20, 30], "loss": [0.9, 0.5, 0.4], "val_iou": [float("nan"), 0.5, 0.6]}
    shorter = {name: values[:2] for name, values in history.items()}
    histories = {"a": [history, shorter], "b": [history], "one epoch": [{k: v[-1:] for k, v in history.items()}]}
    histories["nothing"] = [{"images": [10], "loss": [float("nan")], "val_iou": [float("nan")]}]
    path = tmp_path / "curves.png"
    curves(histories, path, "title", {"loss": "loss", "val_iou": "IoU"}, styles={"b": "--"})
    with Image.open(path) as image:
        assert image.format == "PNG"
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]


@dataclass
class Evaluation:
    """As of `tfseg.evaluate`, which imports TensorFlow."""

    images: np.ndarray
    truths: np.ndarray
    predictions: np.ndarray
    ious: np.ndarray


BINARY = SimpleNamespace(tile=lambda mask: mask, laid_over=overlay, legend=overlays.OVERLAY_LEGEND)


@pytest.fixture
def drawn(monkeypatch):
    """Arguments of the grids that would be drawn."""
    calls = []
    monkeypatch.setattr(figures, "tile_grid", lambda *args, **kwargs: calls.append(args))
    return calls


def test_predictions_are_best_median_and_worst(drawn):
    images = np.arange(5)[:, None, None, None] * np.ones((5, 4, 4, 3), np.uint8)
    masks = np.ones((5, 4, 4), bool)
    ious = np.array([0.5, 0.9, 0.1, 0.7, 0.6])
    evaluation = Evaluation(images, masks, masks, ious)
    unet_figures.draw_predictions(evaluation, list("abcde"), "x.png", "title", BINARY)
    rows, columns, row_titles = drawn[0][:3]
    assert columns == ["photo", "truth", "prediction", "overlay"]
    assert row_titles == ["best\nrank 1 of 5\nb", "median\nrank 3 of 5\ne", "worst\nrank 5 of 5\nc"]
    assert [row[3][1] for row in rows] == ["IoU 0.900", "IoU 0.600", "IoU 0.100"]
    assert [row[0].max() for row in rows] == [1, 4, 2]
    one = Evaluation(images[:1], masks[:1], masks[:1], ious[:1])
    unet_figures.draw_predictions(one, ["a"], "x.png", "title", BINARY)
    assert drawn[1][2] == ["best\nrank 1 of 1\na"]


def test_reports_and_figures_need_neither_tensorflow_nor_pyplot():
    code = (
        "import sys, experiments.unets.report, experiments.cvaes.report, experiments.cvaes.image_grids;"
        "import experiments.harness.reporting.figures as f; loaded = set(sys.modules);"
        "assert not loaded & {'tensorflow', 'keras', 'matplotlib'}, loaded;"
        "f.new_figure(1, 1); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# Classes

CLASS_COLOURS = [(0, 0, 0), (200, 0, 0), (0, 0, 100)]


def test_class_ids_in_colour_and_over_a_photo(photo):
    ids = np.array([[0, 1], [2, 255]])
    expected = np.uint8([[(0, 0, 0), (200, 0, 0)], [(0, 0, 100), (255, 255, 255)]])
    assert np.array_equal(coloured(ids, CLASS_COLOURS), expected)
    laid = class_overlay(photo[:2, :2], ids, CLASS_COLOURS)  # grey 100, half tinted; black leaves it as it is
    assert laid.tolist() == [[[100] * 3, [150, 50, 50]], [[50, 50, 100], [178] * 3]]
