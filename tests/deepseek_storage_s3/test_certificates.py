"""Servers with certificates of their own: taken with `ca=` as curl takes them, else refused."""

import logging
import os
import shutil
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from slow_proxy import Fault, SlowProxy
from tls_server import TlsServer, certificate, old_certificate

from deepseek_core import errors
from deepseek_storage_s3.vendor_errors import CertificateRefused

BODY = os.urandom(700_000)
HERE = "IP:127.0.0.1,DNS:localhost"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Certificates by name, each made once."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = certificate(folder, "authority", is_authority=True)
    return {
        "authority": authority,
        "other authority": certificate(folder, "other", is_authority=True),
        "self-signed": certificate(folder, "self_signed", names=HERE),
        "self-signed leaf": certificate(folder, "leaf", names=HERE, is_authority=False),
        "of the authority": certificate(folder, "signed", names=HERE, authority=authority),
        "version 1": old_certificate(folder, "old"),
        "for another host": certificate(folder, "names", names="DNS:s3.other.example"),
        "expired": certificate(folder, "expired", names=HERE, days=-1, authority=authority),
    }


@pytest.fixture
def tls(s3_server, made):
    """The real server behind TLS, with the certificate of a name."""
    opened = []

    def show(name, port=s3_server.port):
        opened.append(TlsServer(port, made[name]).__enter__())
        return opened[-1]

    yield show
    for each in opened:
        each.__exit__()


@pytest.fixture
def secure(open_s3, request):
    """Opens a tier behind TLS."""
    prefix = f"tls/{request.node.name.partition('[')[0]}"

    def open_at(server, ca=None, host="127.0.0.1", **options):
        given = {"endpoint": f"https://{host}:{server.port}", "retries": 1, **options}
        return open_s3(prefix, **given, **({} if ca is None else {"ca": getattr(ca, "file", ca)}))

    return open_at


def works(tier):
    for key in ("small", "large"):
        tier.delete(key)
    assert tier.put_if_absent("small", b"small") and not tier.put_if_absent("small", b"other")
    assert tier.put_if_absent("large", BODY)
    assert tier.get("small") == b"small"
    assert tier.get("large", 10, 600_000) == BODY[10:600_010]
    assert tier.stat("large").nbytes == len(BODY)
    assert [found.key for found in tier.list()] == ["large", "small"]
    with pytest.raises(errors.ObjectMissing):
        tier.get("none")


@pytest.mark.parametrize(
    ("shown", "ca", "host"),
    [
        ("self-signed", "self-signed", "127.0.0.1"),
        ("self-signed leaf", "self-signed leaf", "127.0.0.1"),
        ("of the authority", "authority", "127.0.0.1"),
        ("of the authority", "of the authority", "127.0.0.1"),
        ("version 1", "version 1", "localhost"),
    ],
)
def test_what_curl_takes_is_taken(secure, tls, made, shown, ca, host):
    server = tls(shown)
    curl = shutil.which("curl")
    if curl is not None:
        url = f"https://{host}:{server.port}/"
        command = [curl, "--silent", "--noproxy", "*", "--cacert", made[ca].file, url]
        run = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert run.returncode == 0, run
    works(secure(server, made[ca], host))


@pytest.mark.parametrize("shown", ["self-signed", "self-signed leaf", "of the authority"])
def test_without_ca_it_is_refused_with_the_reason_and_what_to_give(secure, tls, shown):
    server = tls(shown)
    with pytest.raises(CertificateRefused, match=r"refused: .*(Entity|UnknownIssuer)") as e:
        secure(server).get("x")
    assert "ca=FILE" in e.value.remedy and not e.value.retryable
    assert " tries in " not in str(e.value), "it is the same each time"


def test_another_authority_is_refused(secure, tls, made):
    with pytest.raises(CertificateRefused, match="certificate is refused") as caught:
        secure(tls("of the authority"), made["other authority"]).get("x")
    assert str(made["other authority"].file) in caught.value.remedy


def test_one_for_another_host_is_told_apart(secure, tls, made):
    server = tls("for another host")
    with pytest.raises(CertificateRefused, match=r"127.0.0.1") as caught:
        secure(server, made["for another host"]).get("x")
    assert "endpoint=" in caught.value.remedy


def test_an_expired_one_is_told_apart(secure, tls, made):
    with pytest.raises(CertificateRefused, match="expired") as caught:
        secure(tls("expired"), made["authority"]).get("x")
    assert "new certificate" in caught.value.remedy


def test_a_server_that_is_exchanged_behind_an_open_tier_is_refused(secure, made, s3_server, tls):
    server = tls("self-signed")
    tier = secure(server, made["self-signed"], retries=2)
    works(tier)
    server.show(made["other authority"])
    server.drop()
    with pytest.raises(CertificateRefused, match="certificate is refused: "):
        tier.get("small")
    server.show(made["self-signed"])
    works(tier)


def test_twenty_threads_go_through(secure, tls, made):
    tier = secure(tls("self-signed"), made["self-signed"])
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: tier.delete(f"o{n}"), range(40)))
        assert all(pool.map(lambda n: tier.put_if_absent(f"o{n}", BODY[n:]), range(40)))
        assert list(pool.map(lambda n: tier.get(f"o{n}"), range(40))) == [
            BODY[n:] for n in range(40)
        ]


def test_a_bad_line_behind_tls_loses_nothing(secure, tls, made, s3_server):
    with SlowProxy(s3_server.port) as line:
        tier = secure(tls("self-signed", line.port), made["self-signed"], retries=4)
        tier.delete("object")
        line.fail(Fault("lose"), times=1, methods=("PUT",))
        assert tier.put_if_absent("object", BODY)
        for fault in (Fault("tear", nbytes=200_000), Fault("cut", nbytes=300_000), Fault("reset")):
            line.fail(fault, times=1, methods=("GET",))
            assert tier.get("object") == BODY
            line.heal()
        line.fail(Fault("hang"))
        quick = secure(tls("self-signed", line.port), made["self-signed"], retries=0, timeout_s=1)
        with pytest.raises(errors.TierUnavailable):
            quick.get("object")


def test_a_file_that_holds_no_certificate_is_told(secure, tls, made, tmp_path):
    server = tls("self-signed")
    nothing = made["self-signed"].key
    for file, words in ((nothing, "no certificate"), (tmp_path / "none", "No such file")):
        with pytest.raises(errors.ConfigError, match=words) as caught:
            secure(server, file)
        assert "PEM" in caught.value.remedy
    both = tmp_path / "both.pem"
    both.write_text(f"a word before\n{nothing.read_text()}{made['self-signed'].file.read_text()}")
    works(secure(server, both))


def test_a_long_file_of_authorities_is_taken(secure, tls, made, tmp_path):
    usual = ssl.create_default_context().get_ca_certs(binary_form=True)
    own = made["authority"].file.read_text().replace("\n", "\r\n")
    (tmp_path / "all.pem").write_text("".join(map(ssl.DER_cert_to_PEM_cert, usual)) + own)
    works(secure(tls("of the authority"), tmp_path / "all.pem"))


def test_the_variable_of_aws_tools_names_one_too(secure, tls, made, monkeypatch):
    server = tls("of the authority")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(made["authority"].file))
    works(secure(server))


def test_plain_http_where_tls_is_expected_is_told(open_s3, s3_server):
    tier = open_s3("plain", endpoint=f"https://127.0.0.1:{s3_server.port}", retries=1)
    with pytest.raises(errors.TierUnavailable, match="no TLS connection") as caught:
        tier.get("x")
    assert "http: or https:" in caught.value.remedy


def test_no_secret_is_shown_on_the_way_around(secure, tls, made, s3_server, caplog):
    caplog.set_level(logging.DEBUG)
    tier = secure(tls("self-signed"), made["self-signed"])
    works(tier)
    seen = [caplog.text, repr(vars(tier._client))]
    seen += [repr(store.config) for store in tier._client.stores.values()]
    for secret in (s3_server.secret_key, s3_server.access_key):
        assert secret not in "".join(seen)


def test_parts_go_through_too(secure, tls, made):
    large = os.urandom(12 << 20)
    tier = secure(tls("self-signed"), made["self-signed"], multipart="5M")
    tier.delete("large")
    assert tier.put_if_absent("large", large)
    assert tier.get("large") == large
