"""Records of conditional VAEs and classifiers, and what tests read from the summary that they become."""

import math

from experiments.cvaes.report import SECTIONS
from experiments.harness.reporting import report
from tests.experiments.sessions import save

NAMES = [f"class{n}" for n in range(10)]
HARDWARE = {"device": "CPU", "name": "AMD EPYC", "cores": 2, "precision": "mixed_bfloat16", "xla": False}


def reading(accuracy, retention, still_true=0.05):
    per_class = [accuracy] * 9 + [accuracy / 2]
    scores = {"accuracy": accuracy, "still_true": still_true, "retention": retention, "agreed": accuracy - 0.01}
    scores["judges"] = {"small": accuracy + 0.005, "plain-small": accuracy}
    return {**scores, "per_class": per_class, "pairs": []}


def relabel(a, b, retention, r=0.91):
    readings = {"a": reading(a, retention), "b": reading(b, retention + 0.1)}
    accuracies = {"judge_accuracy": 0.985, "reconstruction_accuracy": r, "ignored_label_accuracy": (1 - r) / 9}
    return {"images": 10_000, "wrong_labels": 9, "gallery": 1000, **accuracies, "readings": readings}


def make_record(model="standard", seed=0, elbo=84.0, bits=None, a=0.97, b=0.98, retention=0.4, **options):
    record = {
        "experiment": "cvae",
        "command": "python experiments/cvae.py --data mnist",
        "dataset": "mnist",
        "run": "cpu",
        "variant": model,
        "seed": seed,
        "config": {
            **{"network": "small", "latent_shape": [32], "label_dim": 16, "likelihood": "bernoulli"},
            **{"prior": "standard", "kl_weight": 1.0, "kl_warmup": 0.1, "free_bits": 0.0, "batch_size": 128},
            **{"epochs": 55, "learning_rate": 0.002, "wrong_label_share": 0.25, "adversary_weight": 0.0},
        },
        "data": {"train": 55_000, "validation": 5_000, "test": 10_000, "fingerprint": {}, "binarisation_seed": 7},
        "parameters": 1_234_567,
        "images_seen": 3_025_000,
        "validation": {"negative_elbo": elbo + 1, "epoch": 54, "relabel": None},
        "test": {
            **{"elbo": -elbo, "negative_elbo": elbo, "unconditional_nll": elbo + math.log(10), "comparable": True},
            "importance_weighted_nll": {"nll": elbo - 2.5, "samples": 500, "images": 1000},
            **{"bits_per_dim": bits, "reconstruction_error": 0.01234, "kl": 25.32},
            **{"active_units": 24, "latent_units": 32},
            "sample_accuracy": {
                **{"accuracy": 0.987, "per_class": [0.99] * 9 + [None]},
                "judges": {"small": 0.991, "plain-small": 0.987},
            },
            "relabel": relabel(a, b, retention),
        },
        "judge": {
            **{"accuracy": 0.994, "test_accuracy": 0.995, "folder": "judge/mnist/cpu/small/seed-0"},
            "judges": {"small": {"accuracy": 0.994}, "plain-small": {"accuracy": 0.996}},
        },
        "class_names": NAMES,
        "seconds": {"training": 3300.0, "evaluation": 300.0},
        "images_per_second": 916.7,
        "versions": {"python": "3.11", "tensorflow": "2.21.0", "keras": "3.15.1"},
        "hardware": HARDWARE,
    }
    record["config"] |= options.pop("config", {})
    return record | options


def colour_record(model, seed=0, a=0.3, b=0.2, retention=0.6, elbo=10_000.0, bits=4.7, **config):
    config = {"likelihood": "coupled_discretized_logistic", **config}
    record = make_record(model, seed, elbo, bits, a, b, retention, dataset="cifar10", config=config)
    record["test"]["importance_weighted_nll"] = None
    record["validation"] |= {"negative_elbo": elbo, "relabel": relabel(a + 0.02, b + 0.02, retention + 0.02)}
    return record


def energy_record(model, **values):
    """Of a model without a likelihood: no ELBO, no bits/dim."""
    record = colour_record(model, likelihood="features", **values)
    for name in ("elbo", "negative_elbo", "unconditional_nll", "importance_weighted_nll"):
        del record["test"][name]
    record["test"] |= {"bits_per_dim": None, "comparable": False}
    record["test"]["relabel"]["realism"] = {
        **{"frechet_distance": 21.34, "frechet_distance_of_real_images": 4.56},
        "images_a_class": 100.0,
    }
    return record | {"features": {"network": "base", "seed": 2, "accuracy": 0.912, "folder": "features/x"}}


def summary(results, *records):
    save(results, *records)
    sections = {section.experiment: section.write for section in SECTIONS}
    return report.write_summary(results, sections).read_text(encoding="utf-8")


def judge_record(dataset="mnist", **values):
    return {
        **{"experiment": "judge", "dataset": dataset, "run": "cpu", "variant": "small", "seed": 0},
        **{"command": f"python experiments/cvae.py --data {dataset}", "parameters": 130_000, "images_seen": 660_000},
        **{"accuracy": 0.99412, "validation_accuracy": 0.9921, "test_accuracy": 0.9952},
        "data": {"train": 55_000, "validation": 5_000, "test": 10_000, "fingerprint": {"test": dataset}},
        **{"seconds": {"training": 540.4}, "hardware": HARDWARE, "versions": {"keras": "3.15.1"}},
        **values,
    }
