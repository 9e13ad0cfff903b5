"""Temporary keys of roles, from servers as Amazon's machines have them, before a real server."""

import logging
import time

import pytest
from role_servers import KeyGate, RoleServer
from slow_proxy import Fault, SlowProxy

from deepseek_core import errors
from deepseek_storage_s3 import keys
from deepseek_storage_s3.tier import open_tier
from deepseek_storage_s3.vendor_errors import AccessRefused, KeysExpired, KeysMissing

BODY = b"bytes of a role"


@pytest.fixture
def gate(s3_server):
    with KeyGate(s3_server) as gate:
        yield gate


@pytest.fixture
def roles(gate):
    with RoleServer(gate) as roles:
        yield roles


@pytest.fixture
def tier(gate, s3_bucket, request):
    """Opens a place behind the gate, with no keys in the URL."""
    opened = []

    def open_at(**options):
        query = "".join(f"&{name}={value}" for name, value in options.items())
        place = f"s3://{s3_bucket}/roles/{request.node.name.partition('[')[0]}"
        opened.append(open_tier(f"{place}?endpoint={gate.endpoint}{query}"))
        return opened[-1]

    yield open_at
    for each in opened:
        each.close()


def works(tier):
    tier.delete("object")
    assert tier.put_if_absent("object", BODY)
    assert tier.get("object") == BODY
    assert [found.key for found in tier.list()] == ["object"]


@pytest.fixture
def container(roles, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{roles.endpoint}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", roles.token)


@pytest.fixture
def instance(roles, monkeypatch):
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", roles.endpoint)


@pytest.fixture
def identity(roles, monkeypatch, tmp_path):
    (tmp_path / "token").write_text(roles.token + "\n")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", roles.endpoint)


def test_the_role_of_an_instance(tier, roles, instance):
    works(tier())
    assert roles.requests[0] == "PUT /latest/api/token"
    assert len(roles.requests) == 3, "all connections share what was given once"


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_an_instance_with_the_older_service_only(tier, roles, instance, status):
    roles.instance_token_status = status
    works(tier())


def test_an_instance_whose_newer_service_is_not_heard(tier, roles, instance):
    roles.instance_token_waits_s = 3.0
    works(tier())


def test_a_refusal_without_a_body_is_understood_too(tier, roles, container, gate):
    opened = tier()
    works(opened)
    gate.revoke()
    assert opened.stat("object").nbytes == len(BODY)
    roles.lasts_s = -10
    gate.revoke()
    with pytest.raises(KeysExpired, match=r"HTTP 400 ExpiredToken"):
        opened.stat("object")


def test_the_older_service_may_be_forbidden(tier, roles, instance, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", "true")
    roles.instance_token_status = 403
    with pytest.raises(KeysMissing, match=r"role of this instance.*HTTP 403"):
        tier().get("object")


def test_the_role_of_a_container(tier, roles, container):
    works(tier())
    assert roles.requests == ["GET /container"]


def test_the_token_of_a_container_may_lie_in_a_file(tier, roles, container, monkeypatch, tmp_path):
    (tmp_path / "token").write_text(roles.token)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "an older one")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    works(tier())


def test_a_wrong_token_of_a_container_is_told(tier, container, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary-of-a-token")
    with pytest.raises(KeysMissing, match=r"container: .*HTTP 401 Unauthorized") as caught:
        tier().get("object")
    assert "canary" not in str(caught.value) and "AWS_CONTAINER" in caught.value.remedy


def test_no_token_goes_out_without_tls(tier, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://keys.example/container")
    with pytest.raises(errors.ConfigError, match="without TLS"):
        tier()


def test_a_role_by_web_identity(tier, roles, identity):
    works(tier())
    (form,) = roles.forms
    assert form["RoleArn"] == "arn:aws:iam::123456789012:role/test"


def test_a_web_identity_that_sts_refuses_is_told(tier, roles, identity, tmp_path):
    (tmp_path / "token").write_text("canary-of-a-token")
    with pytest.raises(KeysMissing, match="HTTP 400 InvalidIdentityToken") as caught:
        tier().get("object")
    assert "canary" not in repr(caught.value) and "AWS_ROLE_ARN" in caught.value.remedy
    (tmp_path / "token").unlink()
    with pytest.raises(KeysMissing, match="No such file"):
        tier().get("object")


def test_keys_are_renewed_before_they_expire(tier, roles, container, gate, monkeypatch):
    monkeypatch.setattr(keys, "_PAUSE_S", 0.0)
    roles.lasts_s = 299  # less than is waited for
    opened = tier()
    works(opened)
    time.sleep(0.2)  # obstore asks no more often than each 100 ms
    works(opened)
    assert len(set(gate.used)) > 1
    assert len(roles.requests) > 2


def test_keys_that_are_good_serve_while_their_server_is_away(
    tier, roles, container, monkeypatch, caplog
):
    monkeypatch.setattr(keys, "_PAUSE_S", 0.0)
    roles.lasts_s = 299
    opened = tier()
    works(opened)
    roles.status = 500
    with caplog.at_level(logging.WARNING):
        works(opened)
    assert "were not renewed yet" in caplog.text


def test_keys_that_expire_too_early_are_asked_for_anew(tier, roles, container, gate):
    opened = tier()
    works(opened)
    gate.revoke()
    works(opened)
    assert len(roles.requests) == 2


def test_keys_that_stay_expired_are_told(tier, roles, container, gate):
    opened = tier()
    works(opened)
    roles.lasts_s = -10
    gate.revoke()
    with pytest.raises(KeysExpired, match=r"ExpiredToken.*expired") as caught:
        opened.get("object")
    assert not caught.value.retryable and "renew" in caught.value.remedy
    roles.lasts_s = 3600
    works(opened)


def test_a_server_of_keys_that_is_away_for_a_moment_is_asked_again(
    tier, roles, container, monkeypatch
):
    with SlowProxy(roles.port) as line:
        line.fail(Fault("status", 503), times=2)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{line.endpoint}/container")
        works(tier())
    assert len(line.requests) == 3


def test_a_server_of_keys_that_stays_away_is_an_outage(tier, roles, container):
    roles.status = 503
    with pytest.raises(errors.TierUnavailable, match=r"HTTP 503.*3 tries") as caught:
        tier(retries=2).get("object")
    assert caught.value.retryable and not isinstance(caught.value, AccessRefused)


def test_no_keys_anywhere_is_told_at_once_and_as_such(tier, monkeypatch):
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(KeysMissing, match=r"no keys for S3.*refused") as caught:
        tier().get("object")
    assert " tries in " not in str(caught.value)
    assert "AWS_PROFILE" in caught.value.remedy and not caught.value.retryable


def test_a_server_of_keys_that_hangs_is_given_up(tier, roles, container, monkeypatch):
    with SlowProxy(roles.port) as line:
        line.fail(Fault("hang"))
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{line.endpoint}/container")
        with pytest.raises(errors.TierUnavailable, match="no answer within 2 s"):
            tier(retries=0).get("object")


def test_no_secret_of_a_role_is_shown(tier, roles, container, gate, caplog):
    caplog.set_level(logging.DEBUG)
    opened = tier()
    works(opened)
    roles.lasts_s = -10
    gate.revoke()
    with pytest.raises(KeysExpired) as caught:
        opened.get("object")
    client = opened._client
    seen = [repr(opened), repr(vars(opened)), repr(vars(client)), repr(vars(client._keys))]
    seen += [repr(client._keys._source), str(caught.value), caplog.text]
    seen += [repr(store.config) + repr(store) for store in client.stores.values()]
    for each in gate.issued.values():
        for secret in (each.secret_key, each.token, roles.token):
            assert secret not in "".join(seen)
