"""Keys that a server gives to who runs here: a container, an instance, a web identity.

obstore asks such servers too, but reads fewer of the variables (no token in a variable, no STS
without TLS on this machine), and is without keys as soon as a server is away for a moment; here
keys are kept while they are good, and all connections of a tier share them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlencode, urlsplit

import attrs

from deepseek_core import errors
from deepseek_storage_s3 import certificates, key_answers
from deepseek_storage_s3.key_requests import Asker, KeysRefused, Late
from deepseek_storage_s3.keys import Keys, KeyTrouble
from deepseek_storage_s3.options import Options
from deepseek_storage_s3.profiles import Profile
from deepseek_storage_s3.usual import is_true

_CONTAINER: Final = "http://169.254.170.2"
_INSTANCE: Final = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_ROLE: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
# Where AWS lets an authorization token go without TLS.
_NEAR: Final = {"localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "::1"}
_STS_S: Final = 20.0
_NO_IMDS_V2: Final = {403, 404, 405, 501}


@attrs.frozen(kw_only=True)
class Container:
    """The role of a container: ECS, EKS Pod Identity, CloudShell and such."""

    url: str
    token_file: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    words: str = "the role of this container"

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> Self | None:
        """Read it from the variables, if they have it.

        Raises:
            ConfigError: the URL is one that no token may be sent to.
        """
        relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not relative and not full:
            return None
        return cls(
            url=f"{_CONTAINER}{relative}" if relative else _near(full or ""),
            token_file=environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            token=environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        )

    def fetch(self) -> Keys:
        """Ask for keys.

        Raises:
            KeyTrouble: it gives none.
        """
        asker = Asker(remedy="see the role of the task or pod, and AWS_CONTAINER_CREDENTIALS_*")
        token = asker.token_of(self.token_file) if self.token_file else self.token
        headers = {"Authorization": asker.one_line(token)} if token else {}
        answer = asker.ask(self.url, headers=headers)
        return key_answers.of_json(answer, session="Token", remedy=asker.remedy)


@attrs.frozen(kw_only=True)
class Instance:
    """The role of an instance, from its metadata service (IMDSv2, else v1)."""

    endpoint: str
    is_v1_allowed: bool = True
    words: str = "the role of this instance, the last place where keys are looked for"

    @classmethod
    def find(cls, profile: Profile, environ: Mapping[str, str]) -> Self:
        """Read it from variables and profile."""
        mode = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") or profile.get(
            "ec2_metadata_service_endpoint_mode"
        )
        endpoint = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or profile.get(
            "ec2_metadata_service_endpoint"
        )
        usual = _INSTANCE.get((mode or "").lower(), _INSTANCE["ipv4"])
        return cls(
            endpoint=(endpoint or usual).rstrip("/"),
            is_v1_allowed=not is_true("AWS_EC2_METADATA_V1_DISABLED", environ),
        )

    def fetch(self) -> Keys:
        """Ask for keys.

        Raises:
            KeyTrouble: it gives none, or there is no such service.
        """
        asker = Asker(
            remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or write "
            "access_key=env:... and secret_key=env:... in the URL; on an instance, give it a role"
        )
        headers = self._headers(asker)
        role = asker.ask(f"{self.endpoint}{_ROLES}", headers=headers).strip()
        if not _ROLE.fullmatch(role):
            raise KeyTrouble("this instance has no role", remedy=asker.remedy)
        answer = asker.ask(f"{self.endpoint}{_ROLES}{role}", headers=headers)
        return key_answers.of_json(answer, session="Token", remedy=asker.remedy)

    def _headers(self, asker: Asker) -> dict[str, str]:
        """The token of IMDSv2; none where only the older service is there."""
        try:
            token = asker.ask(
                f"{self.endpoint}/latest/api/token",
                method="PUT",
                headers={"X-aws-ec2-metadata-token-ttl-seconds": "600"},
            )
        except (KeysRefused, Late) as error:
            # An answer of v2 may not pass the border of a container: it has one hop to live.
            has_no_v2 = isinstance(error, Late) or error.status in _NO_IMDS_V2
            if self.is_v1_allowed and has_no_v2:
                return {}
            raise
        return {"X-aws-ec2-metadata-token": asker.one_line(token)}


@attrs.frozen(kw_only=True)
class WebIdentity:
    """A role by the token of an identity provider, which STS exchanges for keys."""

    token_file: str
    role: str
    session: str
    endpoint: str
    ca_file: Path | None = None
    words: str = "the role by web identity"

    @classmethod
    def find(cls, profile: Profile, environ: Mapping[str, str], options: Options) -> Self | None:
        """Read it from the variables or the profile, if they have it.

        Raises:
            ConfigError: the role is missing.
        """
        given = {} if profile.is_asked_for else environ
        in_profile = profile.get("web_identity_token_file")
        token_file = given.get("AWS_WEB_IDENTITY_TOKEN_FILE") or in_profile
        if not token_file:
            return None
        role = given.get("AWS_ROLE_ARN") or profile.get("role_arn")
        if not role:
            raise errors.ConfigError(
                "there is a web identity, but no role for it", remedy="set AWS_ROLE_ARN"
            )
        session = given.get("AWS_ROLE_SESSION_NAME") or profile.get("role_session_name")
        end = ".cn" if options.region.startswith("cn-") else ""
        usual = f"https://sts.{options.region}.amazonaws.com{end}"
        return cls(
            token_file=token_file,
            role=role,
            session=session or f"deepseek-{int(time.time())}",
            endpoint=environ.get("AWS_ENDPOINT_URL_STS") or usual,
            ca_file=options.ca_file,
        )

    def fetch(self) -> Keys:
        """Exchange the token as it is now.

        Raises:
            KeyTrouble: STS refuses it or does not answer.
        """
        asker = Asker(
            remedy="see AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN and whom that role trusts",
            limit_s=_STS_S,
            is_near=False,
            context=certificates.context(self.ca_file),
        )
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self.role,
            "RoleSessionName": self.session,
            "WebIdentityToken": asker.token_of(self.token_file),
        }
        body = urlencode(form).encode()
        answer = asker.ask(f"{self.endpoint.rstrip('/')}/", method="POST", body=body)
        return key_answers.of_xml(answer, remedy=asker.remedy)


def _near(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host in _NEAR or re.fullmatch(r"127(\.\d{1,3}){3}", host):
        return url
    raise errors.ConfigError(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI leads away from this machine without TLS",
        remedy="use https:, or an address of this machine, as AWS tools want it",
    )
