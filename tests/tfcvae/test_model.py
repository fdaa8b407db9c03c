import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tfcvae.control import CLASSES, SHAPE, batch, flat
from tfcvae.model import CVAE

POLICIES = ["float32", "mixed_float16"]


def build(policy="float32", latent_shape=4, **arguments):
    keras.utils.set_random_seed(0)
    return CVAE(SHAPE, CLASSES, latent_shape, "tiny", label_dim=5, dtype=policy, **arguments)


def silence(model):
    """All weights 0: posterior and prior are N(0, I), logits are 0."""
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return model


def given_noise(model, count=16, seed=0):
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((count, *model.latent_shape), "float32")
    return {"latents": latents, "pixels": rng.random((count, *SHAPE), "float32")}


def one_step(model, optimizer, jit_compile=False):
    """Compiles and takes a step on a fixed batch with fixed noise; returns the logs."""
    model.compile(optimizer, jit_compile=jit_compile)
    dataset = tf.data.Dataset.from_tensors(((*batch(16), given_noise(model)),))
    return {name: values[0] for name, values in model.fit(dataset, verbose=0, shuffle=False).history.items()}


# What the loss is


@pytest.mark.parametrize("latent_shape, units", [(4, 4), ((2, 2, 3), 12)])
def test_elbo_and_loss_of_a_model_with_known_parameters(latent_shape, units):
    model = silence(build(latent_shape=latent_shape))
    bias = model.encoder.get_layer("mean").bias
    bias.assign(np.ones(bias.shape))
    # Every pixel costs ln 2. A mean of 1 against N(0, 1) costs 1/2 a unit.
    images, labels = batch(16)
    outputs = model((images, labels))
    reconstruction, kl = model.loss_terms(outputs)
    assert reconstruction.dtype == kl.dtype == "float32" and kl.shape == (16, *model.latent_shape)
    assert np.allclose(reconstruction, 64 * math.log(2), rtol=1e-5) and np.allclose(kl, 0.5)
    assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(64 * math.log(2) + units / 2, rel=1e-5)
    assert np.allclose(model.elbo(images, labels), -64 * math.log(2) - units / 2, rtol=1e-5)


def test_kl_weight_warmup_and_free_bits_change_the_loss_but_no_reported_elbo():
    model = silence(build(kl_weight=0.5, kl_warmup_steps=4, free_bits=0.2))
    bias = model.encoder.get_layer("mean").bias
    bias.assign([1, 0, 0, 2])  # 0.5, 0, 0 and 2 nats; with free bits 0.5, 0.2, 0.2 and 2
    images, labels = batch(16)
    outputs, pixels = model((images, labels)), 64 * math.log(2)
    for share in (0, 1 / 4, 2 / 4, 3 / 4, 1, 1):
        assert float(model.compute_loss(y_pred=outputs)) == pytest.approx(pixels + 0.5 * share * 2.9, rel=1e-5)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert logs == pytest.approx(
        {"loss": pixels + 0.5 * 2.9 * 3.5 / 6, "reconstruction": pixels, "kl": 2.5, "negative_elbo": pixels + 2.5}
    )
    assert np.allclose(model.elbo(images, labels), -pixels - 2.5, rtol=1e-5)
    model.compute_loss(y_pred=outputs, training=False)
    assert int(model.steps_done) == 6


def test_class_prior_takes_the_kl_against_its_own_class():
    model = silence(build(prior="class"))
    model.label_embedding.table.assign(np.eye(3, 5))
    kernel = np.zeros((5, 8), "float32")
    kernel[1, 0] = 3.0  # class 1 has its mean at 3 in the first unit
    model.prior.project.kernel.assign(kernel)
    images, _ = batch(16)
    _, kl = model.loss_terms(model((images, np.arange(16) % 3)))
    expected = np.where(np.arange(16) % 3 == 1, 4.5, 0)
    assert np.allclose(np.sum(kl, axis=1), expected)


def test_encoder_and_likelihood_see_the_same_binarised_images():
    model = build()
    images, labels = batch(16)
    noise = given_noise(model)
    outputs = model((images, labels, noise))
    assert np.array_equal(outputs["images"], noise["pixels"] < images)
    assert np.array_equal(outputs["mean"], model((outputs["images"], labels, noise))["mean"])
    assert np.allclose(outputs["latents"], outputs["mean"] + np.exp(outputs["log_variance"] / 2) * noise["latents"])


def test_the_latents_of_a_full_covariance_are_correlated_as_it_says():
    model = build(posterior="full")
    rng = np.random.default_rng(0)
    model.set_weights([0.3 * rng.standard_normal(w.shape).astype(w.dtype) for w in model.get_weights()])
    images, labels = (np.repeat(x, 20_000, axis=0) for x in batch(1))
    outputs = model((np.round(images), labels))
    factor = np.asarray(outputs["lower"][0]) + np.diag(np.exp(np.asarray(outputs["log_variance"][0]) / 2))
    expected = factor @ factor.T
    assert np.abs(expected - np.diag(np.diag(expected))).max() > 0.1
    assert np.allclose(np.cov(np.asarray(outputs["latents"]).T), expected, atol=0.05 * np.diag(expected).max())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_images_latents_and_loss_terms_stay_float32(policy):
    model = build(policy, likelihood="discretized_logistic", posterior="full")
    images = np.full((2, *SHAPE), 200 / 255, "float32")  # neither half precision holds this level
    outputs = model((images, np.array([0, 1])))
    assert all(output.dtype == "float32" for output in outputs.values())
    assert np.array_equal(outputs["images"], images)
    assert all(term.dtype == "float32" for term in model.loss_terms(outputs))


def test_noise_comes_from_the_seed_and_moves_on():
    first, second = build(seed=1), build(seed=2)
    draws = [first.draw_noise(2), first.draw_noise(2), second.draw_noise(2), build(seed=1).draw_noise(2)]
    latents = [np.asarray(draw["latents"]) for draw in draws]
    assert latents[0].shape == (2, 4) and draws[0]["pixels"].shape == (2, *SHAPE)
    assert np.array_equal(latents[0], latents[3])
    assert not np.array_equal(latents[0], latents[1]) and not np.array_equal(latents[0], latents[2])
    assert set(build(likelihood="gaussian").draw_noise(2)) == {"latents"}


# The step


@pytest.fixture(scope="module", params=POLICIES)
def trained(request):
    """A model after 40 steps under each policy, with its history."""
    images, labels = batch(64)
    model = build(request.param, prior="class", likelihood="gaussian", posterior="full", kl_warmup_steps=10)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    return model, model.fit(dataset, epochs=10, verbose=0, shuffle=False).history


def test_training_lowers_the_loss_under_each_policy(trained):
    _, history = trained
    assert np.isfinite(history["loss"]).all() and history["negative_elbo"][-1] < history["negative_elbo"][0] - 20
    assert history["negative_elbo"] == pytest.approx(
        np.add(history["reconstruction"], history["kl"]).tolist(), abs=1e-3
    )


def test_the_label_changes_what_a_trained_model_puts_out(trained):
    model, _ = trained
    outputs = model.decode(np.zeros((3, 4)), np.arange(3))
    means = [model.encode(batch(1)[0], [label])[0] for label in range(3)]
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(outputs[first] - outputs[second]).max() > 0.01
        assert np.abs(means[first] - means[second]).max() > 1e-3


def test_a_saved_model_goes_on_as_if_it_had_never_been_away(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == model.dtype_policy.name and loaded.get_config() == model.get_config()
    assert type(loaded.optimizer) is type(model.optimizer)
    for part in (lambda m: m.variables, lambda m: m.optimizer.variables):
        assert len(part(loaded)) == len(part(model))
        assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(part(loaded), part(model), strict=True))
    images, labels = batch(16)
    rounding = 1e-5 if model.dtype_policy.name == "float32" else 1e-2
    assert np.allclose(loaded.reconstruct(images, labels), model.reconstruct(images, labels), atol=rounding)
    before = flat(model.trainable_variables)
    for each in (model, loaded):
        each.train_on_batch(images, labels)
    assert np.abs(flat(model.trainable_variables) - before).max() > 1e-3
    assert np.allclose(flat(loaded.trainable_variables), flat(model.trainable_variables), atol=0.1 * rounding)


def test_a_model_saved_when_label_noise_was_its_own_setting_still_loads():
    config = build(prior="class").get_config()
    assert CVAE.from_config(config | {"label_noise": 0.25}).get_config() == config


def test_a_step_of_gradient_descent_is_the_gradient_of_the_loss():
    model, reference = build(prior="class"), build(prior="class")
    with tf.GradientTape() as tape:
        loss = reference.compute_loss(y_pred=reference((*batch(16), given_noise(reference))))
    gradients = tape.gradient(loss, reference.trainable_variables)
    before = flat(model.trainable_variables)
    logs = one_step(model, keras.optimizers.SGD(1e-3))
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-5)
    expected = before - 1e-3 * flat(gradients)
    assert np.allclose(flat(model.trainable_variables), expected, atol=1e-6)
    assert np.abs(flat(model.trainable_variables) - before).max() > 1e-3


def test_a_step_under_xla_is_the_same():
    plain, compiled = build(posterior="full"), build(posterior="full")
    logs = [one_step(model, keras.optimizers.SGD(1e-3), model is compiled) for model in (plain, compiled)]
    assert compiled.jit_compile and not plain.jit_compile
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)
    assert np.allclose(flat(plain.trainable_variables), flat(compiled.trainable_variables), atol=1e-5)


def test_one_hot_labels_and_nested_inputs_train_the_same():
    images, labels = batch(16)
    vectors = np.eye(CLASSES, dtype="float32")[labels]
    results = []
    for data in ((images, labels), ((images, vectors),)):
        model = build()
        model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
        model.fit(tf.data.Dataset.from_tensors(data), verbose=0, shuffle=False)
        results.append(flat(model.trainable_variables))
    assert np.allclose(*results, atol=1e-6)


def test_evaluation_logs_the_same_and_changes_nothing_but_the_noise():
    model = silence(build(kl_weight=3.0))
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    logs = model.evaluate(tf.data.Dataset.from_tensor_slices(batch(10)).batch(4), verbose=0, return_dict=True)
    expected = {"reconstruction": 64 * math.log(2), "kl": 0}
    expected |= {"loss": expected["reconstruction"], "negative_elbo": expected["reconstruction"]}
    assert logs == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert not np.any(flat(model.trainable_variables)) and int(model.steps_done) == 0


def test_wrong_and_missing_labels_are_errors_in_a_step_too():
    model = build()
    model.compile("sgd", jit_compile=False)
    images, _ = batch(4)
    with pytest.raises(ValueError, match=r"A batch must be \(images, labels\).* Received: images alone"):
        model.train_on_batch(images)
    with pytest.raises(ValueError, match=r"one-hot vectors of shape \(batch, 3\)"):
        model.train_on_batch(images, np.eye(4, dtype="float32"))
    with pytest.raises(ValueError, match="integers or one-hot vectors. Received: float32 labels"):
        model.train_on_batch(images, np.float32([0, 1, 2, 1.5]))
    with pytest.raises(ValueError, match="A CVAE takes no sample weights"):
        model.train_on_batch(images, np.int32([0, 1, 2, 1]), np.ones(4))
    for step in (model.train_on_batch, model.test_on_batch):
        for label in (-1, CLASSES):  # which a compiled step could not tell from no label at all
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"Labels must be whole numbers in \[0, 3\)"):
                step(images, np.int32([0, 1, 2, label]))
    assert np.array_equal(flat(model.trainable_variables), flat(build().trainable_variables))
