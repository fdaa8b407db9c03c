"""What the summary says of transformers: their section of `results/summary.md`."""

from experiments.harness.reporting import report, sections
from experiments.harness.reporting.report import field

INTRODUCTION = """## Translation

Transformers from English to French. Each is scored once, on test pairs that were not trained on; where the corpus does
not come split, neither side of them was. Epochs are chosen on validation pairs.

- **BLEU**: sacreBLEU, cased, 13a tokenization, in [0, 100], higher is better. **Tokenized**: of lower-cased text that
  is split into words first, close to what papers on Multi30k report. **chrF**: agreement in runs of 1 to 6 characters.
  **Exact**: share in percent of translations that are their reference.
- **Training loss**: the smoothed cross-entropy of a token that training minimised, in nats, dropout on, in the epoch
  whose weights were kept, and **in the last epoch**, which is what others report; **unsmoothed**: the cross-entropy of
  the same tokens. **Without dropout**: the smoothed loss of the kept weights on training sentences. **Least**: the
  smallest value that label smoothing lets any model reach.
- **Perplexity** of the reference translations, a token and a character.
"""

DATASETS = ("multi30k", "tatoeba", "opus_books")
REQUIRED = ("dataset", "run", "variant", "seed", "command", "data.train", "data.test", "test.bleu", "test.chrf")
REQUIRED += ("training_loss", "fit.smoothed", "examples")


def nmt_section(records, results_dir):
    """The transformers' section of the summary; arguments, result and error as of `sections.section`."""
    return sections.section(records, results_dir, INTRODUCTION, REQUIRED, _run, DATASETS)


def short_table(records):
    """What the README shows of a run."""
    what = f"{_data(records[0])}. {sections.machines(records)}."
    return sections.short(_main_table(by_model(records)), records, what, map(report.command, records))


def by_model(records):
    """Groups the records of a run into `{model: [the record of a seed, ...]}`, the largest model first."""
    return sections.by_variant(records, lambda record: (-(record.get("parameters") or 0), record["variant"]))


def _run(records, folder, results_dir):
    models = by_model(records)
    facts = {"Data": _data, "Padding": _padding, "Training": _training, "Search": _search}
    first = next(iter(models.values()))[0]
    return [
        _main_table(models),
        report.spread_note([len(seeds) for seeds in models.values()]),
        "**How well the models fit**, in nats a token:",
        _loss_table(models),
        sections.facts(records, facts),
        sections.commands(map(report.command, records)),
        f"**By length** of the reference, in words, `{first['variant']}`, seed {first['seed']}:",
        _length_table(first),
        "**Translations** of the test split, ranked by chrF: the best, from the middle, and the worst.",
        _examples(first),
        *_pictures(models, folder, results_dir),
    ]


def _main_table(models):
    columns = {
        "seeds": len,
        "N": sections.of_first("config.layers"),
        "d_model": sections.of_first("config.width"),
        "heads": sections.of_first("config.heads"),
        "d_ff": sections.of_first("config.feed_forward"),
        "parameters": sections.of_first("parameters"),
        "BLEU": ("test.bleu", 2),
        "tokenized": ("test.bleu_tokenized", 2),
        "chrF": ("test.chrf", 2),
        "exact": ("test.exact_match", 1, 100),
        "tokens/s": ("tokens_per_second", 0),
    }
    return sections.table(sections.rows(models, columns))


def _loss_table(models):
    columns = {
        "training loss": "training_loss",
        "unsmoothed": "training_cross_entropy",
        "in the last epoch": "last_training_loss",
        "unsmoothed in the last": "last_training_cross_entropy",
        "without dropout": "fit.smoothed",
        "least": "fit.least_loss",
        "test loss": "test.smoothed",
        "unsmoothed test": "test.cross_entropy",
        "perplexity": "test.perplexity",
        "a character": "test.perplexity_per_character",
    }
    return sections.table(sections.rows(models, columns))


def _length_table(record):
    rows = [
        [f"{row['from_words']} to {row['to_words']}", row["sentences"], f"{row['bleu']:.1f}", f"{row['chrf']:.1f}"]
        for row in field(record, "test.by_length") or []
    ]
    return report.table(["words", "sentences", "BLEU", "chrF"], rows)


def _examples(record):
    rows = [
        [kind, row["source"], row["translation"] or report.MISSING, row["reference"], f"{row['chrf']:.0f}"]
        for kind, found in record["examples"].items()
        for row in found
    ]
    return report.table(["", "English", "translation", "reference", "chrF"], rows, left=4)


def _pictures(models, folder, results_dir):
    """Curves of the run, the attention maps of its first model, and links to those of the others."""
    (first, *others) = (record for seeds in models.values() for record in seeds)
    found = [(f"{r['variant']}, seed {r['seed']}", f"{r['folder']}/attention.png") for r in others]
    return [
        report.picture(results_dir, f"{folder}/curves.png", "Loss and token accuracy over epochs", "Learning curves."),
        report.picture(
            results_dir,
            f"{first['folder']}/attention.png",
            "Three heat maps: French tokens against the English tokens that they attend to",
            "What each French token looks at in the English sentence, in the last block.",
        ),
        sections.links(results_dir, "Attention of the other models:", found),
    ]


def _data(record):
    data = record["data"]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in (data.get("left_out") or {}).items() if count)
    text = f"{data['train']:,} train / {data['validation']:,} validation / {data['test']:,} test pairs"
    text += f" of `{record['dataset']}`" + (f"; left out: {left_out}" if left_out else "")
    words = data.get("vocabulary")
    return text + (f"; a vocabulary of {words:,} byte pairs, learned on the train split" if words else "")


def _padding(record):
    shares = field(record, "data.padding")
    return shares and (
        f"{shares['buckets']:.0%} of the tokens of training batches; it would be {shares['longest_of_batch']:.0%} if "
        f"batches were made in the corpus's order, both sides as long as the longest sentence in them, and "
        f"{shares['longest_of_all']:.0%} with all as long as the longest of all"
    )


def _training(record):
    texts = {
        "epochs": "{} epochs",
        "batch_tokens": "batches of {:,} padded tokens a side",
        "learning_rate": "one-cycle learning rate up to {:g}",
        "dropout": "dropout {:g}",
        "label_smoothing": "label smoothing {:g}",
        "norm": "{}-norm",
        "ema": "averaged weights with momentum {:g}",
    }
    told, seconds = sections.training(record, texts), field(record, "seconds.training")
    return ", ".join(filter(None, [told, seconds and f"{seconds / 60:.1f} minutes"])) or None


def _search(record):
    beam, signature = field(record, "test.beam"), field(record, "test.signatures.bleu")
    search = f"beam of {beam}, length penalty {field(record, 'test.penalty'):g}" if (beam or 1) > 1 else "greedy"
    return f"{search}; sacreBLEU's signature `{signature}`"


SECTIONS = (report.Section("nmt", 4, nmt_section, short_table),)
