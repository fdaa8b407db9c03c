"""Opens a page in the browser: photo to mask, image under any label, English to French.

    python experiments/app.py
    python experiments/app.py --port 8000 --no-browser
    python experiments/app.py --weights results/unet/oxford_iiit_pet/cpu/mp-tr-dice/seed-0/model.keras

Works at once with the weights that come with the repository, without network. Only this machine can open the page.
Nothing is sent anywhere; what was uploaded is deleted when the page's server ends. Ctrl-C ends it.

Needs Gradio: pip install ".[app]"
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import hardware, runs
from experiments.harness.running.errors import UserError, run_main
from experiments.harness.running.parser import Parser

LOOPBACK = "127.0.0.1"


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--host", default=LOOPBACK, metavar="ADDRESS", help="address to listen on (default: %(default)s, loopback)")
    add("--port", type=runs.whole(1), metavar="N", help="port to listen on (default: the first free one from 7860)")
    add("--weights", nargs="+", default=[], type=Path, metavar="FILE", help="your own model.keras for photos")
    add("--no-browser", action="store_true", help="print the page's address and open no browser")
    args = parser.parse_args(argv)
    if args.port and args.port > 65535:
        parser.error(f"argument --port: must be at most 65535, received {args.port}")
    return args


def main():
    args = parse_arguments()
    if importlib.util.find_spec("gradio") is None:
        raise UserError('the page needs Gradio, an optional package; install it by pip install ".[app]"')
    for path in args.weights:
        if not path.is_file():
            raise UserError(f"--weights {path} is not a file")
    print("Starting TensorFlow ...", flush=True)
    hardware.import_tensorflow()
    with tempfile.TemporaryDirectory(prefix="page-") as folder:
        # Read when Gradio is imported: where uploads go, and that nothing is sent to anyone.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
        for name in ("NO_PROXY", "no_proxy"):  # or Gradio looks for its own server behind the proxy
            os.environ[name] = ",".join(filter(None, [os.environ.get(name), LOOPBACK, "localhost"]))
        from experiments.page import server

        if args.host != LOOPBACK:
            print(f"Listening on {args.host}: everyone who reaches this address can use the page.")
        server.serve(Path(folder), args.host, args.port, args.weights, browser=not args.no_browser)


if __name__ == "__main__":
    sys.exit(run_main(main))
