"""Trains, scores, records and pictures transformers; the work behind `nmt.py`."""

from experiments.harness.running import runs
from experiments.harness.running.experiment import Experiment, Training
from experiments.nmts import figures
from experiments.nmts import scores as nmt_scores
from experiments.nmts.data import ParallelText
from experiments.nmts.recipes import make_recipe
from experiments.nmts.training import build_model
from tfnmt import evaluate

TOKENIZER = "tokenizer.json"


class Run(Experiment):
    """All transformers of one command.

    Args:
        choice, preset, machine, results: as of `Experiment`.
        overrides: fields of `Recipe` that the user set.
        models, seeds: what to train; names of `recipes.models_of`.
    """

    name, monitor, mode, title, unit = "nmt", "accuracy", "max", "val token accuracy", "sentences"

    def __init__(self, choice, preset, overrides, models, seeds, machine, results):
        self.recipes = {model: make_recipe(choice.name, model, preset, overrides) for model in models}
        data = ParallelText(choice, preset, self.recipes[models[0]])
        shared = {"options": overrides, **machine.settings(), "data": data.identity()}
        configurations = {(model, seed): self.recipes[model].record() for seed in seeds for model in models}
        epochs = {model: recipe.epochs for model, recipe in self.recipes.items()}
        super().__init__(choice, preset, not overrides, shared, configurations, epochs, data, machine, results)

    def told(self, variant):
        recipe = self.recipes[variant]
        parameters = build_model(recipe, self.data.tokenizer.size, 0, 1).count_params()
        return (
            f"N = {recipe.layers}, d_model {recipe.width}, {recipe.heads} heads, d_ff {recipe.feed_forward}, "
            f"{parameters:,} parameters"
        )

    def build(self, variant, seed):
        recipe = self.recipes[variant]
        data = self.data.training(recipe, seed)
        steps = self.epochs[variant] * data.steps
        model = build_model(recipe, self.data.tokenizer.size, seed, steps, self.machine.xla)
        return Training(model, data, self.data.pairs("validation", recipe).dataset())

    def score(self, model, variant, folder, label):
        recipe = self.recipes[variant]
        runs.write_atomic(folder / TOKENIZER, self.data.tokenizer.to_json())
        scores, translations = nmt_scores.score(model, self.data, recipe, lambda line: print(f"{label}: {line}"))
        test = self.data.corpora["test"]
        scores["examples"] = evaluate.examples(test.english, translations, test.french)
        runs.write_atomic(folder / "translations.txt", "".join(f"{line}\n" for line in translations))
        figures.draw_attention(model, self.data, translations, folder / "attention.png", self.picture_title(label))
        print(f"{label}: {nmt_scores.one_line(scores)}", flush=True)
        return scores

    def _record(self, variant, seed, model, progress, scores):
        """Adds the training loss, with dropout as trained, smoothed and not: in the epoch whose weights were kept, and
        in the last; and the shares of padding in its batches."""
        record = super()._record(variant, seed, model, progress, scores)
        row, last = progress.history[progress.best_epoch - 1], progress.history[-1]
        pairs = self.data.pairs("train", self.recipes[variant])
        per_sentence = float(pairs.lengths.mean(axis=0).sum())
        record["data"]["padding"] = pairs.padding()
        return record | {
            "training_loss": row["loss"],
            "training_cross_entropy": row["cross_entropy"],
            "last_training_loss": last["loss"],
            "last_training_cross_entropy": last["cross_entropy"],
            "tokens_per_second": progress.images_per_second() * per_sentence,
        }

    def wrap_up(self):
        """Draws the learning curves of the run's models."""
        records = self.records()
        if records:
            figures.draw_curves(records, self.results, self.folder / "curves.png", self.picture_title())
        print(f"Pictures: {self.folder}")
