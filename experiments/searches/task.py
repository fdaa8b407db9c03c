"""What a search has to know of the models that it tunes."""


class Task:
    """What a search is about; a subclass says what is tuned and what a trial trains.

    Attributes:
        name: of the experiment whose hyperparameters these are; `variant`: which of its models, where it has several.
        use: the command that takes what was found, but for `--hparams FILE`.
        monitor, mode, title: the validation metric to search by, `"max"` or `"min"`, and what to call it.
        longest: epochs of the longest trial, by preset.
        choice, machine: a `datasets.Choice` and a `hardware.Hardware`.
        preset, recipe: the preset's name, and the recipe that trials vary.
        data: has `sizes` and `record()`; its text is one line that says what it is.
        fixed: JSON-like: everything that shapes a trial and is not tuned.
    """

    name, variant, use, monitor, mode, title, longest = "", "", "", "", "max", "", {}

    def max_epochs(self):
        """Epochs of the longest trial: the preset's, or what the recipe trains, 3 at least, where that is less."""
        return min(self.longest[self.preset], max(3, self.recipe.epochs_for(self.data.sizes["train"])))

    def space(self):
        """The `keras_tuner.HyperParameters` to tune."""
        raise NotImplementedError

    def fields(self, values):
        """What a trial's values mean, as JSON-like fields of a recipe."""
        return values

    def build(self, fields, epochs):
        """The `harness.running.experiment.Training` of a trial."""
        raise NotImplementedError
