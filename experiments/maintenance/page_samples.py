"""Writes the test images that the page offers: the first five of each class, in the dataset's order.

python experiments/maintenance/page_samples.py              # of every dataset whose weights are included
python experiments/maintenance/page_samples.py mnist
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.harness.data import datasets
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser
from tfcvae import pretrained

SEARCHED = 500
"""Test images among which the first of each class are looked for."""


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help=f"any of {', '.join(pretrained.included())}")
    parser.add_argument("--data-dir", help="folder of prepared TFDS datasets (default: TFDS_DATA_DIR, else TFDS's own)")
    return parser.parse_args(argv)


def main():
    args = parse_arguments()
    from experiments.page.relabelling import SAMPLES, write_samples
    from tfcvae.data import to_arrays

    for name in args.datasets or pretrained.included():
        choice = datasets.choose(name, name, "", args.data_dir)
        examples = datasets.load_splits(choice, {"test": f"test[:{SEARCHED}]"})["test"]
        images, labels = to_arrays(examples)
        if len(set(labels.tolist())) != len(pretrained.read_record(name)["class_names"]):
            raise UserError(f"the first {SEARCHED} test images of {name} do not show all of its classes")
        write_samples(SAMPLES / f"{name}.png", images, labels)
        print(SAMPLES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(run_main(main))
