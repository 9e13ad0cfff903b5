"""Which keys count, and which region and endpoint, as AWS tools have it."""

import json
import shlex
import stat
import sys
from pathlib import Path

import pytest

from deepseek_core import errors
from deepseek_storage_s3 import key_chain, keys
from deepseek_storage_s3.options import parse
from deepseek_storage_s3.tier import open_tier
from deepseek_storage_s3.vendor_errors import KeysMissing

CANARY = "canary-51b7d2"


@pytest.fixture
def files(tmp_path):
    """Writes ~/.aws/credentials and ~/.aws/config of these tests."""

    def write(credentials="", config=""):
        (tmp_path / "credentials").write_text(credentials)
        (tmp_path / "config").write_text(config)

    return write


def found(url="s3://bucket"):
    """The source and the access key that count."""
    source = key_chain.find(parse(url))
    return source.words, source.fetch().access_key


def pair(key, secret="s"):
    return f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


def process(folder, answer, code=0):
    """A program that prints keys, as `credential_process` wants it."""
    program = folder / "a program"
    told = json.dumps(answer)
    program.write_text(f"#!{sys.executable}\nprint({told!r})\nraise SystemExit({code})\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return shlex.quote(str(program))


def test_the_order_is_that_of_aws_tools(files, tmp_path, monkeypatch):
    """From the last place to the first: each new one beats those before."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    assert "role of this instance" in key_chain.find(parse("s3://bucket")).words
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role")
    assert "role of this container" in key_chain.find(parse("s3://bucket")).words
    config = f"[default]\n{pair('in-config')}"
    files(config=config)
    assert found() == ("profile default", "in-config")
    given = {"Version": 1, "AccessKeyId": "of-program", "SecretAccessKey": "s"}
    config += f"credential_process = {process(tmp_path, given)}\n"
    files(config=config)
    assert found() == ("credential_process of profile default", "of-program")
    credentials = f"[default]\n{pair('in-credentials')}"
    files(credentials, config)
    assert found() == ("profile default", "in-credentials")
    config += "sso_session = mine\n"
    files(credentials, config)
    assert "SSO" in key_chain.find(parse("s3://bucket")).words
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
    assert "web identity" in key_chain.find(parse("s3://bucket")).words
    config += "role_arn = arn:aws:iam::1:role/y\nsource_profile = default\n"
    files(credentials, config)
    assert "assumes a role" in key_chain.find(parse("s3://bucket")).words
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "in-variable")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert found() == ("variable AWS_ACCESS_KEY_ID", "in-variable")
    monkeypatch.setenv("MINE", "in-url")
    assert found("s3://bucket?access_key=env:MINE&secret_key=env:MINE") == ("the URL", "in-url")


def test_a_profile_of_the_url_beats_variables(files, monkeypatch):
    files(f"[lab]\n{pair('of-lab')}\n[other]\n{pair('of-other')}")
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert found()[1] == "of-other"
    assert found("s3://bucket?profile=lab")[1] == "of-lab"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "in-variable")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert found()[1] == "in-variable"
    assert found("s3://bucket?profile=lab")[1] == "of-lab"


def test_profiles_have_their_own_words_in_each_file(files, monkeypatch):
    files(config=f'[profile "of the lab"]\n{pair("quoted")}[profile plain]\n{pair("plain")}')
    monkeypatch.setenv("AWS_PROFILE", "of the lab")
    assert found()[1] == "quoted"
    monkeypatch.setenv("AWS_PROFILE", "plain")
    assert found()[1] == "plain"
    monkeypatch.setenv("AWS_PROFILE", "profile plain")
    with pytest.raises(errors.ConfigError):
        found()


def test_a_profile_works_on_a_real_server_and_its_keys_may_change(
    files, s3_server, s3_bucket, monkeypatch
):
    files(f"[lab]\n{pair('nobody-knows-it')}")
    url = f"s3://{s3_bucket}/profile?profile=lab&endpoint={s3_server.endpoint}"
    with open_tier(url) as tier:
        files(f"[lab]\n{pair(s3_server.access_key, s3_server.secret_key)}")
        assert tier.put_if_absent("object", b"x"), "the new keys are read when the old are refused"
        assert tier.get("object") == b"x"


@pytest.mark.parametrize("name", ["lab", CANARY])
def test_a_profile_that_is_not_there_is_told(files, name, monkeypatch, tmp_path):
    files("[other]\n")
    with pytest.raises(errors.ConfigError, match="no AWS profile") as caught:
        found(f"s3://bucket?profile={name}")
    assert str(tmp_path / "credentials") in str(caught.value)
    assert CANARY not in str(caught.value)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(errors.ConfigError, match="'lab'"):
        found()


def test_files_that_are_none_are_told_without_their_words(files, tmp_path):
    for text in (f"no section {CANARY}\n", f"[lab\n{CANARY}"):
        files(text)
        with pytest.raises(errors.ConfigError, match="not a file of AWS profiles") as caught:
            found()
        assert CANARY not in f"{caught.value!r}{caught.value.__cause__!r}"
    (tmp_path / "credentials").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.ConfigError, match="not a file of AWS profiles"):
        found()


def test_half_a_pair_is_told(files, monkeypatch):
    files("[default]\naws_access_key_id = x\n")
    with pytest.raises(errors.ConfigError, match="no aws_secret_access_key"):
        found()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with pytest.raises(errors.ConfigError, match="AWS_ACCESS_KEY_ID is not set"):
        found()


def test_no_keys_at_all_are_told_with_all_ways_to_give_them():
    with pytest.raises(errors.ConfigError, match="no keys for S3") as caught:
        found()
    for way in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "access_key=env:", "anonymous=1"):
        assert way in caught.value.remedy


def test_keys_and_a_profile_together_are_refused():
    with pytest.raises(errors.ConfigError, match="keys and a profile"):
        parse("s3://bucket?access_key=env:A&secret_key=env:B&profile=lab")


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ({"Version": 1}, 0, "no keys"),
        ({"Version": 2, "AccessKeyId": "a", "SecretAccessKey": CANARY}, 0, "another form"),
        ([CANARY], 0, "another form"),
        ({}, 3, "ended with 3"),
        (
            {"Version": 1, "AccessKeyId": "a", "SecretAccessKey": CANARY, "Expiration": "x"},
            0,
            "time",
        ),
    ],
)
def test_a_program_that_gives_no_keys_is_told(files, tmp_path, answer, code, told):
    files(config=f"[default]\ncredential_process = {process(tmp_path, answer, code)}\n")
    tier = open_tier("s3://bucket?endpoint=http://127.0.0.1:9")
    with pytest.raises(KeysMissing, match=told) as caught:
        tier.get("x")
    assert CANARY not in str(caught.value)
    assert "credential_process" in str(caught.value)


def test_a_program_that_is_not_there_is_told(files):
    files(config="[default]\ncredential_process = /no/such/program --keys\n")
    tier = open_tier("s3://bucket?endpoint=http://127.0.0.1:9")
    with pytest.raises(KeysMissing, match=r"can't be run: .*No such file"):
        tier.get("x")


def test_what_takes_botocore_says_so_where_it_is_not(files, monkeypatch):
    files(config="[profile lab]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n")
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    tier = open_tier("s3://bucket?profile=lab&endpoint=http://127.0.0.1:9")
    with pytest.raises(KeysMissing, match="takes botocore") as caught:
        tier.get("x")
    assert "pip install botocore" in caught.value.remedy


def test_region_and_endpoint_come_from_variables_and_profiles(files, monkeypatch):
    services = "[services near]\ns3 =\n  endpoint_url = https://of-services.example\n"
    profile = "[default]\nregion = eu-west-3\nendpoint_url = https://of-profile.example/\n"
    files(config=profile)
    assert where() == ("eu-west-3", "https://of-profile.example")
    files(config=f"{profile}services = near\n{services}")
    assert where() == ("eu-west-3", "https://of-services.example")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://of-all.example:9000")
    assert where() == ("eu-west-2", "http://of-all.example:9000")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://of-s3.example")
    assert where() == ("eu-west-1", "http://of-s3.example")
    url = "s3://bucket?anonymous=1&region=eu-north-1&endpoint=https://of-url.example"
    assert where(url) == ("eu-north-1", "https://of-url.example")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert where() == ("eu-west-1", None)


def where(url="s3://bucket?anonymous=1"):
    options = parse(url)
    return options.region, options.endpoint


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION"])
def test_a_variable_that_does_not_fit_is_named(monkeypatch, name):
    monkeypatch.setenv(name, f"no such {CANARY}")
    with pytest.raises(errors.ConfigError, match=f"{name} does not fit") as caught:
        parse("s3://bucket?anonymous=1")
    assert CANARY not in str(caught.value) and caught.value.remedy


def test_the_url_beats_what_obstore_reads_itself(open_s3, monkeypatch):
    """obstore lets AWS_* variables decide what it is not told."""
    wrong = {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "nobody-knows-it",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "x",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_CONDITIONAL_PUT": "disabled",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_BUCKET": "other",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    tier = open_s3("beats")
    assert tier.put_if_absent("object", b"x") is True
    assert tier.put_if_absent("object", b"y") is False


def test_the_endpoint_of_a_variable_leads_to_the_server(s3_server, s3_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    with open_tier(f"s3://{s3_bucket}/variable") as tier:
        assert tier.put_if_absent("object", b"x")


def test_keys_are_shown_nowhere(files):
    files(f"[default]\n{pair(CANARY, CANARY)}")
    source = key_chain.find(parse("s3://bucket"))
    kept = keys.KeptKeys(source)
    kept.current()
    assert kept()["secret_access_key"] == CANARY
    assert CANARY not in f"{source!r}{kept!r}{vars(kept)!r}{parse('s3://bucket')!r}"


def test_the_usual_files_are_those_in_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    Path(tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(f"[default]\n{pair('at-home')}")
    assert found()[1] == "at-home"
