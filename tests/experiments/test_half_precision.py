import json

import keras
import numpy as np
import pytest

from experiments.harness.running.errors import UserError
from experiments.maintenance import include_weights
from experiments.maintenance.include_weights import in_float16
from tests.experiments.sessions import include


@keras.saving.register_keras_serializable("tests")
class Counter(keras.layers.Layer):
    """Holds a number that is no weight to be rounded."""

    def build(self, input_shape):
        self.count = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, inputs):
        return inputs


@pytest.fixture
def saved(tmp_path):
    """A model, and the folder of a finished training that holds it."""
    inputs = keras.Input((8, 8, 3))
    x = Counter(name="counter")(keras.layers.Conv2D(64, 3, name="first")(inputs))
    model = keras.Model(inputs, keras.layers.Conv2D(64, 3, name="second")(keras.layers.BatchNormalization()(x)))
    model.get_layer("counter").count.assign(70_001)  # beyond float16
    folder = tmp_path / "seed-0"
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "record.json").write_text('{"test": {"iou": 0.8}}')
    return model, folder


def test_included_weights_are_half_the_size_and_the_same_model_in_float32(saved, tmp_path, monkeypatch):
    model, folder = saved
    include(monkeypatch, folder, tmp_path / "pets", "--float16")
    record = json.loads((tmp_path / "pets.json").read_text())
    assert record["weights_stored"] == "float16" and record["test"] == {"iou": 0.8}
    before, after = (path.read_bytes() for path in (folder / "model.keras", tmp_path / "pets.keras"))
    assert len(after) < 0.6 * len(before) and after == in_float16(before)  # the same bytes each time
    small = keras.models.load_model(tmp_path / "pets.keras")
    assert small.to_json() == model.to_json()
    for ours, theirs in zip(small.get_weights(), model.get_weights(), strict=True):
        rounds = theirs.dtype == "float32"
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs.astype("float16") if rounds else theirs)


def test_numbers_that_float16_cannot_hold_are_an_error(saved):
    model, folder = saved
    model.get_layer("second").bias.assign(np.full(64, 1e6))
    model.save(folder / "model.keras")
    with pytest.raises(ValueError, match="vars/1 holds numbers that float16 can't hold"):
        in_float16((folder / "model.keras").read_bytes())
    (folder / "model.keras").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model.keras can't be stored in float16 \(File is not a zip file\)"):
        include_weights.read_model(folder, float16=True)
