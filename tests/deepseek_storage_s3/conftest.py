"""One bucket of the real server for all of these tests, and tiers in it that are closed."""

import os

import pytest
from slow_proxy import SlowProxy

from deepseek_storage_s3.tier import open_tier

# Faults are tried again at once and not for long: no test waits for the usual limits.
QUICK = {"timeout_s": 5, "retries": 3, "give_up_s": 20}


@pytest.fixture(scope="session")
def s3_bucket(s3_server):
    return s3_server.make_bucket()


@pytest.fixture
def open_s3(s3_server, s3_bucket):
    """Opens a prefix of the bucket; options beat those that lead to the server."""
    opened = []

    def open_at(prefix, bucket=s3_bucket, **options):
        opened.append(open_tier(s3_server.url(bucket, prefix, **options)))
        return opened[-1]

    yield open_at
    for tier in opened:
        tier.close()


@pytest.fixture
def proxy(s3_server):
    """A line to the server that can be made faulty."""
    with SlowProxy(s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def far(open_s3, proxy, request):
    """A tier behind that line, in a prefix of its own."""
    return open_s3(f"far/{request.node.name}", endpoint=proxy.endpoint, **QUICK)


@pytest.fixture(autouse=True)
def nothing_of_aws(monkeypatch, tmp_path):
    """No keys and settings of whoever runs these tests, and no service beyond this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
