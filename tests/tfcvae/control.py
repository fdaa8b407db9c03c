"""What the tests of training with wrong labels and an adversary share: tiny networks, images and given noise."""

import keras
import numpy as np

from tfcvae.adversary import build_adversary
from tfcvae.features import build_feature_classifier, feature_network
from tfcvae.label_control import LabelControl
from tfcvae.model import CVAE

SHAPE, CLASSES = (8, 8, 1), 3
FULL = LabelControl(
    0.5,
    classifier_weight=3.0,
    layout_weight=40.0,
    adversary_weight=2.0,
    adversary_ramp=10,
    view_noise=0.1,
    mirrored_views=True,
)


def batch(count=8, seed=0):
    """Three classes of image that are easy to tell apart: one bright band each."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % CLASSES).astype("int32")
    images = 0.1 * rng.random((count, *SHAPE), "float32")
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 3] += 0.4 + 0.5 * rng.random()
    return images, labels


def given_noise(count=8, seed=0):
    """All noise of a training step of a model with a flat latent of 4."""
    rng = np.random.default_rng(seed)
    return {
        "latents": rng.standard_normal((count, 4), "float32"),
        "label_shifts": rng.integers(1, CLASSES, count).astype("int32"),
        "sample_latents": rng.standard_normal((count, 4), "float32"),
        "sample_labels": rng.integers(0, CLASSES, count).astype("int32"),
        "moves": rng.random((count, 3, 3), "float32"),
        "views": rng.random((count, 2, 3), "float32"),
        "view_noise": rng.standard_normal((count, 2, *SHAPE), "float32"),
    }


def untrained_features(seed=1):
    """A frozen feature network with random weights."""
    keras.utils.set_random_seed(seed)
    return feature_network(build_feature_classifier(SHAPE, CLASSES, "tiny"), batch(12)[0])


def build(features, control=FULL, optimizer=None, adversary_optimizer=None, policy="float32", jit=False, **arguments):
    """A compiled CVAE whose label already matters, with an adversary where `control` has one."""
    keras.utils.set_random_seed(0)
    arguments = {"label_dim": 5, "likelihood": "features", "prior": "class", **arguments}
    model = CVAE(SHAPE, CLASSES, 4, "tiny", dtype=policy, **arguments)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.1 * rng.standard_normal(variable.shape))
    helpers = {"feature_network": features}
    if control.adversary_weight:
        keras.config.set_dtype_policy(policy)
        helpers["adversary"] = build_adversary(SHAPE, CLASSES, "tiny")
        keras.config.set_dtype_policy("float32")
        helpers["adversary_optimizer"] = adversary_optimizer or keras.optimizers.SGD(0.05)
    model.compile(optimizer or keras.optimizers.SGD(1e-5), control, **helpers, jit_compile=jit)
    return model


def flat(variables):
    """All values of variables in one vector."""
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(variable)) for variable in variables])
