"""The table of the models that come with the repository, from the records beside their weights."""

import json


def included_table(root):
    """One row a model, in Markdown: what it does, how it scores on the test split, how large its file is.

    Args:
        root: the repository's folder.
    """
    rows = []
    for library, describe in KINDS.items():
        for path in sorted((root / library / "weights").glob("*.keras")):
            record = json.loads(path.with_suffix(".json").read_text())
            if record["experiment"] in ("judge", "features"):
                continue
            mib = path.stat().st_size / 2**20
            name = path.relative_to(root).with_suffix("").as_posix()
            rows.append(f"| [`{name}`]({name}.json) | {describe(record)} | {mib:.1f} MiB |")
    head = "| weights | what they do | data | on the test split | size |\n| :-- | :-- | :-- | :-- | --: |"
    return "\n".join([head, *rows])


def _unet(record):
    test = record["test"]
    return (
        f"photo to mask: U-Net `{record['variant']}` | `{record['dataset']}` | "
        f"IoU {test['iou']:.3f}, at photo size {test['iou_native']:.3f}"
    )


def _cvae(record):
    relabel = record["test"]["relabel"]
    reading, style = relabel["readings"]["a"], relabel.get("style")
    kept = f"images kept (retention) {reading['retention']:.1%}"
    if style:  # of digits retention says little
        kept = f"slant kept {style['slant']:.2f}, stroke thickness {style['stroke_thickness']:.2f} (correlation)"
    scores = f"wrong labels obeyed {reading['accuracy']:.1%}, {kept}"
    return f"image under any label: conditional VAE `{record['variant']}` | `{record['dataset']}` | {scores}"


def _translator(record):
    test = record["test"]
    scores = f"BLEU {test['bleu']:.1f}, chrF {test['chrf']:.1f}"
    return f"English to French: transformer `{record['variant']}` | `{record['dataset']}` | {scores}"


KINDS = {"tfseg": _unet, "tfcvae": _cvae, "tfnmt": _translator}
"""Describes a record in three cells, by library."""
