"""Training with wrong labels, features and an adversary. The plain step is tested in `test_model.py`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from tests.tfcvae.control import CLASSES, FULL, SHAPE, batch, build, flat, given_noise, untrained_features
from tfcvae.adversary import build_adversary
from tfcvae.features import build_feature_classifier, feature_network
from tfcvae.label_control import LabelControl
from tfcvae.model import CVAE

POLICIES = ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def features():
    return untrained_features()


def moved(images, draws):
    """Images mirrored and shifted pixel by pixel, from uniform draws `(n, 3)`."""
    out, (height, width) = np.zeros_like(images), images.shape[1:3]
    for i, (mirror, *shift) in enumerate(draws):
        down, right = (int(np.floor(5 * s)) - 2 for s in shift)
        for y, x in np.ndindex(height, width):
            row, column = y + down, (width - 1 - x if mirror < 0.5 else x) + right
            if 0 <= row < height and 0 <= column < width:
                out[i, y, x] = images[i, row, column]
    return out


# What is decoded, and what it costs


@pytest.mark.parametrize("one_hot", [False, True])
def test_which_images_are_told_what(features, one_hot):
    """Of five images the last two are told a wrong label, and three samples are drawn."""
    model = build(features)
    images, labels = batch(5)
    images = tf.convert_to_tensor(images)
    noise = given_noise(5) | {"label_shifts": np.int32([1, 1, 1, 1, 2]), "sample_labels": np.int32([2, 0, 1, 1, 1])}
    given = np.eye(CLASSES, dtype="float32")[labels] if one_hot else labels
    outputs, decoded, told, right = model.training_pass(images, given, noise)
    assert right == 3 and decoded.shape == (8, *SHAPE)
    expected = np.array([0, 1, 2, 1, 0, 2, 0, 1])  # the labels are 0, 1, 2, 0, 1
    assert np.array_equal(told, np.eye(CLASSES)[expected])
    mean, _ = model.encoder([images, model.label_embedding(expected[:5])])
    assert np.allclose(outputs["mean"], mean, atol=1e-5)
    embedding = model.label_embedding(expected)
    prior_mean, prior_log_variance = model.prior(embedding[5:])
    samples = prior_mean + np.exp(prior_log_variance / 2) * noise["sample_latents"][:3]
    parameters = model.decoder([tf.concat([outputs["latents"], samples], 0), embedding])
    assert np.allclose(decoded, model.likelihood.mean(parameters), atol=1e-5)
    under_true_labels = model((images, labels, noise))
    changed = np.abs(np.subtract(outputs["mean"], under_true_labels["mean"])).max(axis=1) > 1e-4
    assert changed.tolist() == [False] * 3 + [True] * 2


def test_the_loss_is_the_sum_of_its_terms_by_hand(features):
    model = build(features, kl_weight=0.5, kl_warmup_steps=6, free_bits=0.01)
    model.steps_done.assign(3)  # KL weight 0.25; the adversary's weight is at 3/10 of 2
    (images, labels), noise = batch(), given_noise()
    outputs, decoded, told, _ = model.training_pass(images, labels, noise)
    decoded = np.asarray(decoded)
    loss, _ = model.training_loss(images, labels, noise)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}

    draws = np.concatenate([noise["views"][:, 0], noise["views"][:4, 1]])
    added = 0.1 * np.concatenate([noise["view_noise"][:, 0], noise["view_noise"][:4, 1]])
    seen, seen_images = moved(decoded + added, draws), moved(images[:4] + added[:4], draws[:4])
    pixels = np.square(decoded[:4] - images[:4]).mean((1, 2, 3))
    pairs = zip(features(seen_images)[:-1], features(seen[:4])[:-1], strict=True)
    distance = np.mean([np.square(np.subtract(a, b)).mean((1, 2, 3)) for a, b in pairs], axis=0)
    reconstruction = np.mean(2500 * pixels + 200 * distance)
    mean, log_variance, prior_mean, prior_log_variance = (
        np.asarray(outputs[name], "float64") for name in ("mean", "log_variance", "prior_mean", "prior_log_variance")
    )
    difference = log_variance - prior_log_variance
    kl = (np.exp(difference) + np.square(mean - prior_mean) / np.exp(prior_log_variance) - 1 - difference) / 2
    paid = sum(np.maximum(part.mean(axis=0), 0.01).sum() for part in (kl[:4], kl[4:]))
    told = np.asarray(told)
    entropy = -np.sum(told[4:] * log_softmax(features(seen[4:])[-1], axis=1), axis=1).mean()
    coarse = [x.reshape(4, 2, 4, 2, 4).mean((2, 4)) for x in (decoded[4:8], images[4:])]
    layout = np.square(np.subtract(*coarse)).mean()
    draws = np.concatenate([noise["moves"][:, 1], noise["moves"][:4, 2]])
    realism = np.mean(model.helpers.adversary([moved(decoded, draws), told]))

    expected = reconstruction + 0.25 * paid + 3 * entropy + 40 * layout - 0.3 * 2 * realism
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert logs["reconstruction"] == pytest.approx(reconstruction, rel=1e-5)
    assert logs["kl"] == pytest.approx(kl[:4].sum(axis=1).mean(), rel=1e-4)
    found = [logs[name] for name in ("classifier", "layout", "realism")]
    assert found == pytest.approx([entropy, layout, realism], rel=1e-4)
    assert abs(realism) > 1e-3 and int(model.steps_done) == 4

    loss = model.adversary_loss(images, labels, decoded, told, noise)
    real = model.helpers.adversary([moved(images, noise["moves"][:, 0]), np.eye(CLASSES)[labels]])
    unreal = model.helpers.adversary([moved(decoded, draws), told])
    hinge = np.maximum(0, 1 - np.array(real)).mean() + np.maximum(0, 1 + np.array(unreal)).mean()
    assert float(loss) == pytest.approx(hinge, abs=0.02)  # in training the spectral norm moves on by one iteration


def test_all_are_reconstructed_under_their_right_label_where_asked(features):
    """Whatever the encoder was told. It stays a bound of the likelihood: only the posterior has another label."""
    control = LabelControl(0.5, reconstruct_all=True, classifier_weight=3.0, view_noise=0.1, mirrored_views=True)
    model = build(features, control, likelihood="bernoulli_grey", kl_weight=0.5)
    (images, labels), noise = batch(), given_noise()
    told = np.where(np.arange(8) < 4, labels, (labels + noise["label_shifts"]) % CLASSES)
    mean, log_variance = (np.asarray(x) for x in model.encoder([tf.constant(images), model.label_embedding(told)]))
    latents = mean + np.exp(log_variance / 2) * noise["latents"]
    embedding = model.label_embedding(labels)
    prior_mean, prior_log_variance = (np.asarray(x) for x in model.prior(embedding))
    difference = log_variance - prior_log_variance
    kl = (np.exp(difference) + np.square(mean - prior_mean) / np.exp(prior_log_variance) - 1 - difference) / 2
    logits = np.asarray(model.decoder([tf.constant(latents), embedding]))
    reconstruction = np.sum(np.logaddexp(0, logits) - images * logits, axis=(1, 2, 3))
    bound = reconstruction.mean() + 0.5 * kl.sum(axis=1).mean()
    _, decoded, shown, _ = model.training_pass(images, labels, noise)
    draws, added = (np.concatenate([noise[k][:, 0], noise[k][:4, 1]])[4:] for k in ("views", "view_noise"))
    read = features(moved(np.asarray(decoded)[4:] + 0.1 * added, draws))[-1]  # outputs under wrong labels, and samples
    entropy = -np.sum(np.asarray(shown)[4:] * log_softmax(read, axis=1), axis=1).mean()
    loss, _ = model.training_loss(images, labels, noise)
    assert float(loss) == pytest.approx(bound + 3 * entropy, rel=1e-5)
    assert float(model.get_metrics_result()["negative_elbo"]) == pytest.approx(
        (reconstruction + kl.sum(axis=1)).mean(), rel=1e-5
    )


@pytest.mark.parametrize("share, count", [(0.125, 3), (0.125, 1)])
def test_where_no_image_has_a_wrong_label_all_is_as_without(features, share, count):
    (images, labels), noise = batch(count), given_noise(count)
    losses = []
    for reconstruct_all in (False, True):
        control = LabelControl(share, reconstruct_all=reconstruct_all)
        model = build(features, control, likelihood="bernoulli_grey", prior="standard")
        model.train_step(((images, labels, noise),))
        data = tf.data.Dataset.from_tensors((images, labels, noise)).repeat(2)
        model.fit(data.map(lambda *inputs: (inputs,)), verbose=0)
        losses.append(float(model.training_loss(images, labels, noise)[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_view_that_may_not_be_mirrored_moves_by_up_to_two_pixels_and_never_turns(features):
    model = build(features, LabelControl(0.5, classifier_weight=1.0, view_noise=1e-6))
    noise, image = given_noise(64), np.zeros((64, *SHAPE), "float32")
    image[:, 3, 5] = 1
    seen = np.round(np.asarray(model._view(image, noise)), 3)[..., 0]
    rows, columns = np.nonzero(seen.max(axis=2))[1], np.nonzero(seen.max(axis=1))[1]
    assert set(rows) == {1, 2, 3, 4, 5} and set(columns) == {3, 4, 5, 6, 7}


def test_without_control_a_step_draws_and_logs_nothing_more(features):
    model = build(features, LabelControl())
    (images, labels), noise = batch(), given_noise()
    assert set(model.draw_training_noise(2)) == {"latents"} and not model.training_variables
    loss, (decoded, _) = model.training_loss(images, labels, noise)
    outputs = model((images, labels, noise))
    outputs["feature_distance"] = model.distance_in_features(images, outputs["parameters"])
    assert float(loss) == pytest.approx(float(model.compute_loss(y_pred=outputs)), rel=1e-6)
    assert len(decoded) == 8 and set(model.get_metrics_result()) == {"loss", "reconstruction", "kl", "negative_elbo"}


# The step


def test_each_network_takes_its_own_step_and_the_feature_network_none(features):
    model, twin = build(features), build(features)
    frozen = flat(features.variables)
    (images, labels), noise = batch(), given_noise()
    model.train_step(((images, labels, noise),))

    before, adversary = flat(twin.trainable_variables), twin.helpers.adversary
    with tf.GradientTape() as tape:
        loss, (decoded, told) = twin.training_loss(images, labels, noise)
    expected = before - 1e-5 * flat(tape.gradient(loss, twin.trainable_variables))
    found = flat(model.trainable_variables)
    assert np.allclose(found, expected, atol=1e-6) and np.abs(found - before).max() > 1e-4
    before = flat(adversary.trainable_variables)
    with tf.GradientTape() as tape:
        loss = twin.adversary_loss(images, labels, decoded, told, noise)
    expected = before - 0.05 * flat(tape.gradient(loss, adversary.trainable_variables))
    found = flat(model.helpers.adversary.trainable_variables)
    assert np.allclose(found, expected, atol=1e-6) and np.abs(found - before).max() > 1e-3
    assert np.array_equal(flat(features.variables), frozen)
    state = flat(v for v in model.helpers.adversary.variables if not v.trainable)
    assert np.allclose(state, flat(v for v in adversary.variables if not v.trainable), atol=1e-6)
    assert len(model.training_variables) == len(adversary.variables) + len(model.helpers.optimizer.variables)


def test_each_optimizer_has_its_own_loss_scale(features):
    """Under mixed_float16 gradients are divided by a scale, by which the step has to multiply each loss."""
    optimizers = {"half": [keras.optimizers.SGD(rate) for rate in (1e-5, 0.05)], "full": [None, None]}
    optimizers["half"] = [
        keras.optimizers.LossScaleOptimizer(each, initial_scale=scale)
        for each, scale in zip(optimizers["half"], (2.0, 16.0), strict=True)
    ]
    half = build(features, FULL, *optimizers["half"], policy="mixed_float16")
    full = build(features, FULL, *optimizers["full"])
    assert half.optimizer is optimizers["half"][0] and half.helpers.optimizer is optimizers["half"][1]
    groups = [lambda m: m.trainable_variables, lambda m: m.helpers.adversary.trainable_variables]
    start = [flat(group(full)) for group in groups]
    for model in (half, full):
        model.train_step(((*batch(), given_noise()),))
    for group, values in zip(groups, start, strict=True):
        change, expected = flat(group(half)) - values, flat(group(full)) - values
        assert np.linalg.norm(expected) > 1e-4
        assert np.linalg.norm(change - expected) < 0.05 * np.linalg.norm(expected)


@pytest.mark.slow
def test_a_compiled_step_under_xla_is_the_same_also_where_the_size_of_a_batch_is_open(features):
    (images, labels), noise = batch(), given_noise()
    eager, compiled = build(features), build(features, jit=True)
    eager.train_step(((images, labels, noise),))
    compiled.fit(tf.data.Dataset.from_tensor_slices(((images, labels, noise),)).batch(8), verbose=0)
    assert compiled.jit_compile
    assert np.allclose(flat(compiled.trainable_variables), flat(eager.trainable_variables), atol=1e-5)
    assert np.allclose(flat(compiled.training_variables), flat(eager.training_variables), atol=1e-5)


@pytest.fixture(scope="module")
def reader():
    """A feature network that was taught to tell the three bands apart."""
    keras.utils.set_random_seed(1)
    classifier = build_feature_classifier(SHAPE, CLASSES, "tiny")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    images, labels = batch(48)
    classifier.fit(images, labels, batch_size=48, epochs=60, verbose=0, shuffle=False)
    network = feature_network(classifier, images)
    assert np.mean(network.predict_on_batch(images)[-1].argmax(axis=1) == labels) == 1
    return network


@pytest.fixture(scope="module", params=POLICIES)
def trained(request, reader):
    """A model after 150 steps on 24 images under each policy, with its history."""
    optimizers = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.002)
    control = LabelControl(0.5, classifier_weight=10.0, layout_weight=5.0, adversary_weight=1.0, adversary_ramp=10)
    model = build(reader, control, *optimizers, request.param)
    data = tf.data.Dataset.from_tensors(batch(24)).repeat(50)
    validation = tf.data.Dataset.from_tensors(batch(6, seed=1))
    history = model.fit(data, epochs=3, validation_data=validation, verbose=0, shuffle=False).history
    return model, history


def test_outputs_show_the_label_that_they_were_sent_in_with(trained, reader):
    model, history = trained
    images, labels = batch(24, seed=2)
    for shift in (0, 1, 2):
        asked = (labels + shift) % CLASSES
        read = reader.predict_on_batch(model.relabel(images, asked))[-1].argmax(axis=1)
        assert np.mean(read == asked) > 0.9
    assert history["loss"][-1] < history["loss"][0] - 10 and history["classifier"][-1] < 0.5 * history["classifier"][0]


def test_validation_logs_the_elbo_and_nothing_of_training(trained):
    model, history = trained
    elbo = {"loss", "reconstruction", "kl", "negative_elbo"}
    assert set(history) == elbo | {"classifier", "layout", "realism", "adversary"} | {f"val_{name}" for name in elbo}
    images, labels = batch(6)
    model.reset_metrics()
    logs = {name: float(value) for name, value in model.test_step(((images, labels, given_noise(6)),)).items()}
    outputs = model((images, labels, given_noise(6)))
    outputs["feature_distance"] = model.distance_in_features(images, outputs["parameters"])
    reconstruction, kl = model.loss_terms(outputs)
    assert set(logs) == elbo and logs["reconstruction"] == pytest.approx(float(np.mean(reconstruction)), rel=0.02)
    assert logs["kl"] == pytest.approx(float(np.sum(kl)) / 6, rel=0.02)


def test_a_saved_model_holds_nothing_of_its_helpers_and_tells_what_it_misses(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images, labels = batch(3)
    rounding = 1e-5 if model.dtype_policy.name == "float32" else 2e-2
    assert np.allclose(loaded.relabel(images, labels), model.relabel(images, labels), atol=rounding)
    assert not loaded.compiled and not loaded.training_variables
    assert [v.shape for v in loaded.variables] == [v.shape for v in model.variables]
    with pytest.raises(ValueError, match=r"compile\(optimizer, feature_network=...\) first"):
        loaded.elbo(images, labels)


# Errors


def test_what_a_model_is_compiled_with_has_to_fit(features):
    plain, in_features = (CVAE(SHAPE, CLASSES, 4, "tiny", likelihood=name) for name in ("bernoulli", "features"))
    with pytest.raises(ValueError, match=r"need compile\(..., feature_network=...\). Received: likelihood='features'"):
        in_features.compile("sgd")
    with pytest.raises(ValueError, match="^reconstruct_all needs a likelihood of pixels"):
        in_features.compile("sgd", LabelControl(0.5, reconstruct_all=True), features)
    with pytest.raises(ValueError, match=r"feature_network=...\). Received: .*classifier_weight=1"):
        plain.compile("sgd", LabelControl(0.5, classifier_weight=1))
    adversary = build_adversary(SHAPE, CLASSES, "tiny")
    realism = LabelControl(adversary_weight=1)
    for arguments in (
        {"control": realism},
        {"control": realism, "adversary": adversary},
        {"adversary": adversary, "adversary_optimizer": "sgd"},
    ):
        with pytest.raises(ValueError, match=r"An adversary_weight needs compile\(..., adversary=..., adversary_opt"):
            plain.compile("sgd", **arguments)
    plain.compile("sgd", realism, adversary=adversary, adversary_optimizer="sgd")
    assert isinstance(plain.helpers.optimizer, keras.optimizers.SGD)
