from dataclasses import replace

import keras
import numpy as np
import pytest

from tfcvae.networks import NETWORKS, Size, build_decoder, build_encoder, residual_block

SHAPES = [
    ((28, 28, 1), (16,)),
    ((32, 32, 3), (8, 8, 4)),
    ((8, 12, 2), (2, 3, 5)),
]


def randomise(model, seed=0):
    """Gives every weight a random value, those that start at zero too."""
    rng = np.random.default_rng(seed)
    model.set_weights([0.3 * rng.standard_normal(w.shape).astype("float32") for w in model.get_weights()])


def differences(network, inputs, embeddings):
    """How far each output of a network is under one label's embedding from under another's."""
    outputs = [keras.tree.flatten(network([inputs, embedding])) for embedding in embeddings]
    return [np.abs(np.subtract(a, b)).max() for a, b in zip(*outputs, strict=True)]


@pytest.mark.parametrize("image_shape, latent_shape", SHAPES)
def test_shapes(image_shape, latent_shape):
    encoder = build_encoder(image_shape, latent_shape, 6, "tiny")
    decoder = build_decoder(image_shape, latent_shape, 6, 5, "tiny")
    assert encoder.output_shape == [(None, *latent_shape)] * 2
    assert decoder.output_shape == (None, *image_shape[:2], 5)


@pytest.mark.parametrize(
    "conditioning, latent_shape", [("modulation", (2, 2, 3)), ("input", (3,)), ("input", (2, 2, 3))]
)
def test_both_networks_read_the_label_and_modulation_is_the_identity_at_first(conditioning, latent_shape):
    rng = np.random.default_rng(0)
    images, latents = rng.random((1, 8, 8, 1), "float32"), rng.standard_normal((1, *latent_shape), "float32")
    embeddings = rng.standard_normal((2, 1, 6), "float32")
    encoder = build_encoder((8, 8, 1), latent_shape, 6, "tiny", conditioning)
    decoder = build_decoder((8, 8, 1), latent_shape, 6, 1, "tiny", conditioning)
    for network, inputs in ((encoder, images), (decoder, latents)):
        modulated = any("modulation" in layer.name for layer in network.layers)
        assert modulated == (conditioning == "modulation")
        assert not (modulated and any(differences(network, inputs, embeddings)))
        randomise(network)
        assert min(differences(network, inputs, embeddings)) > 1e-3


def test_the_decoder_of_a_flat_latent_reads_the_label_from_the_start():
    decoder = build_decoder((8, 8, 1), (3,), 6, 1, "tiny")
    embeddings = np.random.default_rng(0).standard_normal((2, 1, 6), "float32")
    assert min(differences(decoder, np.zeros((1, 3), "float32"), embeddings)) > 1e-3


@pytest.fixture
def four_levels(monkeypatch):
    monkeypatch.setitem(NETWORKS, "mine", Size(channels=(4, 8, 8, 16), blocks=(1, 0, 1, 2), hidden=5))


def test_networks_of_four_levels_reach_an_eighth_of_the_resolution_and_come_back(four_levels):
    encoder = build_encoder((16, 24, 3), (7,), 6, "mine")
    decoder = build_decoder((16, 24, 3), (7,), 6, 5, "mine")
    assert encoder.get_layer("down3").output.shape == (None, 2, 3, 16)
    assert encoder.output_shape == [(None, 7)] * 2 and decoder.output_shape == (None, 16, 24, 5)
    for network in (encoder, decoder):
        names = [layer.name for layer in network.layers if layer.name.endswith("_add")]
        assert sorted(names) == ["level0_block0_add", "level2_block0_add", "level3_block0_add", "level3_block1_add"]

    def conv(inputs, outputs, side=3):
        return (side * side * inputs + 1) * outputs

    blocks = sum(2 * conv(c, c) + (6 + 1) * 2 * c for c in (4, 8, 16, 16))
    down = conv(3, 4) + conv(4, 8) + conv(8, 8) + conv(8, 16)
    assert encoder.count_params() == down + blocks + (2 * 3 * 16 + 1) * 5 + 2 * (5 + 1) * 7
    up = conv(16, 8, 4) + conv(8, 8, 4) + conv(8, 4, 4) + conv(4, 5)
    assert decoder.count_params() == (7 + 6 + 1) * 5 + (5 + 1) * 2 * 3 * 16 + up + blocks


def test_an_encoder_of_its_own_size_leaves_the_decoder_as_it_is(monkeypatch):
    size = NETWORKS["tiny"]
    monkeypatch.setitem(NETWORKS, "mine", replace(size, encoder=Size(channels=(4, 8, 16), blocks=(0, 0, 0), hidden=9)))
    counts = {name: build_decoder((8, 8, 1), (3,), 6, 1, name).count_params() for name in ("tiny", "mine")}
    assert counts["mine"] == counts["tiny"]
    stem, down = 9 * 4 + 4, (9 * 4 + 1) * 8 + (9 * 8 + 1) * 16
    encoder = build_encoder((8, 8, 1), (3,), 6, "mine", conditioning="input")
    label = (6 + 1) * 64 + 9 * 4  # a plane of 8x8, and what the stem makes of it
    assert encoder.count_params() == stem + down + label + (2 * 2 * 16 + 1) * 9 + 2 * (9 + 1) * 3


def test_residual_block_is_the_identity_at_first():
    x, embedding = keras.Input((4, 4, 3)), keras.Input((2,))
    block = keras.Model([x, embedding], residual_block(x, embedding, "block"))
    features = np.random.default_rng(0).standard_normal((2, 4, 4, 3), "float32")
    assert np.array_equal(block([features, np.ones((2, 2), "float32")]), features)


def test_kl_starts_near_zero_and_log_variance_is_bounded():
    encoder = build_encoder((8, 8, 1), (2, 2, 3), 6, "tiny")
    images, embedding = np.random.default_rng(0).random((4, 8, 8, 1), "float32"), np.ones((4, 6), "float32")
    mean, log_variance = encoder([images, embedding])
    assert np.abs(mean).max() < 1 and np.abs(log_variance).max() < 1
    encoder.set_weights([100 * w for w in encoder.get_weights()])
    _, log_variance = encoder([images, embedding])
    assert 9 < np.abs(log_variance).max() <= 10


def test_a_full_covariance_adds_a_cholesky_factor_below_the_diagonal():
    encoder = build_encoder((8, 8, 1), (5,), 6, "tiny", posterior="full")
    diagonal = build_encoder((8, 8, 1), (5,), 6, "tiny")
    assert encoder.count_params() == diagonal.count_params() + (32 + 1) * 10
    images, embedding = np.random.default_rng(0).random((4, 8, 8, 1), "float32"), np.ones((4, 6), "float32")
    mean, _, lower = encoder([images, embedding])
    assert mean.shape == (4, 5) and lower.shape == (4, 5, 5) and lower.dtype == "float32"
    filled = np.tril(np.ones((5, 5), bool), -1)
    assert not np.any(np.asarray(lower)[:, ~filled]) and np.all(np.asarray(lower)[:, filled])
    assert np.abs(lower).max() < 1  # KL starts near 0 here, too
    with pytest.raises(ValueError, match="posterior must be one of diagonal. Received: posterior='full'"):
        build_encoder((8, 8, 1), (2, 2, 3), 6, "tiny", posterior="full")


def test_parameter_counts():
    # Encoder: stem 1 -> 4, down 4 -> 8 -> 16, a block (two convolutions, 6 -> 2 channels of modulation) at each.
    conv = {(a, b): 9 * a * b + b for a, b in ((1, 4), (4, 8), (8, 16), (8, 8), (16, 16), (4, 1))}
    blocks = 2 * conv[8, 8] + (6 + 1) * 16 + 2 * conv[16, 16] + (6 + 1) * 32
    heads = (2 * 2 * 16 + 1) * 32 + 2 * (32 + 1) * 3  # by way of 32 hidden units
    encoder = build_encoder((8, 8, 1), (3,), 6, "tiny")
    assert encoder.count_params() == conv[1, 4] + conv[4, 8] + conv[8, 16] + blocks + heads
    # Decoder: dense layers from latent and label to 32 units and to 2x2x16, then 4x4 transposed convolutions.
    decoder = build_decoder((8, 8, 1), (3,), 6, 1, "tiny")
    doubled = 16 * 16 * 8 + 8 + 16 * 8 * 4 + 4
    assert decoder.count_params() == (3 + 6 + 1) * 32 + (32 + 1) * 64 + blocks + doubled + conv[4, 1]
