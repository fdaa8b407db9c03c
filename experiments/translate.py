"""Translates English into French: the sentences named, the lines of a file, or those of standard input.

    python experiments/translate.py "Two dogs run." "Where is the station?"
    python experiments/translate.py letter.txt
    echo "Two dogs run." | python experiments/translate.py

Works at once with the weights that come with the repository. Translations go to standard output, a line each; an empty
line stays empty. A text that names an existing file is read as one.
"""

import codecs
import os
import re
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import hardware, runs
from experiments.harness.running.errors import UserError, first_line, run_main
from experiments.harness.running.parser import Parser
from tfnmt import pretrained
from tfnmt.cleaning import NARROW
from tfnmt.corpora import lines_of, read_lines

FILE_NAME = re.compile(r"\S+\.(txt|en|md|tsv|csv|gz|html|docx?|odt|rtf|pdf)|\S*/")
"""What is meant as the name of a file, even where there is none."""

BATCH = 500  # lines that are translated before the first of them are printed


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("texts", nargs="*", metavar="TEXT", help="a sentence, or a text file with one a line (default: standard input)")
    add("--weights", type=Path, metavar="FILE",
        help="your own model.keras, with its tokenizer.json beside it (default: the included)")  # fmt: skip
    add("--beam", type=runs.whole(1), default=5, help="width of the beam; 1 is greedy search (default: %(default)s)")
    add("--penalty", type=runs.number(0), default=1.0, help="of length; 0 prefers short translations")
    return parser.parse_args(argv)


def read_texts(texts):
    """The lines to translate, in order; raises `UserError` for a file that is no text."""
    lines = []
    for text in texts:
        if os.path.isfile(text):
            try:
                lines += read_lines(text)
            except (ValueError, OSError) as error:
                raise UserError(f"can't read {text}: {first_line(error)}") from None
        elif FILE_NAME.fullmatch(text):
            missing = "is a folder" if os.path.isdir(text) else "does not exist"
            raise UserError(f"{text} {missing}; name a text file, or put a sentence in quotes")
        elif not text.isprintable() and text != text.encode(errors="replace").decode():
            raise UserError(f"{ascii(text)} is not UTF-8 text; set the terminal to UTF-8")
        else:
            lines += text.split("\n")
    return lines


def read_input():
    """The lines of standard input."""
    if sys.stdin is None:
        raise UserError("standard input is closed; name a sentence or a text file")
    if sys.stdin.isatty():
        print("Type English, a sentence a line; Ctrl-D ends.", file=sys.stderr)
    try:
        return lines_of(sys.stdin.buffer.read())
    except ValueError as error:
        raise UserError(f"standard input is not UTF-8 text ({error})") from None


def load(weights):
    """Imports TensorFlow and loads a model with its tokenizer; says on standard error which."""
    names = pretrained.included()
    if not weights and not names:
        raise UserError("no weights are included; train a model with experiments/nmt.py, then name it with --weights")
    if weights and not weights.is_file():
        raise UserError(f"{weights} does not exist")
    print("Starting TensorFlow ...", file=sys.stderr, flush=True)
    hardware.import_tensorflow()
    try:
        if weights:
            return pretrained.load_trained(weights)
        record = pretrained.read_record(names[0])
        loaded = pretrained.load(names[0])
    except (ValueError, OSError) as error:
        raise UserError(f"can't load {weights or 'the included weights'}: {first_line(error)}") from None
    print(f"Model: {record['variant']}, trained on {record['dataset']}, test BLEU {record['test']['bleu']:.1f}",
          file=sys.stderr)  # fmt: skip
    return loaded


def main():
    args = parse_arguments()
    lines = read_texts(args.texts) if args.texts else read_input()
    if not any(line.strip() for line in lines):
        raise UserError("there is no text to translate")
    model, tokenizer = load(args.weights)
    is_utf8 = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    sys.stdout.reconfigure(errors="replace")  # of what the terminal's encoding lacks
    from tfnmt.translate import Translator

    longest = None if args.weights else pretrained.LONGEST
    translator = Translator(model, tokenizer, args.beam, args.penalty, longest=longest)
    try:
        for start in range(0, len(lines), BATCH):
            for text in translator.translate(lines[start : start + BATCH]):
                print(text if is_utf8 else text.replace(NARROW, " "), flush=True)
    except KeyboardInterrupt:
        print("interrupted: what is printed above is translated", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly where nobody reads on, as before `| head`
    sys.exit(run_main(main))
