"""What the benchmark trains is what the scripts train, and the plain program trains the same networks."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarks import buckets, decoding, measurements, networks
from experiments.benchmarks.kernels import kernel_shares, kind_of
from experiments.benchmarks.loops import PlainLoop, ProjectLoop
from experiments.benchmarks.networks import make_workload
from experiments.benchmarks.plan import Row, make_sizes
from experiments.nmts.recipes import make_recipe
from tfnmt.batches import WIDTHS
from tfnmt.flops import count_flops

SIZES = {"image_size": 16, "filters": 2, "batch_size": 2, "unet_batches": 2, "cvae_preset": "smoke"}


@pytest.fixture(scope="module")
def programs():
    """A workload, this project's loop and the plain program's."""
    keras.config.set_dtype_policy("float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "CVAE_BATCHES", 2)
        workload = make_workload("cvae-mnist", make_sizes("CPU", **SIZES))
    return workload, ProjectLoop(workload.model(False), workload), PlainLoop(workload.plain_model(), workload)


@pytest.mark.parametrize("name", ["unet", "article", "cvae-mnist", "cvae-cifar10"])
def test_both_programs_train_the_same_network_on_batches_of_the_same_kind(name):
    workload = make_workload(name, make_sizes("CPU", **SIZES))
    own, plain = workload.model(False), workload.plain_model()
    assert [weight.shape for weight in own.weights] == [weight.shape for weight in plain.weights]
    normalizations = [layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(type(layer) is keras.layers.BatchNormalization for layer in normalizations)
    assert own.jit_compile is plain.jit_compile is False  # on CPUs, Keras decides as this project does
    assert workload.plain_model(jit_compile=True).jit_compile is True
    first, second = next(iter(workload.data().epoch(0))), next(iter(workload.plain_data()))
    for mine, theirs in zip(first, second, strict=True):
        assert mine.shape == theirs.shape and mine.shape[0] == workload.batch_size
    images, plain_images = (np.asarray(batch[0]) for batch in (first, second))
    assert images.dtype == plain_images.dtype == np.float32
    assert 0 <= plain_images.min() < 0.2 and 0.8 < plain_images.max() <= 1 and images.max() <= 1


def test_the_transformers_sentences_are_all_as_long_as_their_batch(monkeypatch):
    monkeypatch.setattr(networks, "NMT_BATCHES", 2)
    recipe = make_recipe("multi30k", "assignment", "smoke", {"batch_tokens": 72, "vocabulary": 300})
    workload = networks.Sentences(recipe)
    own, plain = workload.model(False), workload.plain_model()
    assert [weight.shape for weight in own.weights] == [weight.shape for weight in plain.weights]
    assert workload.batch_size == 3 and workload.data().steps == 2 and workload.unit == "sentences"
    first, second = next(iter(workload.data().epoch(0))), next(iter(workload.plain_data()))
    for batch in (first, second):
        tokens = [np.asarray(part) for part in keras.tree.flatten(batch)]
        assert all(part.shape == (3, 24) and part.all() for part in tokens)
    loop = ProjectLoop(own, workload)
    assert loop.rate("together", 0) > 0
    assert workload.flops(own) == count_flops(own, 24, 24)


def test_decoding_is_measured_with_kept_keys_and_values_and_without(monkeypatch):
    recipe = make_recipe("multi30k", "assignment", "smoke", {})
    monkeypatch.setattr(decoding, "make_recipe", lambda *_: recipe)
    monkeypatch.setattr(decoding, "TOKENS", 6)
    speeds = decoding.DecodingService("float32", 2).measure(2)
    assert {name: len(found) for name, found in speeds.items()} == {"kept": 2, "recomputed": 2}
    assert min(min(found) for found in speeds.values()) > 0


def test_batches_by_length_hold_the_same_sentences_with_less_padding(monkeypatch):
    recipe = make_recipe("multi30k", "assignment", "smoke", {"vocabulary": 400, "widths": WIDTHS})
    monkeypatch.setattr(buckets, "make_recipe", lambda *_: recipe)
    for name, value in (("SENTENCES", 400), ("BATCH_TOKENS", 256), ("EVERY", 1)):
        monkeypatch.setattr(buckets, name, value)
    service = buckets.BucketService()
    sides = {
        kind: sorted(tuple(row[row != 0]) for _, labels in batches for row in labels if row.any())
        for kind, batches in service.kinds.items()
    }
    assert sides["buckets"] == sides["longest"] and len(sides["longest"]) == 400
    for inputs, labels in service.kinds["longest"]:
        assert (
            inputs["source"][:, -1].any() and inputs["target"][:, -1].any() and labels.shape == inputs["target"].shape
        )
    padding, speeds = service.padding(), service.measure(2)
    assert 0 < padding["buckets"] < padding["longest"] < 1
    assert all(len(found) == 2 and min(found) > 0 for found in speeds.values())


def test_a_steps_time_is_told_by_kind_of_kernel():
    image, matrix = (tf.random.normal(shape) for shape in ((2, 32, 32, 8), (256, 256)))

    @tf.function
    def step(x, y):
        return tf.nn.conv2d(x, tf.ones((3, 3, 8, 8)), 1, "SAME"), tf.matmul(y, y), x * x

    step(image, matrix)
    shares = kernel_shares(lambda: step(image, matrix)[0].numpy())
    assert set(shares) >= {"convolutions", "matrix products", "elementwise and copies"}
    assert min(shares.values()) >= 0 and sum(shares.values()) == pytest.approx(1)
    kinds = {"_MklNativeFusedBatchNormV3": "normalization", "StatelessRandomUniformV2": "random numbers"}
    assert {kernel: kind_of(kernel) for kernel in kinds} == kinds and kind_of("BiasAddGrad") == "sums and means"


def test_a_step_trains_and_a_prediction_does_not(programs):
    _, own, _ = programs
    for measure, steps in (("step", 1), ("together", 1), ("inference", 0)):
        before, weights = int(own.model.optimizer.iterations), own.model.get_weights()
        assert own.rate(measure, 0) > 0
        assert int(own.model.optimizer.iterations) == before + steps
        kept = [np.array_equal(*pair) for pair in zip(weights, own.model.get_weights(), strict=True)]
        assert all(kept) != bool(steps)


def test_a_plain_program_is_timed_by_whole_steps(programs):
    workload, _, plain = programs
    before, started = int(plain.model.optimizer.iterations), time.perf_counter()
    rate_of_images = plain.rate("together", 0.1)
    elapsed = time.perf_counter() - started
    images = (int(plain.model.optimizer.iterations) - before) * workload.batch_size
    assert images and elapsed >= 0.1
    assert 0.1 <= images / rate_of_images <= elapsed


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_ceiling_is_a_matrix_product_in_the_policys_compute_dtype(monkeypatch, policy):
    monkeypatch.setattr(measurements, "PRODUCT_SIDES", {"CPU": (8, 256), "GPU": (8, 256)})
    monkeypatch.setattr(measurements, "TRIAL_SECONDS", 0.05)
    service = measurements.MachineService()
    assert service.prepare_product(policy) == {"side": 256, "dtype": policy.removeprefix("mixed_")}
    assert service.product(policy, 0.05) > 2 * 256**3  # more than one a second


def test_the_peer_trains_the_same_network():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from experiments.benchmarks.torch_peer import TorchService

    sizes = make_sizes("CPU", **SIZES)
    own = make_workload("unet", sizes).model(False)
    service = TorchService(Row("unet", "torch", "float32", "eager"), sizes)
    assert service.build()["parameters"] == own.count_params()
    losses = [service.step() for _ in range(30)]
    assert losses[-1] < losses[0] and service.measure("step", 0) > 0


def test_work_of_a_conditional_vae_is_its_encoders_and_its_decoders():
    """In multiplications, for images of 28 x 28 x 1, channels 4, 8 and 16, 32 latent and hidden units, labels of 32."""
    workload = make_workload("cvae-mnist", make_sizes("CPU", **SIZES))
    assert (workload.recipe.network, workload.recipe.latent_shape, workload.recipe.label_dim) == ("tiny", (32,), 32)
    level1, level2 = 2 * 196 * 9 * 8 * 8, 2 * 49 * 9 * 16 * 16  # a residual block of two convolutions each
    stem, down1, down2 = 784 * 9 * 1 * 4, 196 * 9 * 4 * 8, 49 * 9 * 8 * 16
    covariance = 32 * 31 // 2
    heads = (49 * 16) * 32 + (32 + 32 + covariance) * 32  # by way of 32 hidden units
    unflatten = (32 + 32) * 32 + 32 * (49 * 16)
    up2, up1, parameters = 49 * 16 * 16 * 8, 196 * 16 * 8 * 4, 784 * 9 * 4 * 1
    encoder = stem + down1 + level1 + down2 + level2 + heads
    decoder = unflatten + level2 + up2 + level1 + up1 + parameters
    assert workload.flops(workload.model(False)) == 2 * (encoder + decoder)
