import keras
import numpy as np
import pytest

from tfcvae import glyphs
from tfcvae.data import TrainingData, to_arrays
from tfcvae.judge import JUDGES, build_judge, predict_labels


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (32, 32, 3)])
def test_logits_are_float32_under_mixed_precision(image_shape):
    keras.config.set_dtype_policy("mixed_bfloat16")
    judge = build_judge(image_shape, 7, "tiny")
    assert judge.output_shape == (None, 7) and judge.outputs[0].dtype == "float32"
    assert judge.get_layer("stem_conv").compute_dtype == "bfloat16"


def test_unknown_judge_lists_the_known():
    with pytest.raises(ValueError, match="Unknown judge. Choose one of: base, small, tiny. Received: 'huge'"):
        build_judge((28, 28, 1), 10, "huge")


def multiply_adds(judge):
    convolutions = [layer for layer in judge.layers if isinstance(layer, keras.layers.Conv2D)]
    return sum(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape) for layer in convolutions)


def test_cost_is_what_the_documentation_says():
    assert sorted(JUDGES) == ["base", "small", "tiny"]
    assert round(multiply_adds(build_judge((28, 28, 1), 10, "small")) / 1e6) == 9
    assert round(multiply_adds(build_judge((32, 32, 3), 10, "base")) / 1e6) == 72


def test_a_judge_learns_to_read_glyphs():
    """Training and test images are different draws; chance is 10 %."""
    keras.utils.set_random_seed(0)
    judge = build_judge((28, 28, 1), 10, "tiny")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    judge.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    data = TrainingData(glyphs.examples("train", 500), 25, crop=1)
    for epoch in range(6):
        judge.fit(data.epoch(epoch), verbose=0, shuffle=False)
    images, labels = to_arrays(glyphs.examples("test", 200))
    read = predict_labels(judge, images, batch_size=64)
    assert read.shape == (200,) and np.issubdtype(read.dtype, np.integer)
    assert np.mean(read == labels) > 0.6
    assert np.array_equal(read, predict_labels(judge, images, batch_size=200))
