import keras
import numpy as np
import pytest
from keras import layers
from scipy.stats import multivariate_normal

from tfcvae.layers import StrictlyLower
from tfcvae.model import CVAE

SHAPE, CLASSES = (8, 8, 1), 3


def build(**arguments):
    """A model with random weights everywhere, so that latent and label matter."""
    model = CVAE(SHAPE, CLASSES, 4, "tiny", label_dim=5, **arguments)
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return build(prior="class")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    return rng.random((7, *SHAPE), "float32"), rng.integers(0, CLASSES, 7)


METHODS = {
    "encode": lambda m, x, y, **k: m.encode(x, y, **k),
    "decode": lambda m, x, y, **k: m.decode(np.linspace(-2, 2, 28).reshape(7, 4), y, **k),
    "reconstruct": lambda m, x, y, **k: m.reconstruct(x, y, **k),
    "relabel": lambda m, x, y, **k: m.relabel(x, y, encode_labels=np.zeros(7, int), **k),
    "latent_prior": lambda m, x, y, **k: m.latent_prior(y, **k),
    "sample": lambda m, x, y, **k: m.sample(y, seed=3, **k),
    "elbo": lambda m, x, y, **k: m.elbo(x, y, samples=3, seed=3, **k),
    "importance_bound": lambda m, x, y, **k: m.importance_bound(x, y, samples=3, seed=3, **k),
}


@pytest.mark.parametrize("method", METHODS)
def test_results_depend_neither_on_the_batch_size_nor_on_the_kind_of_label(model, data, method):
    images, labels = data
    expected = METHODS[method](model, images, labels)
    same = [METHODS[method](model, images, labels, batch_size=3), METHODS[method](model, images, np.eye(3)[labels])]
    for result in same:
        for a, b in zip(keras.tree.flatten(result), keras.tree.flatten(expected), strict=True):
            assert isinstance(a, np.ndarray) and a.dtype == "float32" and len(a) == 7
            assert np.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_relabel_tells_both_networks_the_new_label_or_the_decoder_alone(model, data):
    images, true = data
    new = (true + 1) % CLASSES
    both, alone = model.relabel(images, new), model.relabel(images, new, encode_labels=true)
    assert np.allclose(both, model.decode(model.encode(images, new)[0], new), atol=1e-6)
    assert np.allclose(alone, model.decode(model.encode(images, true)[0], new), atol=1e-6)
    unchanged = model.reconstruct(images, true)
    assert np.allclose(unchanged, model.relabel(images, true, encode_labels=true), atol=1e-6)
    for first, second in ((both, alone), (both, unchanged), (alone, unchanged)):
        assert np.abs(first - second).max() > 1e-3


def test_samples_come_from_the_prior_of_their_class(model):
    labels = [0, 1, 2]
    mean, log_variance = model.latent_prior(labels)
    assert np.allclose(model.sample(labels, temperature=0), model.decode(mean, labels), atol=1e-6)
    noise = np.random.default_rng(5).standard_normal((3, 4), "float32")
    expected = model.decode(mean + 0.5 * np.exp(log_variance / 2) * noise, labels)
    assert np.allclose(model.sample(labels, temperature=0.5, seed=5), expected, atol=1e-6)
    assert np.abs(model.sample(labels) - model.sample(labels)).max() > 1e-3


def test_grey_images_are_binarised_the_same_way_each_time_and_binary_ones_not_at_all(model, data):
    images, labels = data
    assert np.array_equal(model.reconstruct(images, labels), model.reconstruct(images, labels))
    binary = np.round(images)
    mean = model((binary, labels))["mean"]
    assert np.allclose(model.encode(binary, labels)[0], mean, atol=1e-5)
    assert np.abs(model.encode(images, labels)[0] - model.encode(binary, labels)[0]).max() > 1e-3


@pytest.mark.parametrize("bound", ["elbo", "importance_bound"])
def test_bounds_are_seeded(model, data, bound):
    images, labels = np.round(data[0]), data[1]
    first, again, other = (getattr(model, bound)(images, labels, 2, seed) for seed in (1, 1, None))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


# A linear model, whose log p(x) and posterior are known


def linear_model(posterior_scale=1.0, mixing=((1, 0), (0, 1)), full=True):
    """x = 1/2 + W z + sigma * noise, with W = orthogonal columns times `mixing`: the posterior is affine in x.

    Returns the model, images, and the exact log p(x). `posterior_scale` multiplies the posterior's standard deviation,
    for a posterior that is wrong; without `full` it has the right mean, and the variance of each unit given the other.
    """
    model = CVAE((4, 4, 1), 2, 2, "tiny", label_dim=3, likelihood="gaussian", posterior="full" if full else "diagonal")
    rng = np.random.default_rng(0)
    columns = np.linalg.qr(rng.standard_normal((16, 2)))[0] * [0.15, 0.08] @ np.array(mixing)
    sigma = 0.05
    model.likelihood.raw_log_sigma.assign(6 * np.arctanh(np.log(sigma) / 6))
    precision = np.eye(2) + columns.T @ columns / sigma**2
    gain = columns @ np.linalg.inv(precision) / sigma**2
    factor = np.linalg.cholesky(np.linalg.inv(precision)) if full else np.diag(np.diag(precision) ** -0.5)
    factor = posterior_scale * factor

    image, latent, embedding = keras.Input((4, 4, 1)), keras.Input((2,)), keras.Input((3,))
    mean, decode = layers.Dense(2), layers.Dense(16, use_bias=False)
    flat = layers.Flatten()(image)
    log_variance, below = (layers.Dense(units, kernel_initializer="zeros") for units in (2, 1))
    outputs = [mean(flat), log_variance(flat), StrictlyLower(2)(below(flat))]
    model.encoder = keras.Model([image, embedding], outputs if full else outputs[:2])
    model.decoder = keras.Model([latent, embedding], layers.Reshape((4, 4, 1))(decode(latent)))
    mean.set_weights([gain, -0.5 * gain.sum(axis=0)])
    log_variance.bias.assign(2 * np.log(np.diag(factor)))
    below.bias.assign([factor[1, 0]])
    decode.set_weights([columns.T])
    exact = multivariate_normal(np.full(16, 0.5), columns @ columns.T + sigma**2 * np.eye(16))
    images = 0.5 + rng.standard_normal((6, 2)) @ columns.T + sigma * rng.standard_normal((6, 16))
    return model, images.reshape(6, 4, 4, 1).astype("float32"), exact.logpdf(images)


def mean_elbo(model, images):
    """The ELBO of each image, over 4,000 draws."""
    copies = np.repeat(images, 1000, axis=0)
    elbo = model.elbo(copies, np.zeros(len(copies), int), 4, seed=0, batch_size=len(copies))
    return elbo.reshape(len(images), 1000).mean(axis=1)


@pytest.mark.parametrize("mixing", [((1, 0), (0, 1)), ((1, 0.8), (0.5, 1))])
def test_both_bounds_are_log_p_where_the_posterior_is_exact(mixing):
    model, images, exact = linear_model(mixing=mixing)
    labels = np.zeros(6, int)
    for samples in (1, 4):  # each weight alone is p(x)
        assert np.allclose(model.importance_bound(images, labels, samples, seed=samples), exact, atol=2e-3)
    assert np.allclose(mean_elbo(model, images), exact, atol=0.1)


def test_a_diagonal_posterior_misses_log_p_by_the_kl_divergence_from_the_full_one():
    mixing = np.array([(1, 0.8), (0.5, 1)])
    full, images, exact = linear_model(mixing=mixing)
    diagonal, *_ = linear_model(mixing=mixing, full=False)
    labels = np.zeros(6, int)
    mean, log_variance = full.encode(images, labels)
    columns = np.diag([0.15, 0.08]) @ mixing
    precision = np.eye(2) + columns.T @ columns / 0.05**2
    covariance = np.linalg.inv(precision)
    assert np.allclose(np.exp(log_variance), np.diag(covariance), rtol=1e-4)  # of each unit alone
    mean_again, log_variance = diagonal.encode(images, labels)
    assert np.allclose(mean, mean_again, atol=1e-6)
    assert np.allclose(np.exp(log_variance), 1 / np.diag(precision), rtol=1e-4)
    gap = (np.log(np.diag(precision)).sum() + np.linalg.slogdet(covariance)[1]) / 2
    assert gap > 0.5 and np.allclose(exact - mean_elbo(diagonal, images), gap, atol=0.1)
    kl = np.trace(covariance) - 2 - np.linalg.slogdet(covariance)[1] + np.square(mean).sum(axis=1)
    assert np.allclose(full.kl(images, labels), kl / 2, rtol=1e-4)


def test_the_importance_weighted_bound_closes_the_gap_of_a_wrong_posterior():
    model, images, exact = linear_model(posterior_scale=2.0)
    labels = np.zeros(6, int)
    # KL(N(m, 4 v) || N(m, v)) = (4 - 1 - ln 4) / 2 in each of two units.
    elbo = mean_elbo(model, images)
    assert np.allclose(exact - elbo, 3 - np.log(4), atol=0.3)
    bound = model.importance_bound(images, labels, 200, seed=0)
    assert (bound > elbo + 1).all() and np.allclose(bound, exact, atol=0.3)


# Errors


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda m: m.encode(np.zeros((2, 8, 8)), [0, 1]),
            r"Images must have shape \(n, 8, 8, 1\). Received.*\(2, 8, 8\)",
        ),
        (lambda m: m.elbo(np.full((1, 8, 8, 1), 255.0), [0]), r"lie in \[0, 1\]. Received: values from 255.0 to 255.0"),
        (lambda m: m.decode(np.zeros((2, 5)), [0, 1]), r"Latents must have shape \(n, 4\). Received: shape=\(2, 5\)"),
        (lambda m: m.relabel(np.zeros((2, 8, 8, 1)), [0, 3]), r"whole numbers in \[0, 3\). Received: 3"),
        (lambda m: m.reconstruct(np.zeros((2, 8, 8, 1)), [0]), "as many labels as images.*Received: 2 and 1"),
        (lambda m: m.sample([0], temperature=-1), "temperature must be at least 0. Received: temperature=-1"),
        (lambda m: m.elbo(np.zeros((1, 8, 8, 1)), [0], samples=0), "samples must be at least 1. Received: samples=0"),
    ],
)
def test_errors_say_what_was_received(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)
