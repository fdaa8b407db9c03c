import errno
import http.server
import socket
import threading

import pytest

from experiments.harness.data import downloads
from experiments.harness.running.errors import UserError


@pytest.fixture
def server(monkeypatch):
    """A local server that has `/there` and keeps a list of what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(200 if self.path.endswith("/there") else 404)
            self.end_headers()

        def log_message(self, *args):
            pass

    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    instance = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=instance.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{instance.server_port}", asked
    instance.shutdown()
    instance.server_close()


@pytest.mark.parametrize(
    "name, server, megabytes",
    [
        ("oxford_iiit_pet", "thor.robots.ox.ac.uk", 811),
        ("mnist", "storage.googleapis.com", 12),
        ("cifar10", "www.cs.toronto.edu", 170),
    ],
)
def test_download_servers_come_from_tfds_own_tables(name, server, megabytes):
    url, size = downloads.find_download(name)
    assert url.startswith(f"https://{server}/") and downloads.host(url) == server
    assert round(size / 1e6) == megabytes


def test_probe_tells_a_file_that_is_there_from_one_that_is_not(server):
    address, asked = server
    assert downloads.probe(f"{address}/there") == ""
    assert downloads.probe(f"{address}/gone") == "HTTP status 404"
    assert asked == ["/there", "/gone"]


def test_probe_goes_through_the_proxy_of_the_environment(server, monkeypatch):
    address, asked = server
    monkeypatch.setenv("http_proxy", address)
    assert downloads.probe("http://data.invalid/there") == ""
    assert asked == ["http://data.invalid/there"]
    monkeypatch.setenv("no_proxy", "data.invalid")
    assert downloads.probe("http://data.invalid/there") != ""
    assert len(asked) == 1


def test_probe_of_a_server_that_stays_silent_ends_in_time(monkeypatch):
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problem = downloads.probe(f"http://127.0.0.1:{silent.getsockname()[1]}/there")
    assert problem in ("timed out", "no answer within 0.3 s")


def test_failed_download_is_one_line_but_a_full_disk_stays_itself(monkeypatch):
    import tensorflow_datasets as tfds

    def failing(error):
        def builder(name, data_dir):
            raise error

        monkeypatch.setattr(tfds, "builder", builder)

    failing(ConnectionError("reset by peer\nmore"))
    with pytest.raises(UserError, match=r"downloading mnist to data failed \(ConnectionError: reset by peer\); run"):
        downloads.download_and_prepare("mnist", "data")
    full = OSError(errno.ENOSPC, "No space left on device")
    failing(full)
    with pytest.raises(OSError) as raised:
        downloads.download_and_prepare("mnist", "data")
    assert raised.value is full
