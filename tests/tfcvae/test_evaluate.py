import math

import numpy as np
import pytest

from tfcvae import evaluate
from tfcvae.model import CVAE

CLASSES = 4


class Toy:
    """A "model" that can be worked out by hand: the latent is the image, the first pixel says the class.

    Args:
        encode: function (images, labels) -> latents, the identity by default.
        decode: function (latents, labels) -> images, the identity by default.
        shift: distance between the prior means of neighbouring classes.
    """

    num_classes = CLASSES

    def __init__(self, encode=None, decode=None, prior="standard", shift=0.0, narrow=1.0):
        self._encode, self._decode = encode, decode
        self.prior_name, self.shift, self.narrow = prior, shift, narrow

    def encode(self, images, labels, batch_size=None):
        latents = self._encode(images, labels) if self._encode else images
        return latents, np.zeros_like(latents)

    def kl(self, images, labels, batch_size=None):
        apart = self.encode(images, labels)[0] - self.latent_prior(labels)[0]
        return np.square(apart).reshape(len(images), -1).sum(axis=1) / 2

    def decode(self, latents, labels, batch_size=None):
        return self._decode(latents, labels) if self._decode else latents

    def relabel(self, images, labels, batch_size=None):
        return self.decode(self.encode(images, labels)[0], labels)

    reconstruct = relabel

    def latent_prior(self, labels, batch_size=None):
        mean = np.zeros((len(labels), 5, 5, 1))
        mean[:, 0, 0, 0] = self.shift * np.asarray(labels)
        log_variance = np.zeros_like(mean)
        log_variance[:, 2, 2] = 2 * np.log(self.narrow)
        return mean, log_variance

    def sample(self, labels, temperature, seed, batch_size=None):
        return self.decode(np.random.default_rng(seed).random((len(labels), 5, 5, 1)), labels)


def write_label(images, labels):
    written = images.copy()
    written[:, 0, 0, 0] = np.asarray(labels) / CLASSES
    return written


def judge(images):
    return np.round(images[:, 0, 0, 0] * CLASSES).astype(int)


JUDGES = {"judge": judge}


def data(count, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    return write_label(rng.random((count, 5, 5, 1)), labels), labels


def scores(model, count=200, **arguments):
    return evaluate.relabel_scores(model, *data(count), JUDGES, **arguments)


def readings(result, name):
    return {reading: values[name] for reading, values in result["readings"].items()}


def test_a_model_that_obeys_and_keeps_the_rest():
    result = scores(Toy(decode=write_label))
    assert readings(result, "accuracy") == readings(result, "retention") == {"a": 1, "b": 1}
    assert readings(result, "still_true") == {"a": 0, "b": 0}
    assert result["judge_accuracy"] == result["reconstruction_accuracy"] == 1
    assert (result["images"], result["wrong_labels"], result["gallery"]) == (200, 3, 200)


def test_a_model_that_ignores_its_label():
    result = scores(Toy())
    assert readings(result, "accuracy") == {"a": 0, "b": 0} and readings(result, "still_true") == {"a": 1, "b": 1}
    assert result["reconstruction_accuracy"] == 1 and result["ignored_label_accuracy"] == 0


def test_a_model_that_ignores_its_label_and_reconstructs_badly_scores_the_stated_baseline():
    """It shows class 0 whatever comes: r = 1/4 of the images, and each other label has its share of luck."""
    images = np.repeat(data(50)[0], CLASSES, axis=0)
    labels = np.tile(np.arange(CLASSES), 50)
    model = Toy(decode=lambda latents, labels: write_label(latents, np.zeros(len(labels))))
    result = evaluate.relabel_scores(model, write_label(images, labels), labels, JUDGES)
    assert result["reconstruction_accuracy"] == 1 / 4
    assert result["ignored_label_accuracy"] == pytest.approx((1 - 1 / 4) / 3)
    assert readings(result, "accuracy")["b"] == pytest.approx(result["ignored_label_accuracy"])


def test_a_collapsed_model_obeys_but_retains_no_more_than_chance():
    """One picture a class: only an input that happens to be the nearest one to its picture counts as retained."""
    model = Toy(decode=lambda latents, labels: write_label(np.full_like(latents, 0.5), labels))
    result = scores(model, 1000)
    assert readings(result, "accuracy") == {"a": 1, "b": 1}
    assert all(retention <= CLASSES / 3000 for retention in readings(result, "retention").values())


def test_the_two_readings_differ_where_only_the_encoder_heeds_the_label():
    result = scores(Toy(encode=write_label))
    assert readings(result, "accuracy") == {"a": 1, "b": 0} and readings(result, "still_true") == {"a": 0, "b": 1}


def test_a_shifted_prior_is_a_third_reading_of_class_priors_alone():
    """Class k has its prior mean at k / 4 in the first pixel: moving the latent there is what obeys."""
    result = scores(Toy(prior="class", shift=1 / CLASSES))
    assert readings(result, "accuracy") == {"a": 0, "b": 0, "prior_shift": 1}
    assert readings(result, "retention")["prior_shift"] == 1


def test_tables_by_class_and_by_pair():
    """Only a request for class 2 of an image of class 1 or 3 is heeded."""

    def decode(latents, labels):
        true = judge(latents)
        return write_label(latents, np.where((labels == 2) & (true % 2 == 1), labels, true))

    reading = scores(Toy(decode=decode), 400)["readings"]["b"]
    assert reading["pairs"] == [[None, 0, 0, 0], [0, None, 1, 0], [0, 0, None, 0], [0, 0, 1, None]]
    _, labels = data(400)
    share = np.sum(labels % 2 == 1) / np.sum(labels != 2)
    assert reading["per_class"] == pytest.approx([0, 0, share, 0])
    assert reading["accuracy"] == pytest.approx(np.sum(labels % 2 == 1) / 1200)
    assert reading["still_true"] == pytest.approx(1 - reading["accuracy"])


def test_more_images_than_a_chunk_and_fewer_wrong_labels(monkeypatch):
    """150 images in chunks of 100: the last 50 are looked for among 100 inputs, too.

    They are those before them, 0.2 brighter; a model that darkens by 0.15 brings them nearer to those.
    """
    monkeypatch.setattr(evaluate, "CHUNK", 100)
    images, labels = data(150)
    images[100:], labels[100:] = images[50:100] + 0.2, labels[50:100]
    images = write_label(images, labels)
    darker = Toy(decode=lambda latents, labels: write_label(latents - 0.15, labels))
    result = evaluate.relabel_scores(darker, images, labels, JUDGES, wrong=2)
    assert (result["images"], result["wrong_labels"], result["gallery"]) == (150, 2, 100)
    assert readings(result, "accuracy") == {"a": 1, "b": 1}
    assert readings(result, "retention") == pytest.approx({"a": 100 / 150, "b": 100 / 150})


def test_one_hot_labels_score_the_same():
    images, labels = data(60)
    expected = evaluate.relabel_scores(Toy(decode=write_label), images, labels, JUDGES)
    assert evaluate.relabel_scores(Toy(decode=write_label), images, np.eye(CLASSES)[labels], JUDGES) == expected


def test_wrong_labels_are_wrong_and_different():
    _, labels = data(300)
    every = evaluate.wrong_labels(labels, CLASSES)
    assert all(
        sorted(row) == [k for k in range(CLASSES) if k != label] for row, label in zip(every, labels, strict=True)
    )
    one = evaluate.wrong_labels(labels, CLASSES, 1, seed=5)
    assert one.shape == (300, 1) and np.array_equal(one, evaluate.wrong_labels(labels, CLASSES, 1, seed=5))
    counts = np.bincount((one[:, 0] - labels) % CLASSES, minlength=CLASSES)
    assert counts[0] == 0 and counts[1:].min() > 70
    with pytest.raises(ValueError, match="1 to 3 wrong labels an image. Received: 4"):
        evaluate.wrong_labels(labels, CLASSES, 4)


def test_retention_by_hand_and_at_chance():
    gallery = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert evaluate.is_nearest_to_own(np.array([[0.9, 0.1], [0.1, 0.7]]), gallery).tolist() == [True, True]
    assert evaluate.is_nearest_to_own(np.array([[0.4, 0.0], [0.6, 0.5]]), gallery).tolist() == [False, False]
    rng = np.random.default_rng(0)
    inputs, unrelated = rng.random((2, 1000, 5, 5, 1))
    assert evaluate.is_nearest_to_own(inputs, inputs).all()
    assert evaluate.is_nearest_to_own(unrelated, inputs).mean() < 0.006  # chance: 0.001


def test_shifted_latents_keep_their_distance_in_standard_deviations():
    old, new = (np.array([[1.0]]), np.log([[4.0]])), (np.array([[-5.0]]), np.log([[9.0]]))
    assert np.allclose(evaluate.shift_latents(np.array([[4.0]]), old, new), -5 + 1.5 * 3)


def test_sample_accuracy_by_hand():
    obeys_but_for_class_1 = Toy(decode=lambda z, labels: write_label(z, np.where(labels == 1, 0, labels)))
    result = evaluate.sample_accuracy(obeys_but_for_class_1, JUDGES, per_class=5)
    assert result == {"accuracy": 3 / 4, "per_class": [1, 0, 1, 1], "judges": {"judge": 3 / 4}}


def strict(images):
    """Reads as `judge` does, and class 0 where the last pixel is dark."""
    return np.where(images[:, -1, -1, 0] < 0.5, 0, judge(images))


def test_of_two_judges_the_lower_counts():
    """Half of the images are dark: there the strict judge reads 0, whatever is asked for."""
    images, labels = data(200)
    images[:, -1, -1, 0] = np.arange(200) % 2
    both = {"judge": judge, "strict": strict}
    result = evaluate.relabel_scores(Toy(decode=write_label), images, labels, both)
    reading = result["readings"]["a"]
    zeros = np.sum(labels[::2] != 0)  # one of the dark images' wrong labels is 0, unless their own is
    lower = (300 + zeros) / 600
    assert reading["judges"] == {"judge": 1, "strict": pytest.approx(lower)}
    assert reading["accuracy"] == reading["agreed"] == pytest.approx(lower)
    assert reading["still_true"] == pytest.approx(3 * np.sum(labels[::2] == 0) / 600)
    right = (100 + np.sum(labels[::2] == 0)) / 200
    assert result["judge_accuracy"] == result["reconstruction_accuracy"] == pytest.approx(right)
    alone = evaluate.relabel_scores(Toy(decode=write_label), images, labels, {"strict": strict})["readings"]["a"]
    assert {**reading, "judges": alone["judges"]} == alone


def test_two_judges_may_agree_on_less_than_either_reads():
    tally = evaluate.Tally(CLASSES, ("first", "second"))
    read = {"first": np.array([1, 2, 0, 3]), "second": np.array([0, 2, 3, 0])}
    tally.add(np.array([0, 1, 1, 2]), np.array([1, 2, 3, 3]), read, np.array([True, False, False, False]))
    result = tally.result()
    assert result["judges"] == {"first": 3 / 4, "second": 2 / 4}
    assert (result["accuracy"], result["agreed"], result["retention"]) == (2 / 4, 1 / 4, 1 / 4)
    assert result["still_true"] == 1 / 4 and result["per_class"][:4] == [None, 0, 1, 1 / 2]
    assert result["pairs"][1][:4] == [None, None, 1, 1]


def standardised(count):
    """Two features with a sample mean of 0 and a sample covariance of the identity, in every run of four."""
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)
    return np.tile(corners, (count // 4, 1))


def test_realism_compares_equally_many_images_of_each_class():
    """Features of outputs lie 3 from those of real images of the class asked for, of other real images 1 from them.

    Of class 0 there are 4 outputs, of class 1 only 4 real images to compare with: what exceeds them lies far off."""

    def images(*groups):
        return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])

    square, far = standardised(4), standardised(4) + 1000
    outputs = images(square + [3, 0], np.concatenate([square + [0, 3], far]))
    real = images(np.concatenate([square, far]), square)
    others = images(np.concatenate([square + [1, 0], far]), np.concatenate([square + [0, 1], far]))
    result = evaluate.realism(*outputs, *real, lambda x: x, *others)
    expected = {"frechet_distance": 9, "frechet_distance_of_real_images": 1, "images_a_class": 4}
    assert result == pytest.approx(expected)
    assert evaluate.realism(*outputs, *real, lambda x: x, others[0][:1], others[1][:1]) is None


def test_reconstruction_error_by_hand():
    images, labels = data(30)
    model = Toy(decode=lambda latents, labels: latents + 0.1 * np.asarray(labels).reshape(-1, 1, 1, 1))
    expected = np.mean(np.square(0.1 * labels))
    assert evaluate.reconstruction_error(model, images, labels) == pytest.approx(expected)


@pytest.mark.parametrize("chunk", [1000, 64])
def test_active_units_by_hand(monkeypatch, chunk):
    """Two latent units vary, one too little to count, the rest not at all; under a class prior, what the label says
    does not count either, and little is enough where the prior is narrow."""
    monkeypatch.setattr(evaluate, "CHUNK", chunk)
    images, labels = data(200)

    def encode(images, labels):
        latents = np.full_like(images, 0.7)
        latents[:, 0, 0, 0] = np.asarray(labels) * 2.0
        latents[:, 1, 1] = images[:, 1, 1]
        latents[:, 2, 2] = 0.1 * images[:, 2, 2]
        return latents

    assert evaluate.active_units(Toy(encode), images, labels) == 2
    assert evaluate.active_units(Toy(encode, prior="class", shift=2.0), images, labels) == 1
    assert evaluate.active_units(Toy(encode, prior="class", shift=2.0, narrow=0.1), images, labels) == 2


def test_bits_per_dim_by_hand():
    assert evaluate.bits_per_dim(3 * 32 * 32 * math.log(2), (32, 32, 3)) == pytest.approx(1)


def test_likelihood_scores_of_a_model_with_known_parameters():
    model = CVAE((8, 8, 1), CLASSES, 3, "tiny", likelihood="bernoulli_grey")
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    images, labels = np.random.default_rng(0).random((5, 8, 8, 1)), np.arange(5) % CLASSES
    nats = 64 * math.log(2)
    scores = evaluate.likelihood_scores(model, images, labels)
    assert scores.pop("comparable") is False
    assert scores == pytest.approx(
        {"elbo": -nats, "negative_elbo": nats, "unconditional_nll": nats + math.log(CLASSES)}
    )
    assert evaluate.importance_weighted_nll(model, images, labels, samples=3) == pytest.approx(nats, rel=1e-5)
    assert evaluate.active_units(model, images, labels) == 0


def test_kl_divergence_is_that_of_unit_normals_at_a_distance():
    images, labels = data(30)
    expected = np.square(images[..., 0]).sum() / 2 / 30
    assert evaluate.kl_divergence_of(Toy(), images, labels) == pytest.approx(expected, rel=1e-5)
    moved = Toy(encode=lambda images, labels: Toy(shift=2.0).latent_prior(labels)[0], shift=2.0)
    assert evaluate.kl_divergence_of(moved, images, labels) == 0
