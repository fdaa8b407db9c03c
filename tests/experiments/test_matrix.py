"""What a U-Net's scoring holds in memory."""

import gc
import tracemalloc

import tensorflow as tf

from experiments.harness.data.datasets import Choice
from experiments.harness.running.hardware import Hardware
from experiments.unets.matrix import Matrix
from experiments.unets.training import build_model

SIDE = 128


def photos(count):
    def photo(n):
        return {
            "image": tf.fill((16, 16, 3), tf.cast(n, tf.uint8)),
            "segmentation_mask": tf.fill((16, 16, 1), tf.cast(n % 3 + 1, tf.uint8)),
            "file_name": tf.strings.format("{}.png", n),
        }

    return tf.data.Dataset.range(count).map(photo)


def test_scoring_holds_no_more_of_a_larger_test_split(tmp_path):
    choice, machine = Choice("shapes", "builtin", None, ""), Hardware("CPU", "", 2, 0, "float32", False, "")
    matrix = Matrix(choice, "smoke", {"image_size": SIDE}, ["mp-tr-bce"], [0], machine, tmp_path, cache="none")
    model, peaks = build_model(matrix.recipes["mp-tr-bce"], 0, 1), []
    for count in (65, 161):  # batches of 32: more than are in flight at a time in both
        matrix.data.test = photos(count)
        gc.collect()
        tracemalloc.start()
        matrix.score(model, "mp-tr-bce", tmp_path, "label")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (tmp_path / "predictions.png").is_file()
    assert peaks[1] - peaks[0] < 96 * 2 * SIDE**2  # 2 bytes for each pixel more; image, truth and prediction have 5
