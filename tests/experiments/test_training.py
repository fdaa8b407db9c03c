import io
import json
import re
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.harness.running import checkpoint
from experiments.harness.running.checkpoint import Checkpoint, Progress
from experiments.harness.running.errors import UserError
from experiments.harness.running.schedules import OneCycle
from experiments.harness.running.training import TrainingDiverged, save_model, train
from experiments.unets.recipes import make_recipe
from experiments.unets.training import build_model

EPOCHS = 4


class Lines:
    """Points near a line, another one each epoch: `y = slopes[epoch] * x`."""

    steps, batch_size = 3, 4

    def __init__(self, slopes=(1.0,) * EPOCHS):
        self.slopes = slopes

    def epoch(self, epoch):
        x = np.random.default_rng(epoch).standard_normal((self.steps * self.batch_size, 2)).astype("float32")
        y = self.slopes[epoch] * x.sum(1, keepdims=True)
        return tf.data.Dataset.from_tensor_slices((x, y.astype("float32"))).batch(self.batch_size)


VALIDATION = Lines([1.0] * 100).epoch(99)


class Interrupted(Exception):
    """Stands for a kill: leaves `train` in the middle."""


def interrupt_after(epochs):
    def on_epoch(progress):
        if progress.epochs_done == epochs:
            raise Interrupted

    return on_epoch


def make_model(seed, optimizer=None, eager=True):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(1, dtype="float32")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    rate = OneCycle(0.05, EPOCHS * Lines.steps)
    model.compile(
        optimizer or keras.optimizers.Adam(rate), "mse", metrics=["mae"], run_eagerly=eager, jit_compile=False
    )
    return model


def run(path, seed=0, epochs=EPOCHS, data=None, on_epoch=None, mode="min", name="c", **model_arguments):
    """One session of a training: a new model that goes on from the checkpoint, if there is one."""
    model = make_model(seed, **model_arguments)
    progress = train(
        model, data or Lines(), VALIDATION, epochs, Checkpoint(path, model, {"name": name}), "loss", mode, on_epoch
    )
    return model, progress


def interrupted(path, after, **arguments):
    with pytest.raises(Interrupted):
        run(path, on_epoch=interrupt_after(after), **arguments)


def state(model):
    return [np.asarray(variable) for variable in model.variables + model.optimizer.variables]


def untimed(progress):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in progress.history]


def assert_same(one, other):
    (model, progress), (model2, progress2) = one, other
    for a, b in zip(state(model), state(model2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert untimed(progress) == untimed(progress2)
    assert (progress.best, progress.best_epoch) == (progress2.best, progress2.best_epoch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training of seed 0, and its file."""
    path = tmp_path_factory.mktemp("whole") / "checkpoint.npz"
    return run(path), path


# Resuming


@pytest.mark.parametrize("kills", [[1, 2, 3], [EPOCHS]], ids=str)
def test_resumed_training_is_the_uninterrupted_one(tmp_path, whole, kills):
    for number, after in enumerate(kills):
        interrupted(tmp_path / "cut.npz", after, seed=number)  # other seeds: all state comes from the file
    resumed = run(tmp_path / "cut.npz", seed=99)
    assert_same(whole[0], resumed)
    assert resumed[1].epochs_done == EPOCHS
    assert any("seed_generator" in variable.path for variable in resumed[0].variables)


def test_resumed_training_is_the_uninterrupted_one_as_a_graph(tmp_path):
    uninterrupted = run(tmp_path / "whole.npz", eager=False)
    interrupted(tmp_path / "cut.npz", 2, eager=False)
    assert_same(uninterrupted, run(tmp_path / "cut.npz", seed=99, eager=False))


def test_training_depends_on_seed_and_data(tmp_path, whole):
    """What the tests above compare is not the same anyway."""
    model, progress = whole[0]
    other_model, other = run(tmp_path / "a.npz", seed=1)
    assert untimed(progress) != untimed(other)
    assert not np.array_equal(model.get_weights()[0], other_model.get_weights()[0])
    assert untimed(run(tmp_path / "b.npz", data=Lines([2.0] * EPOCHS))[1]) != untimed(progress)


def test_finished_training_only_loads_its_best_weights(whole):
    finished, path = whole
    before = path.read_bytes()
    again = run(path, seed=5, on_epoch=lambda progress: pytest.fail("trained an epoch"))
    assert_same(finished, again)
    assert again[1] == finished[1]  # seconds too
    assert path.read_bytes() == before


def test_a_checkpoint_that_takes_long_to_write_is_written_less_often(tmp_path, whole, monkeypatch):
    """With all counted as slow, and no time as enough, only after a session's first epoch and after the last."""
    monkeypatch.setattr(checkpoint, "QUICK", -1)
    monkeypatch.setattr(checkpoint, "SPACING", 1e9)
    trained = []
    interrupted(tmp_path / "cut.npz", 3)
    resumed = run(tmp_path / "cut.npz", seed=99, on_epoch=lambda progress: trained.append(progress.epochs_done))
    assert_same(whole[0], resumed)
    assert trained == [2, 3, 4]


# Averaged weights


def averaging(momentum=0.5):
    return keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=momentum)


def test_averages_are_validated_and_kept_while_training_goes_on_with_its_own_weights(tmp_path):
    plain, plain_progress = run(tmp_path / "plain.npz", optimizer=keras.optimizers.SGD(0.01))
    seen = []

    def on_step(epoch, step, steps):
        seen.append([np.array(v) for v in model.trainable_variables])

    model = make_model(0, averaging())
    checkpoint = Checkpoint(tmp_path / "a.npz", model, {})
    progress = train(model, Lines(), VALIDATION, EPOCHS, checkpoint, "loss", "min", on_step=on_step)
    assert [row["loss"] for row in progress.history] == [row["loss"] for row in plain_progress.history]
    averages = seen[0]  # after the first step the average is that step's weights, then half of it moves on
    for weights in seen[1 : progress.best_epoch * Lines.steps]:
        averages = [0.5 * average + 0.5 * weight for average, weight in zip(averages, weights, strict=True)]
    for weight, average in zip(model.trainable_variables, averages, strict=True):
        np.testing.assert_allclose(np.asarray(weight), average, rtol=1e-4, atol=1e-6)
    assert progress.history[-1]["val_loss"] != plain_progress.history[-1]["val_loss"]


def test_resumed_averages_are_the_uninterrupted_ones(tmp_path):
    uninterrupted = run(tmp_path / "whole.npz", optimizer=averaging())
    interrupted(tmp_path / "cut.npz", 2, seed=3, optimizer=averaging())  # another seed: nothing was saved before
    assert untimed(run(tmp_path / "cut.npz", seed=99, optimizer=averaging())[1]) != untimed(uninterrupted[1])
    interrupted(tmp_path / "again.npz", 2, optimizer=averaging())
    assert_same(uninterrupted, run(tmp_path / "again.npz", seed=99, optimizer=averaging()))


@pytest.fixture
def float16():
    keras.mixed_precision.set_dtype_policy("mixed_float16")  # set back by conftest.py


def test_resumed_mixed_float16_keeps_its_loss_scale(tmp_path, float16):
    def optimizer():
        rate = OneCycle(0.05, EPOCHS * Lines.steps)
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate), 2.0**20, dynamic_growth_steps=4)

    uninterrupted = run(tmp_path / "whole.npz", optimizer=optimizer())
    interrupted(tmp_path / "cut.npz", 1, optimizer=optimizer())
    interrupted(tmp_path / "cut.npz", 3, seed=1, optimizer=optimizer())
    assert_same(uninterrupted, run(tmp_path / "cut.npz", seed=2, optimizer=optimizer()))
    assert float(uninterrupted[0].optimizer.dynamic_scale) != 2.0**20  # it moved
    assert uninterrupted[0].layers[0].compute_dtype == "float16"


def test_a_model_of_the_matrix_is_restored_whole(tmp_path, float16):
    recipe = make_recipe("smoke", "strconv-ups-dice", {"dropout": 0.2, "filters": 2, "depth": 1})
    models = [build_model(recipe, seed, steps=10) for seed in (0, 1)]
    batch = np.ones((2, 32, 32, 3), "float32"), np.ones((2, 32, 32, 1), "uint8")
    saved, fresh = (Checkpoint(tmp_path / "file.npz", model, {}) for model in models)
    models[0].train_on_batch(*batch)
    saved.save(Progress())
    fresh.restore()
    losses = [model.train_on_batch(*batch)[0] for model in models]
    assert losses[0] == losses[1]
    assert int(models[1].optimizer.iterations) == 2
    for one, other in zip(*map(state, models), strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpoint_of_another_configuration_is_not_resumed(tmp_path, whole):
    run(tmp_path / "file.npz", seed=1, epochs=2, name="other")
    assert_same(whole[0], run(tmp_path / "file.npz"))


# Damage


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    position = data.index(b"state_0.npy") + 180  # in the middle of an array
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def without_weights(data):
    with np.load(io.BytesIO(data)) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "state_2"}
    text = io.BytesIO()
    np.savez(text, **kept)
    return text.getvalue()


@pytest.mark.parametrize("damage", [cut, flip, without_weights, lambda data: b"", lambda data: b"\x00" * 500])
def test_damaged_checkpoint_is_an_error_that_names_it(tmp_path, whole, damage):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(damage(whole[1].read_bytes()))
    with pytest.raises(UserError, match=f"Can't read the checkpoint {path} .*Delete it"):
        run(path)
    path.unlink()
    run(path, epochs=1)  # starts over


def test_divergence_stops_and_the_checkpoint_before_it_stays(tmp_path, whole):
    path, epochs = tmp_path / "file.npz", []
    with pytest.raises(TrainingDiverged, match="the loss became (nan|inf) at step 1 of epoch 3"):
        run(path, data=Lines([1.0, 1.0, np.inf, 1.0]), on_epoch=lambda progress: epochs.append(progress.epochs_done))
    assert epochs == [1, 2]
    model = make_model(3)
    progress = Checkpoint(path, model, {"name": "c"}).restore()
    assert progress.epochs_done == 2 and all(np.isfinite(array).all() for array in state(model))
    assert_same(whole[0], run(path, seed=4))  # with good data it goes on from there

    class Torn(Lines):
        def epoch(self, epoch):
            x, y = (np.concatenate(part) for part in zip(*super().epoch(epoch).as_numpy_iterator(), strict=True))
            y[self.batch_size] = np.nan
            return tf.data.Dataset.from_tensor_slices((x, y)).batch(self.batch_size)

    with pytest.raises(TrainingDiverged, match="nan at step 2 of epoch 1"):
        run(tmp_path / "torn.npz", data=Torn())
    assert list(tmp_path.iterdir()) == [path]


# The best epoch


@pytest.mark.parametrize("kill", [None, 3])
def test_leaves_the_weights_of_the_best_epoch(tmp_path, kill):
    data, weights = Lines([1.0, 1.0, -3.0, -3.0]), {}

    def keep(model):
        return lambda progress: weights.update({progress.epochs_done: model.get_weights()})

    model = make_model(0)
    train(model, data, VALIDATION, EPOCHS, Checkpoint(tmp_path / "whole.npz", model, {}), "loss", "min", keep(model))
    if kill:
        interrupted(tmp_path / "cut.npz", kill, data=data)
        model, progress = run(tmp_path / "cut.npz", seed=1, data=data)
    else:
        model, progress = run(tmp_path / "cut.npz", data=data)
    losses = [row["val_loss"] for row in progress.history]
    assert np.argmin(losses) == 1 and losses[3] > losses[1]  # the case is what it claims to be
    assert (progress.best, progress.best_epoch) == (losses[1], 2)
    for left, best, last in zip(model.get_weights(), weights[2], weights[4], strict=True):
        np.testing.assert_array_equal(left, best)
        assert left.size == 1 or left.dtype == np.uint32 or not np.array_equal(left, last)
    assert model.evaluate(VALIDATION, verbose=0)[0] == pytest.approx(losses[1])


def test_mode_max_takes_the_largest(tmp_path):
    _, progress = run(tmp_path / "file.npz", data=Lines([1.0, -3.0, -3.0, 1.0]), mode="max")
    losses = [row["val_loss"] for row in progress.history]
    assert progress.best == max(losses) and progress.best_epoch == np.argmax(losses) + 1 > 1


def test_the_first_of_equal_epochs_is_kept(tmp_path):
    model = make_model(0, keras.optimizers.SGD(0.0))
    progress = train(model, Lines(), VALIDATION, 3, Checkpoint(tmp_path / "file.npz", model, {}), "loss", "min")
    assert progress.best_epoch == 1


# Saving


@pytest.mark.parametrize("variant", ["strconv-ups-dice", "tutorial"])
def test_a_saved_model_needs_nothing_of_this_project(tmp_path, variant):
    save_model(build_model(make_recipe("smoke", variant, {}), seed=3, steps=10), tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        text = file.read("config.json").decode()
    assert not json.loads(text).get("compile_config")
    assert not re.search("tfseg|experiments", text) and '"module": "keras' in text


# History


def test_history_says_what_happened(tmp_path):
    model, progress = run(tmp_path / "file.npz")
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4]
    assert [row["images"] for row in progress.history] == [12, 24, 36, 48]
    assert {row["images_per_epoch"] for row in progress.history} == {12}
    schedule = OneCycle(0.05, EPOCHS * Lines.steps)
    rates = [row["learning_rate"] for row in progress.history]
    assert rates == pytest.approx([float(schedule(step)) for step in (3, 6, 9, 12)])
    assert list(progress.history[0]) == [
        *["epoch", "images", "loss", "mae", "val_loss", "val_mae", "learning_rate", "seconds", "images_per_epoch"]
    ]
    assert progress.seconds == pytest.approx(sum(row["seconds"] for row in progress.history)) and progress.seconds > 0


def test_data_whose_batches_differ_in_size_count_their_examples(tmp_path):
    data, model = Lines(), make_model(0)
    data.examples = 11  # of three batches of at most four
    progress = train(model, data, VALIDATION, 2, Checkpoint(tmp_path / "c.npz", model, {}), "loss", unit="sentences")
    assert [(row["sentences"], row["images_per_epoch"], "images" in row) for row in progress.history] == [
        (11, 11, False),
        (22, 11, False),
    ]
