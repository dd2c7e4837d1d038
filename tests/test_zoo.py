"""Published weights by name: fetched from a server in this process, never from the network."""

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from osnet_encoder.checkpoints import write_checkpoint
from osnet_encoder.errors import WeightsError
from osnet_encoder.untrained import formula_tensors
from osnet_encoder.weights import load
from osnet_encoder.zoo import ZOO, ZooEntry, fetch

constants = pytest.importorskip("huggingface_hub.constants")
pytestmark = pytest.mark.skipif(constants.HF_HUB_OFFLINE, reason="HF_HUB_OFFLINE is set")

CONTENT = b"the numbers of a network"
ENTRY = ZooEntry("some.pth", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def online(monkeypatch):
    for name in ("OSNET_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """A hub that knows the files put into `files`, by path, and keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            content = server.files.get(self.path)
            server.requests.append((self.command, self.path, self.headers.get("Authorization")))
            if content is None:
                self.send_error(404, "No such file")
                return None
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", ENTRY.revision)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return content

        def do_GET(self):
            if content := self.do_HEAD():
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files = {f"/{ENTRY.repository}/resolve/{ENTRY.revision}/some.pth": CONTENT}
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def by_hand(entry=ENTRY):
    url = f"https://huggingface.co/{entry.repository}/resolve/{entry.revision}/{entry.file_name}"
    return f"or download {url} yourself and name the file: --weights FILE"


def test_the_zoo_is_pinned_and_has_the_published_names():
    assert list(ZOO) == [
        "osnet_x1_0_imagenet", "osnet_x1_0_market1501", "osnet_x1_0_msmt17",
        "osnet_ibn_x1_0_msmt17", "osnet_ain_x1_0_msmt17", "osnet_x0_25_msmt17",
    ]  # fmt: skip
    for entry in ZOO.values():
        assert (entry.repository, entry.revision) == (
            "kaiyangzhou/osnet",
            "a5c5cc037c24235cda3b21085b93ad77c9616224",
        )
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
    assert ZOO["osnet_x1_0_msmt17"].file_name == (
        "osnet_x1_0_msmt17_combineall_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip_jitter.pth"
    )
    assert ZOO["osnet_x1_0_market1501"].file_name == (
        "osnet_x1_0_market_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip.pth"
    )
    assert ZOO["osnet_x1_0_imagenet"].url == (
        "https://huggingface.co/kaiyangzhou/osnet/resolve/a5c5cc037c24235cda3b21085b93ad77c9616224/"
        "osnet_x1_0_imagenet.pth"
    )


def test_a_file_is_downloaded_once_and_without_anybodys_credentials(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    path = fetch(ENTRY, cache_dir=tmp_path, endpoint=server.url)
    assert path.read_bytes() == CONTENT
    assert [(method, token) for method, _, token in server.requests] == [("HEAD", None), ("GET", None)]
    assert fetch(ENTRY, cache_dir=tmp_path, endpoint=server.url) == path
    assert len(server.requests) == 2


def test_a_file_of_unknown_hash_is_taken_from_the_pinned_revision(server, tmp_path):
    entry = dataclasses.replace(ENTRY, sha256=None)
    assert fetch(entry, cache_dir=tmp_path, endpoint=server.url).read_bytes() == CONTENT


def test_a_file_of_another_hash_is_refused_on_every_call(server, tmp_path):
    entry = dataclasses.replace(ENTRY, sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(WeightsError) as caught:
            fetch(entry, cache_dir=tmp_path, endpoint=server.url)
        path = fetch(ENTRY, cache_dir=tmp_path, offline=True)
        assert str(caught.value) == (
            f"{path.resolve()} is damaged: sha256 {ENTRY.sha256}, wanted {'0' * 64}; delete it and try again"
        )


def test_a_file_that_rots_in_the_cache_is_refused_until_it_is_deleted(server, tmp_path):
    file = fetch(ENTRY, cache_dir=tmp_path, endpoint=server.url).resolve()
    file.write_bytes(CONTENT[:-1])
    with pytest.raises(
        WeightsError, match=f"^{re.escape(str(file))} is damaged: sha256 .*; delete it and try again$"
    ):
        fetch(ENTRY, cache_dir=tmp_path, endpoint=server.url)
    file.unlink()
    assert fetch(ENTRY, cache_dir=tmp_path, endpoint=server.url).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("variable", "value", "offline"),
    [
        ("OSNET_OFFLINE", "1", None),
        ("OSNET_OFFLINE", "yes please", None),
        ("HF_HUB_OFFLINE", "ON", None),
        ("OSNET_OFFLINE", "0", True),
    ],
)
def test_offline_nothing_is_asked_of_the_network(server, tmp_path, monkeypatch, variable, value, offline):
    monkeypatch.setenv(variable, value)
    with pytest.raises(WeightsError) as caught:
        fetch(ENTRY, offline=offline, cache_dir=tmp_path, endpoint=server.url)
    assert str(caught.value) == f"some.pth is not in the cache, and offline nothing is downloaded; {by_hand()}"
    assert server.requests == []


@pytest.mark.parametrize(("value", "offline"), [("0", None), ("", None), (" False ", None), ("1", False)])
def test_online_the_cache_is_filled(server, tmp_path, monkeypatch, value, offline):
    monkeypatch.setenv("OSNET_OFFLINE", value)
    assert fetch(ENTRY, offline=offline, cache_dir=tmp_path, endpoint=server.url).read_bytes() == CONTENT


def test_a_file_that_cannot_be_had_says_what_to_do_by_hand(server, tmp_path):
    server.files.clear()
    with pytest.raises(WeightsError) as caught:
        fetch(ENTRY, cache_dir=tmp_path, endpoint=server.url)
    message = str(caught.value)
    assert message.startswith("cannot download some.pth (")
    assert "404" in message
    assert message.endswith(f"; {by_hand()}")
    assert "\n" not in message


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://127.0.0.1"])
def test_a_hub_whose_address_is_none_cannot_be_asked(tmp_path, endpoint):
    with pytest.raises(WeightsError, match=r"^cannot download some\.pth \("):
        fetch(ENTRY, cache_dir=tmp_path, endpoint=endpoint)


def test_a_cache_that_cannot_be_written_is_our_error(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"^cannot download some\.pth \("):
        fetch(ENTRY, cache_dir=tmp_path / "file", endpoint=server.url)


def test_without_the_hub_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError) as caught:
        fetch(ENTRY, cache_dir=tmp_path)
    assert str(caught.value) == (
        f'weights by name need huggingface_hub: pip install "osnet-encoder[hub]"; {by_hand()}'
    )


def test_a_name_of_the_zoo_loads_from_the_server_that_the_environment_names(server, tmp_path):
    tensors = formula_tensors("osnet_x0_25", num_classes=3)
    write_checkpoint(tmp_path / "published", tensors, {})  # by content, not by its name, is it told
    content = (tmp_path / "published").read_bytes()
    server.files = {f"/kaiyangzhou/osnet/resolve/{ENTRY.revision}/osnet_x1_0_imagenet.pth": content}
    code = (
        "from osnet_encoder.weights import load\n"
        "weights = load('osnet_x1_0_imagenet')\n"
        "print(weights.source, weights.variant, weights.num_classes, weights.sha256)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["osnet_x1_0_imagenet", "osnet_x0_25", "3", hashlib.sha256(content).hexdigest()]


def test_a_name_of_the_zoo_that_is_not_cached_is_refused_offline(tmp_path):
    with pytest.raises(WeightsError) as caught:
        load("osnet_ain_x1_0_msmt17", offline=True, cache_dir=tmp_path)
    entry = ZOO["osnet_ain_x1_0_msmt17"]
    assert str(caught.value) == (
        f"{entry.file_name} is not in the cache, and offline nothing is downloaded; {by_hand(entry)}"
    )
