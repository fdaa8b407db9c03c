"""How a conditional VAE is trained: the ELBO, and what `tfcvae.label_control` adds to it so that the label counts.

References:
    - Hou et al. 2017, "Deep Feature Consistent Variational Autoencoder".
    - Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric" (VAE/GAN).
    - Bao et al. 2017, "CVAE-GAN: Fine-Grained Image Generation through Asymmetric Training".
"""

import keras
from keras import ops

from tfcvae.adversary import SHIFT, augment, hinge_loss
from tfcvae.features import feature_distance
from tfcvae.gradients import Values, minimise
from tfcvae.label_control import Helpers, LabelControl, layout_distance, mean_of_any, share_of
from tfcvae.layers import reparameterise, shift_labels


class TrainingSteps:
    """The training of `tfcvae.model.CVAE`; a mix-in, to keep the model itself short."""

    control, helpers = LabelControl(), None

    def compile(
        self,
        optimizer="rmsprop",
        control=None,
        feature_network=None,
        adversary=None,
        adversary_optimizer=None,
        **kwargs,
    ):
        """Sets up training.

        Args:
            optimizer: of encoder, decoder, prior and label embedding; anything that `keras.Model.compile` takes.
            control: a `LabelControl`; by default nothing is added to the ELBO.
            feature_network: what `tfcvae.features.feature_network` returns; for the likelihood `"features"`, and
                where `control` has a `classifier_weight`.
            adversary: what `tfcvae.adversary.build_adversary` returns, where `control` has an `adversary_weight`.
            adversary_optimizer: its own. Under `mixed_float16` it gets its own loss scale, as `optimizer` does.
            **kwargs: as for `keras.Model.compile`.

        Raises:
            ValueError: where a network is missing that the likelihood or `control` needs, and for `reconstruct_all`
                with the likelihood `"features"`.
        """
        super().compile(optimizer, **kwargs)
        control = control or LabelControl()
        if (self.likelihood.uses_features or control.classifier_weight) and feature_network is None:
            raise ValueError(
                "The likelihood 'features' and a classifier_weight need compile(..., feature_network=...). "
                f"Received: likelihood={self.likelihood_name!r}, {control}"
            )
        if self.likelihood.uses_features and control.reconstruct_all:
            raise ValueError(
                "reconstruct_all needs a likelihood of pixels: the likelihood 'features' compares only images under "
                f"their right labels. Received: {control}"
            )
        if bool(control.adversary_weight) != (adversary is not None and adversary_optimizer is not None):
            raise ValueError(
                "An adversary_weight needs compile(..., adversary=..., adversary_optimizer=...), and the other way "
                f"round. Received: adversary_weight={control.adversary_weight!r}, adversary={adversary!r}"
            )
        if adversary is not None:
            adversary_optimizer = keras.optimizers.get(adversary_optimizer)
            scales = isinstance(adversary_optimizer, keras.optimizers.LossScaleOptimizer)
            if self.dtype_policy.name == "mixed_float16" and not scales:
                adversary_optimizer = keras.optimizers.LossScaleOptimizer(adversary_optimizer)
        self.control = control
        self.helpers = Helpers(control, feature_network, adversary, adversary_optimizer)

    def get_compile_config(self):
        """As of any `keras.Model`, where training needs nothing that a saved model does not hold; None elsewhere."""
        if self.control != LabelControl() or self.likelihood.uses_features:
            return None
        return super().get_compile_config()

    def compile_from_config(self, config):
        """Compiles a loaded model as the saved one was."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self):
        return [*self.trackers.values(), *(self.helpers.trackers.values() if self.helpers else ())]

    @property
    def training_variables(self):
        """What training changes and no saved model has: the adversary's variables and its optimizer's."""
        return self.helpers.variables if self.helpers else []

    @property
    def non_trainable_variables(self):
        """As of any `keras.Model`, and while it is compiled the helpers': Keras's step on JAX carries these along."""
        helpers = self.helpers.variables + self.helpers.fixed_variables if self.helpers else []
        return [*super().non_trainable_variables, *helpers]

    def draw_training_noise(self, count):
        """All the randomness of a training step on `count` images: `draw_noise`, and what `LabelControl` needs.

        Returns:
            As `draw_noise`, and with wrong labels `label_shifts`, int32 `(count,)`: what to add to a label, modulo the
            number of classes, where it is to be wrong. With a classifier or an adversary `sample_latents` from N(0, I)
            and `sample_labels`, for new images. With an adversary `moves`, uniform `(count, 3, 3)`: how the adversary
            sees real images, outputs and samples, mirrored and shifted. With `view_noise` `views`, uniform
            `(count, 2, 3)`, and `view_noise` from N(0, I), `(count, 2, *image_shape)`: how the feature network sees
            outputs and samples.
        """
        noise, seed = self.draw_noise(count), self.noise_seeds
        if self.control.wrong_labels:
            noise["label_shifts"] = keras.random.randint((count,), 1, self.num_classes, seed=seed)
        if self.draws_samples:
            noise["sample_latents"] = keras.random.normal((count, *self.latent_shape), dtype="float32", seed=seed)
            noise["sample_labels"] = keras.random.randint((count,), 0, self.num_classes, seed=seed)
        if self.control.adversary_weight:
            noise["moves"] = keras.random.uniform((count, 3, 3), dtype="float32", seed=seed)
        if self.control.view_noise:
            noise["views"] = keras.random.uniform((count, 2, 3), dtype="float32", seed=seed)
            noise["view_noise"] = keras.random.normal((count, 2, *self.image_shape), dtype="float32", seed=seed)
        return noise

    @property
    def draws_samples(self):
        """Whether training also decodes latents from the prior."""
        return bool(self.control.classifier_weight or self.control.adversary_weight)

    def training_pass(self, images, labels, noise):
        """Everything that a training step decodes.

        The last images of the batch, as many as `LabelControl.wrong_labels` says, are told a wrong label; half as many
        samples as there are images, rounded up, are drawn from the prior.

        Returns:
            `(outputs, decoded, told, right)`: what `call` returns; images `(n, *image_shape)`, outputs first, then
            samples; one-hot `(n, num_classes)`, the labels that they were decoded under; how many of the first have
            their right label.
        """
        count = ops.shape(images)[0]
        right = count - share_of(self.control.wrong_labels, count)
        told = labels
        if self.control.wrong_labels:
            shifts = ops.where(ops.arange(count) >= right, ops.cast(noise["label_shifts"], "int32"), 0)
            told = shift_labels(labels, shifts, self.num_classes)
        outputs = self((images, told, noise))
        decoded, told = self.likelihood.mean(outputs["parameters"]), self.one_hot(told)
        if self.draws_samples:
            half = count - share_of(0.5, count)
            asked = noise["sample_labels"][:half]
            embedding = self.label_embedding(asked)
            latents = reparameterise(*self.prior(embedding), noise["sample_latents"][:half])
            samples = self.likelihood.mean(self.decoder([latents, embedding]))
            decoded = ops.concatenate([decoded, samples])
            told = ops.concatenate([told, self.one_hot(asked)])
        return outputs, decoded, told, right

    def one_hot(self, labels):
        """Integer labels `(batch,)` or one-hot vectors as float32 one-hot vectors `(batch, num_classes)`."""
        return ops.cast(labels if len(labels.shape) == 2 else ops.one_hot(labels, self.num_classes), "float32")

    def training_loss(self, images, labels, noise):
        """The loss of a training step; also updates the metrics.

        Returns:
            `(loss, (decoded, told))`: a float32 scalar, in nats an image; see `training_pass`.
        """
        control, helpers = self.control, self.helpers
        outputs, decoded, told, right = self.training_pass(images, labels, noise)
        rightly, wrongly = (
            {name: x[part] for name, x in outputs.items()} for part in (slice(right), slice(right, None))
        )
        terms = {}
        if self.likelihood.uses_features or control.classifier_weight:
            first = 0 if self.likelihood.uses_features else right  # what nothing asks for is not looked at
            *features, logits = helpers.feature_network(self._view(decoded[first:], noise, first))
            if self.likelihood.uses_features:
                *real, _ = helpers.feature_network(self._view(images[:right], noise))
                rightly["feature_distance"] = feature_distance(real, [scale[:right] for scale in features])
        ramp = self._ramp(control.adversary_ramp)
        if control.reconstruct_all and control.wrong_labels:
            loss = self.compute_loss(y_pred=self._under_right_labels(outputs, labels, right))
        else:
            loss = self.weighted_kl(self.kl_divergence(wrongly)) if control.wrong_labels else 0.0
            loss += self.compute_loss(y_pred=rightly)  # this counts the step, which warm-up and ramp go by
        if control.classifier_weight:
            entropy = ops.categorical_crossentropy(told[right:], logits[right - first :], from_logits=True)
            terms["classifier"] = control.classifier_weight, entropy
        if control.layout_weight and control.wrong_labels:
            count = ops.shape(images)[0]
            terms["layout"] = control.layout_weight, layout_distance(decoded[right:count], images[right:])
        if control.adversary_weight:
            terms["realism"] = (
                -control.adversary_weight * ramp,
                helpers.adversary([_moved(decoded, noise["moves"][:, 1:]), told]),
            )
        for name, (weight, values) in terms.items():
            helpers.trackers[name].update_state(values)
            loss += weight * mean_of_any(values)
        return loss, (decoded, told)

    def _under_right_labels(self, outputs, labels, right):
        """What `call` returns, where images from the `right`-th on were encoded under a wrong label: the same latents,
        under the right label's prior and decoded under the right label. It is a bound of log p(x|y) like any other."""
        last = ops.shape(labels)[0] - 1  # is decoded in any case: oneDNN makes a wrong shape of an empty batch
        first = min(right, last) if isinstance(last, int) else ops.minimum(right, last)
        embedding = self.label_embedding(labels[first:])
        names = ("prior_mean", "prior_log_variance", "parameters")
        values = (*self.prior(embedding), self.decoder([outputs["latents"][first:], embedding]))
        changed = {name: ops.concatenate([outputs[name][:first], x]) for name, x in zip(names, values, strict=True)}
        return outputs | changed

    def adversary_loss(self, images, labels, decoded, told, noise):
        """The adversary's loss on real images under their labels, and on decoded ones under those told; a scalar."""
        real = _moved(images, noise["moves"])
        both = ops.concatenate([real, _moved(decoded, noise["moves"][:, 1:])])
        scores = self.helpers.adversary([both, ops.concatenate([self.one_hot(labels), told])], training=True)
        count = ops.shape(images)[0]
        loss = hinge_loss(scores[:count], scores[count:])
        self.helpers.trackers["adversary"].update_state(loss)
        return loss

    def take_steps(self, images, labels, noise, minimise):
        """One optimizer step of the model, and one of the adversary where there is one.

        Args:
            minimise: how a step is taken on this backend; see `tfcvae.gradients`.
        """
        loss = lambda: self.training_loss(images, labels, noise)  # noqa: E731
        decoded, told = minimise(loss, self.optimizer, self.trainable_variables)
        if self.control.adversary_weight:
            decoded, adversary = ops.stop_gradient(decoded), self.helpers.adversary
            loss = lambda: (self.adversary_loss(images, labels, decoded, told, noise), None)  # noqa: E731
            minimise(loss, self.helpers.optimizer, adversary.trainable_variables)

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data):
            """One step on a batch, `(images, labels)` or `(inputs,)` with the inputs of `call`."""
            from tfcvae.data import checked_inputs

            images, labels, *noise = checked_inputs(data, self.num_classes)
            noise = noise[0] if noise else self._replica_noise(ops.shape(images)[0])
            self.take_steps(images, labels, noise, minimise)
            return self.get_metrics_result()

        def test_step(self, data):
            """The metrics of a batch under its right labels; as `train_step`, without a step."""
            from tfcvae.data import checked_inputs

            return self._evaluate(checked_inputs(data, self.num_classes))

        def _replica_noise(self, count):
            """`draw_training_noise` for a replica of `tf.distribute`: all hold one seed, so each takes its share."""
            import tensorflow as tf

            replica = tf.distribute.get_replica_context()
            start = count * replica.replica_id_in_sync_group
            noise = self.draw_training_noise(count * replica.num_replicas_in_sync)
            return {name: values[start : start + count] for name, values in noise.items()}

    if keras.backend.backend() == "jax":

        def train_step(self, state, data):
            """As on TensorFlow, as a pure function: from the values of all variables to those after the step."""
            optimizer = self.optimizer.variables
            variables = self.trainable_variables, self.non_trainable_variables, optimizer, self.metrics_variables
            values = Values(variables, state)
            images, labels, *noise = _inputs(data)
            noise = noise[0] if noise else values.run(self.draw_training_noise, images.shape[0])
            self.take_steps(images, labels, noise, values.minimise)
            return values.run(self.get_metrics_result), values.state()

        def test_step(self, state, data):
            """As on TensorFlow, as a pure function."""
            variables = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
            values = Values(variables, state)
            return values.run(self._evaluate, _inputs(data)), values.state()

    def _evaluate(self, inputs):
        outputs = self(inputs)
        if self.likelihood.uses_features:
            outputs["feature_distance"] = self.distance_in_features(outputs["images"], outputs["parameters"])
        self.compute_loss(y_pred=outputs, training=False)
        return {name: tracker.result() for name, tracker in self.trackers.items()}  # nothing of what training adds

    def distance_in_features(self, images, parameters):
        """`feature_distance` between images and the mean images of what the decoder puts out, float32 `(batch,)`."""
        if not self.helpers or self.helpers.feature_network is None:
            raise ValueError(
                "The likelihood 'features' compares images in a network that is not part of a saved model. Call "
                "compile(optimizer, feature_network=...) first; encode, decode, relabel and sample need none"
            )
        pair = (self.helpers.feature_network(x)[:-1] for x in (images, self.likelihood.mean(parameters)))
        return feature_distance(*pair)

    def _ramp(self, steps):
        """The share of a rise over so many steps that is done, float32."""
        return ops.minimum(ops.cast(self.steps_done, "float32") / steps, 1.0) if steps else 1.0

    def _view(self, images, noise, first=0):
        """What the feature network sees of images: outputs, the `first` ones left out, of which samples may follow; or
        the first inputs, which are moved and get noise as their outputs do."""
        if not self.control.view_noise:
            return images
        added = _by_group(noise["view_noise"])[first : first + ops.shape(images)[0]]
        seen = ops.cast(images, "float32") + self.control.view_noise * added
        return _moved(seen, noise["views"], self.control.mirrored_views, first)


def _moved(images, moves, mirrors=True, first=0):
    """Images shifted, and mirrored where `mirrors`, by uniform draws `(count, groups, 3)`: the first group's, the
    second's and so on, as many as there are images; the `first` ones are left out."""
    draws = _by_group(moves)[first : first + ops.shape(images)[0]]
    shifts = ops.cast(draws[:, 1:] * (2 * SHIFT + 1), "int32") - SHIFT
    return augment(images, (draws[:, 0] < 0.5) & mirrors, shifts)


def _by_group(draws):
    """Draws of `(count, groups, ...)` one group after the other, `(groups * count, ...)`."""
    return ops.reshape(ops.swapaxes(draws, 0, 1), (-1, *draws.shape[2:]))


def _inputs(data):
    """`(images, labels)` or `(images, labels, noise)` from a batch, `(images, labels)` or `(inputs,)`."""
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    return x if y is None else (x, y)
