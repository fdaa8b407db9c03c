"""What training can add to the ELBO so that the label counts.

In the pixels of a photo the label is worth a few nats of thousands, so the ELBO alone may ignore it. `LabelControl`
adds, each on its own weight: images sent in under a wrong label, for which a frozen classifier (`tfcvae.features`)
says whether the output shows that label; and an adversary (`tfcvae.adversary`), which knows what real images of a
label look like.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

LAYOUT = 4
"""Image sides, in pixels, of the blocks whose means make up an image's layout."""


@dataclass(frozen=True)
class LabelControl:
    """What training adds to the ELBO; nothing by default. Weights are of terms in nats an image, like the ELBO.

    Attributes:
        wrong_labels: share of each batch, in [0, 1), that encoder and decoder get under a random wrong label. What
            comes out has no reconstruction: there is no right answer. The mean of their KL divergence is added to that
            of the others, so that of few such images each counts more than one of the others does.
        reconstruct_all: whether these images are also decoded under their right label, and reconstructed as all others
            are. What the encoder says of an image is then what the label does not, such as a digit's slant, whichever
            label it is told; without it an encoder may say nothing where label and image don't fit.
        classifier_weight: of the cross-entropy between the feature network's reading and the label told, over the
            outputs under wrong labels and samples from the prior, half as many as there are images in the batch.
        layout_weight: of the mean squared difference between an output under a wrong label and its input, both
            averaged over blocks of 4x4 pixels: background, colours and place stay.
        adversary_weight: of minus the adversary's score of everything decoded, samples from the prior included.
        adversary_ramp: optimizer steps over which that weight rises from 0.
        view_noise: standard deviation of normal noise on all that the feature network sees, which is then also moved by
            up to 2 pixels; with 0 it sees images as they are. A decoder finds pixels that one frozen network reads as
            any label and nobody else does. What is read so in every view of it is also read so by others (the
            expectation over transformations of Athalye et al. 2018, "Synthesizing Robust Adversarial Examples").
        mirrored_views: whether a view may also be mirrored left to right, as photos may and digits may not.
    """

    wrong_labels: float = 0.0
    reconstruct_all: bool = False
    classifier_weight: float = 0.0
    layout_weight: float = 0.0
    adversary_weight: float = 0.0
    adversary_ramp: int = 500
    view_noise: float = 0.0
    mirrored_views: bool = False

    def __post_init__(self):
        if not 0 <= self.wrong_labels < 1:
            raise ValueError(f"wrong_labels must lie in [0, 1). Received: wrong_labels={self.wrong_labels!r}")
        for name in ("classifier_weight", "layout_weight", "adversary_weight", "adversary_ramp", "view_noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0. Received: {name}={getattr(self, name)!r}")


class Helpers:
    """The networks that only training needs, apart from the model: they are not saved with it.

    Attributes:
        variables: all state that training changes in them: the adversary's, and its optimizer's.
        trackers: means of the terms that `LabelControl` adds, by name.
    """

    def __init__(self, control, feature_network=None, adversary=None, adversary_optimizer=None):
        self.feature_network, self.adversary, self.optimizer = feature_network, adversary, adversary_optimizer
        names = ["classifier"] * bool(control.classifier_weight)
        names += ["layout"] * bool(control.layout_weight and control.wrong_labels)
        names += ["realism", "adversary"] * (adversary is not None)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.variables = []
        if adversary is not None:
            self.optimizer.build(adversary.trainable_variables)
            self.variables = adversary.variables + self.optimizer.variables

    @property
    def fixed_variables(self):
        """The feature network's, which never change."""
        return self.feature_network.variables if self.feature_network else []


def layout_distance(images, others):
    """Mean squared difference between images averaged over blocks of 4x4 pixels, float32 `(batch,)`."""
    coarse = [ops.average_pool(ops.cast(x, "float32"), LAYOUT, LAYOUT, "valid") for x in (images, others)]
    return ops.mean(ops.square(coarse[0] - coarse[1]), axis=(1, 2, 3))


def mean_of_any(values):
    """The mean, and 0 of nothing: a small batch may have no image under a wrong label."""
    return ops.sum(values) / ops.cast(ops.maximum(ops.shape(values)[0], 1), "float32")


def share_of(share, count):
    """A share of a batch, rounded down; `count` may be a tensor."""
    if isinstance(count, int):
        return int(np.floor(share * count))
    return ops.cast(ops.floor(share * ops.cast(count, "float32")), "int32")
