"""TFDS downloads: whether one is possible, known within seconds and before TensorFlow is imported, and doing it."""

import errno
import http.client
import importlib.util
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from experiments.harness.running.errors import UserError, first_line

PROBE_SECONDS = 6


def find_download(name):
    """Looks a TFDS name, with or without a config, up in the checksum tables that come with TFDS.

    Returns:
        `(url, size)`: address of its first file, and bytes of all its files; `(None, 0)` for a name not in the tables.
    """
    spec = importlib.util.find_spec("tensorflow_datasets")  # finds the package without importing it
    dataset = name.split("/")[0]
    for root in spec.submodule_search_locations if spec and dataset.isidentifier() else []:
        for table in (f"datasets/{dataset}/checksums.tsv", f"url_checksums/{dataset}.txt"):
            path = Path(root, table)
            lines = path.read_text().splitlines() if path.is_file() else []
            rows = [line.split("\t") if "\t" in line else line.rsplit(" ", 2) for line in lines if line[:1] != "#"]
            files = [(urllib.parse.quote(row[0], safe="/:?&=%+~"), int(row[1])) for row in rows if len(row) > 2]
            if files:
                return files[0][0], sum(size for _, size in files)
    return None, 0


def host(url):
    """The server's name in a URL."""
    return urllib.parse.urlsplit(url).hostname


def probe(url):
    """Asks a server for the header of a file, through the proxy that the environment sets, if any.

    Returns an empty string if the file is there, else what went wrong, in a few words. Name resolution has no timeout
    of its own, so the request runs in a thread that is left behind after `PROBE_SECONDS`.
    """
    problem = [f"no answer within {PROBE_SECONDS} s"]

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            opener = urllib.request.build_opener()  # unlike urlopen, reads the proxy settings each time
            with opener.open(request, timeout=PROBE_SECONDS):
                problem[0] = ""
        except urllib.error.HTTPError as error:
            problem[0] = f"HTTP status {error.code}"
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a malformed proxy address
            problem[0] = str(getattr(error, "reason", error)) or type(error).__name__

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return problem[0]


def download_and_prepare(name, data_dir, check=None):
    """Lets TFDS download a dataset and prepare it in `data_dir`, with its progress bars.

    `check` is called with the dataset's features before that, and raises `UserError` for others than are needed. What
    fails is a `UserError`, except for a full disk, which stays an `OSError`.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if check:
            check(builder.info.features)
        builder.download_and_prepare()
    except UserError:
        raise
    except Exception as error:  # TFDS lets whatever its HTTP and archive libraries raise through
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise UserError(
            f"downloading {name} to {data_dir} failed ({type(error).__name__}: {first_line(error)}); run the same "
            f"command again, or run {prepare_command(name)} elsewhere and pass its tensorflow_datasets as --data-dir"
        ) from error


def prepare_command(name):
    """The shell command that downloads and prepares a dataset without this project."""
    return f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\"`"
