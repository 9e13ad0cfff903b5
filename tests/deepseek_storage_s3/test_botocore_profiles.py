"""Profiles that assume a role: botocore's part, with STS on this machine and a real server."""

import pytest
from role_servers import KeyGate, RoleServer
from slow_proxy import Fault, SlowProxy

from deepseek_core import errors
from deepseek_storage_s3.tier import open_tier
from deepseek_storage_s3.vendor_errors import KeysMissing

pytest.importorskip("botocore", reason="pip install botocore")

ROLE = "arn:aws:iam::123456789012:role/test"
SECRET = "canary-of-the-source-profile"


@pytest.fixture
def gate(s3_server):
    with KeyGate(s3_server) as gate:
        yield gate


@pytest.fixture
def roles(gate, monkeypatch):
    with RoleServer(gate) as roles:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", roles.endpoint)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield roles


@pytest.fixture
def tier(gate, s3_bucket, tmp_path):
    """A place behind the gate, by a profile that is written first."""

    def open_by(config, credentials="", **options):
        (tmp_path / "config").write_text(config)
        (tmp_path / "credentials").write_text(credentials)
        query = "".join(f"&{name}={value}" for name, value in options.items())
        url = f"s3://{s3_bucket}/botocore?profile=lab&endpoint={gate.endpoint}{query}"
        return open_tier(url)

    return open_by


def works(tier):
    with tier:
        tier.delete("object")
        assert tier.put_if_absent("object", b"x")
        assert tier.get("object") == b"x"


BY_SOURCE = f"[profile lab]\nrole_arn = {ROLE}\nsource_profile = source\nexternal_id = 77\n"
SOURCE = f"[source]\naws_access_key_id = AKIASOURCE\naws_secret_access_key = {SECRET}\n"


def test_a_role_by_the_keys_of_another_profile(tier, roles):
    works(tier(BY_SOURCE, SOURCE))
    (form,) = roles.forms
    assert (form["Action"], form["RoleArn"], form["ExternalId"]) == ("AssumeRole", ROLE, "77")


def test_a_role_by_the_role_of_a_container(tier, roles, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{roles.endpoint}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", roles.token)
    works(tier(f"[profile lab]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\n"))
    assert "GET /container" in roles.requests


def test_a_role_that_is_refused_is_told(tier, roles):
    roles.status = 403
    with pytest.raises(KeysMissing, match=r"AssumeRole was refused: Injected") as caught:
        tier(BY_SOURCE, SOURCE).get("x")
    assert SECRET not in str(caught.value) and "get-caller-identity" in caught.value.remedy


def test_a_source_profile_that_is_not_there_is_told(tier, roles):
    with pytest.raises(KeysMissing, match=r"source") as caught:
        tier(BY_SOURCE).get("x")
    assert "--profile lab" in caught.value.remedy


def test_single_sign_on_that_has_expired_is_told(tier, roles):
    config = (
        "[profile lab]\nsso_session = mine\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session mine]\nsso_region = us-east-1\nsso_start_url = https://x.awsapps.com/start\n"
    )
    with pytest.raises(KeysMissing, match=r"SSO|[Tt]oken") as caught:
        tier(config).get("x")
    assert "aws" in caught.value.remedy


def test_roles_are_assumed_anew_before_they_expire(tier, roles, gate):
    roles.lasts_s = 100
    opened = tier(BY_SOURCE, SOURCE)
    opened.delete("object")
    assert opened._client._keys.forget()
    works(opened)
    assert len(roles.forms) > 1


def test_an_sts_that_is_away_is_an_outage(tier, roles, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with SlowProxy(roles.port) as line:
        line.fail(Fault("reset"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", line.endpoint)
        with pytest.raises(errors.TierUnavailable) as caught:
            tier(BY_SOURCE, SOURCE, retries=0).get("x")
    assert caught.value.retryable
