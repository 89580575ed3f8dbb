"""A container of Azurite, the emulator of Azure's blobs; where `npx azurite` is not installed these are skipped.

AZURITE_BLOB=/path/to/node_modules/.bin/azurite-blob names it; it is started on loopback, and stopped.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from snapstore.backends import Backend
from snapstore.backends.cloud import CloudBackend
from snapstore.errors import Unavailable
from tests.backends.contract import BackendContract, repository_lives_in

# The account that every Azurite has; it is printed in its documentation.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PROGRAM = os.environ.get("AZURITE_BLOB") or shutil.which("azurite-blob")

pytestmark = pytest.mark.skipif(not PROGRAM, reason="azurite-blob is not installed (npm install azurite)")
_names = count()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("azurite")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert PROGRAM
    words = [PROGRAM, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent",
             "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    try:
        for _ in range(300):
            try:
                _make_container(url, "container")
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield url
    finally:
        running.terminate()
        running.wait()


def _make_container(url: str, name: str) -> None:
    """PUT container, signed as Azure wants it (the library makes none)."""
    date = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-08-06"
    signed = (
        f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{name}\n"
        "restype:container"
    )
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    request = urllib.request.Request(f"{url}/{name}?restype=container", method="PUT")
    for header, value in {
        "x-ms-date": date,
        "x-ms-version": version,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
    }.items():
        request.add_header(header, value)
    with urllib.request.urlopen(request):
        pass


@pytest.fixture
def bucket(emulator: str, monkeypatch: pytest.MonkeyPatch) -> CloudBackend:
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_STORAGE_ENDPOINT": emulator,
    }.items():
        monkeypatch.setenv(name, value)
    return CloudBackend(f"az://container/tests/{next(_names)}", allow_http=True)


class TestAzure(BackendContract):
    @pytest.fixture
    def backend(self, bucket: CloudBackend) -> Backend:
        return bucket


def test_a_repository_lives_in_a_container(bucket: CloudBackend) -> None:
    made = CloudBackend(bucket.location, create=True, allow_http=True)
    repository_lives_in(made, CloudBackend(bucket.location, allow_http=True))


def test_a_wrong_key_is_told_without_it(bucket: CloudBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = base64.b64encode(b"wrong" * 12).decode()
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", wrong)
    with pytest.raises(Unavailable) as caught:
        CloudBackend(bucket.location, allow_http=True).get("config")
    assert "credentials" in caught.value.hint
    assert wrong not in caught.value.message
