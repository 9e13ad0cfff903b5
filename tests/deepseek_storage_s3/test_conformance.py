"""The promises of a tier, on a real server."""

import subprocess
import sys

import pytest


def test_it_conforms(s3_server, s3_bucket, monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSEEK_S3_CHECK_URL", s3_server.url(s3_bucket, "checks"))
    command = [sys.executable, "-P", "-m", "deepseek_core", "check-plugin", "storage_s3"]
    run = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "conforms" in run.stdout
    assert "skipped" not in run.stdout


@pytest.mark.parametrize("prefix", ["a", "a/b"])
def test_a_prefix_is_a_tier_of_its_own(open_s3, prefix):
    inner, outer = open_s3(f"own/{prefix}"), open_s3("own")
    assert inner.put_if_absent("object", prefix.encode())
    assert inner.get("object") == outer.get(f"{prefix}/object") == prefix.encode()
    assert "object" in [found.key for found in inner.list()]
    assert f"{prefix}/object" in [found.key for found in outer.list(prefix)]
    inner.delete("object")
    assert f"{prefix}/object" not in [found.key for found in outer.list()]
