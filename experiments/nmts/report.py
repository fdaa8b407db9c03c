"""What the summary says of transformers: their section of `results/summary.md`."""

from pathlib import Path
from urllib.parse import quote

from experiments.harness.reporting import report
from experiments.harness.reporting.report import field, over_seeds, run_folders

INTRODUCTION = """## Translation

Transformers from English to French. Each is scored once, on test sentences that share no sentence with its training
text; epochs are chosen on validation sentences.

- **BLEU**: sacreBLEU, cased, 13a tokenization, in [0, 100], higher is better. **Tokenized**: of lower-cased text that
  is split into words first, as papers on Multi30k report it. **chrF**: agreement in runs of 1 to 6 characters.
  **Exact**: share in percent of translations that are their reference.
- **Training loss**: the smoothed cross-entropy of a token that training minimised, in nats, dropout on, in the epoch
  whose weights were kept; **unsmoothed**: the cross-entropy of the same tokens. **Without dropout**: the smoothed loss
  of those weights on training sentences. **Least**: the smallest value that label smoothing lets any model reach.
- **Perplexity** of the reference translations, a token and a character.
"""

DATASETS = ("multi30k", "tatoeba", "opus_books")
SCORES = {"BLEU": ("bleu", 2), "tokenized": ("bleu_tokenized", 2), "chrF": ("chrf", 2)}
REQUIRED = ("dataset", "run", "variant", "seed", "command", "data.train", "data.test", "test.bleu", "test.chrf")
REQUIRED += ("training_loss", "fit.smoothed", "examples")


def nmt_section(records, results_dir):
    """The transformers' section: one part a dataset, in it one a run.

    Args:
        records: records of the experiment, with `folder`.
        results_dir: folder of the summary, which holds the pictures.

    Returns:
        Markdown.

    Raises:
        UserError: for a record that lacks what the tables need; the message names it.
    """
    report.require(records, REQUIRED)
    parts, datasets = [INTRODUCTION], {}
    for folder, run in run_folders(records).items():
        datasets.setdefault(run[0]["dataset"], {})[folder] = run
    for dataset in sorted(datasets, key=_rank):
        parts.append(f"### {dataset}")
        for folder, run in datasets[dataset].items():
            parts += [f"#### Run `{run[0]['run']}`", *_run(run, folder, results_dir)]
    return "\n\n".join(part.strip() for part in parts if part)


def short_table(records):
    """The run's main table and a sentence on its data, for the README; arguments and result as for `nmt_section`."""
    models = by_model(records)
    notes = [f"{_data(records[0])}. {report.hardware(records[0])}.", _spread(models)]
    commands = ", ".join(f"`{command}`" for command in dict.fromkeys(r["command"] for r in records))
    return "\n\n".join([_main_table(models), " ".join(filter(None, notes)), f"Made by {commands}."])


def by_model(records):
    """Groups the records of a run into `{model: [the record of a seed, ...]}`, the largest model first."""
    models = {}
    for record in sorted(records, key=lambda r: (-(r.get("parameters") or 0), r["variant"], r["seed"])):
        models.setdefault(record["variant"], []).append(record)
    return models


def _rank(dataset):
    return DATASETS.index(dataset) if dataset in DATASETS else len(DATASETS), dataset


def _spread(models):
    return report.spread_note([len(seeds) for seeds in models.values()])


def _run(records, folder, results_dir):
    models = by_model(records)
    facts = {
        "Data": _data,
        "Padding": _padding,
        "Training": _training,
        "Search": _search,
        "Hardware": report.hardware,
        "Software": report.software,
    }
    first = next(iter(models.values()))[0]
    return [
        _main_table(models),
        _spread(models),
        "**How well the models fit**, in nats a token:",
        _loss_table(models),
        report.facts(records, facts),
        "Commands:\n\n" + report.code_block(record["command"] for record in records),
        f"**By length** of the reference, in words, `{first['variant']}`, seed {first['seed']}:",
        _length_table(first),
        "**Translations** of the test split, ranked by chrF: the best, from the middle, and the worst.",
        _examples(first),
        *_pictures(models, folder, results_dir),
    ]


def _main_table(models):
    header = ["model", "seeds", "N", "d_model", "heads", "d_ff", "parameters", *SCORES, "exact", "tokens/s"]
    rows = []
    for model, seeds in models.items():
        shape = [field(seeds[0], f"config.{name}") for name in ("layers", "width", "heads", "feed_forward")]
        scores = [over_seeds(seeds, f"test.{key}", digits) for key, digits in SCORES.values()]
        exact = over_seeds(seeds, "test.exact_match", 1, 100)
        parameters = report.mean_and_spread([field(seeds[0], "parameters")], 0)
        speed = over_seeds(seeds, "tokens_per_second", 0)
        rows.append([f"`{model}`", len(seeds), *shape, parameters, *scores, exact, speed])
    return report.table(header, rows)


def _loss_table(models):
    columns = {
        "training loss": "training_loss",
        "unsmoothed": "training_cross_entropy",
        "without dropout": "fit.smoothed",
        "least": "fit.least_loss",
        "test loss": "test.smoothed",
        "unsmoothed test": "test.cross_entropy",
        "perplexity": "test.perplexity",
        "a character": "test.perplexity_per_character",
    }
    rows = [[f"`{model}`", *(over_seeds(seeds, path) for path in columns.values())] for model, seeds in models.items()]
    return report.table(["model", *columns], rows)


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
    links = [
        f"[{record['variant']}, seed {record['seed']}]({quote(path)})"
        for record in others
        for path in [f"{record['folder']}/attention.png"]
        if (Path(results_dir) / path).is_file()
    ]
    return [
        report.picture(results_dir, f"{folder}/curves.png", "Loss and token accuracy over epochs", "Learning curves."),
        report.picture(
            results_dir,
            f"{first['folder']}/attention.png",
            "Three heat maps: French tokens against the English tokens that they attend to",
            "What each French token looks at in the English sentence, in the last block.",
        ),
        f"Attention of the other models: {'; '.join(links)}." if links else "",
    ]


def _data(record):
    data = record["data"]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in (data.get("left_out") or {}).items() if count)
    text = f"{data['train']:,} train / {data['validation']:,} validation / {data['test']:,} test pairs"
    text += f" of `{record['dataset']}`" + (f"; left out of training: {left_out}" if left_out else "")
    words = data.get("vocabulary")
    return text + (f"; a vocabulary of {words:,} byte pairs, learned on the train split" if words else "")


def _padding(record):
    shares = field(record, "data.padding")
    return shares and (
        f"{shares['buckets']:.0%} of the tokens of training batches; it would be {shares['longest_of_batch']:.0%} if "
        f"batches were made in the corpus's order, and {shares['longest_of_all']:.0%} with all as long as the longest"
    )


def _training(record):
    config = record.get("config") or {}
    known = {
        "epochs": "{} epochs",
        "batch_tokens": "batches of {:,} padded tokens a side",
        "learning_rate": "one-cycle learning rate up to {:g}",
        "dropout": "dropout {:g}",
        "label_smoothing": "label smoothing {:g}",
        "norm": "{}-norm",
        "ema": "averaged weights with momentum {:g}",
    }
    parts = [text.format(config[key]) for key, text in known.items() if config.get(key)]
    seconds = field(record, "seconds.training")
    return ", ".join(parts + [f"{seconds / 60:.1f} minutes"] * bool(seconds)) or None


def _search(record):
    beam, signature = field(record, "test.beam"), field(record, "test.signatures.bleu")
    search = f"beam of {beam}, length penalty {field(record, 'test.penalty'):g}" if (beam or 1) > 1 else "greedy"
    return f"{search}; sacreBLEU's signature `{signature}`"


SECTIONS = (report.Section("nmt", 4, nmt_section, short_table),)
