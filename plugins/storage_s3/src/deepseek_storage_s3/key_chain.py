"""Which source of keys counts: the first that is there, in the order of AWS tools.

1. `access_key=` and `secret_key=` of the URL
2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, unless the URL has `profile=`
3. the profile, if it assumes a role by other keys (`role_arn` with `source_profile` and such)
4. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the same in the profile
5. the profile: single sign-on, keys in ~/.aws/credentials, a login, `credential_process`, keys in
   ~/.aws/config
6. the role of a container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
7. the role of the instance, unless AWS_EC2_METADATA_DISABLED

https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from deepseek_core import Secret, errors
from deepseek_storage_s3 import profiles
from deepseek_storage_s3.keys import Keys, KeySource
from deepseek_storage_s3.options import Options
from deepseek_storage_s3.profiles import Profile
from deepseek_storage_s3.usual import is_true

_OF_BOTOCORE: Final = ("source_profile", "credential_source")
_SIGN_ON: Final = ("sso_session", "sso_start_url")


def find(options: Options, environ: Mapping[str, str] = os.environ) -> KeySource:
    """The source that counts here; it is not asked yet.

    Raises:
        ConfigError: what it needs is missing in a variable, a file or the URL.
    """
    if options.access_key is not None and options.secret_key is not None:
        return _of_secrets("the URL", options.access_key, options.secret_key, options.session_token)
    profile = profiles.load(options.profile, environ)
    source = next(_sources(options, profile, environ), None)
    if source is None:
        raise errors.ConfigError(
            "there are no keys for S3",
            remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or write "
            "access_key=env:..., secret_key=env:... or anonymous=1",
        )
    return source


def _sources(options: Options, profile: Profile, environ: Mapping[str, str]) -> Iterator[KeySource]:
    if not profile.is_asked_for:
        yield from _of_variables(environ, options.session_token)
    yield from _of_role(profile)
    yield from _of_web_identity(options, profile, environ)
    yield from _of_profile(profile)
    yield from _of_this_machine(profile, environ)


def _of_this_machine(profile: Profile, environ: Mapping[str, str]) -> Iterator[KeySource]:
    from deepseek_storage_s3 import key_servers

    container = key_servers.Container.find(environ)
    if container is not None:
        yield KeySource(words=container.words, fetch=container.fetch)
    if not is_true("AWS_EC2_METADATA_DISABLED", environ):
        instance = key_servers.Instance.find(profile, environ)
        yield KeySource(words=instance.words, fetch=instance.fetch, may_be_absent=True)


def _of_variables(environ: Mapping[str, str], given: Secret | None) -> Iterator[KeySource]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    has_key, has_secret, has_token = (bool(environ.get(name)) for name in names)
    if not has_key and not has_secret:
        if given is not None:
            raise errors.ConfigError(
                "session_token= stands in the URL without keys",
                remedy="add access_key= and secret_key=, or take it away",
            )
        return
    if not (has_key and has_secret):
        missing = names[1] if has_key else names[0]
        raise errors.ConfigError(
            f"there is half a pair of keys for S3: {missing} is not set", remedy=f"set {missing}"
        )
    usual = Secret(env=names[2]) if has_token else None
    access_key, secret_key = Secret(env=names[0]), Secret(env=names[1])
    yield _of_secrets(f"variable {names[0]}", access_key, secret_key, given or usual)


def _of_secrets(
    words: str, access_key: Secret, secret_key: Secret, token: Secret | None
) -> KeySource:
    def fetch() -> Keys:
        return Keys(
            access_key=access_key.reveal(),
            secret_key=secret_key.reveal(),
            token=None if token is None else token.reveal(),
        )

    return KeySource(words=words, fetch=fetch, is_here=True)


def _of_role(profile: Profile) -> Iterator[KeySource]:
    if profile.get("role_arn") and any(map(profile.get, _OF_BOTOCORE)):
        yield _of_botocore(profile, "assumes a role")


def _of_web_identity(
    options: Options, profile: Profile, environ: Mapping[str, str]
) -> Iterator[KeySource]:
    from deepseek_storage_s3 import key_servers

    found = key_servers.WebIdentity.find(profile, environ, options)
    if found is not None:
        yield KeySource(words=found.words, fetch=found.fetch)


def _of_profile(profile: Profile) -> Iterator[KeySource]:
    if any(map(profile.get, _SIGN_ON)):
        yield _of_botocore(profile, "signs on once for all (SSO)")
    yield from _of_file(profile, profile.credentials)
    if profile.get("login_session"):
        yield _of_botocore(profile, "has a login")
    if command := profile.get("credential_process"):
        from deepseek_storage_s3 import key_programs

        yield KeySource(
            words=f"credential_process of profile {profile.name}",
            fetch=partial(key_programs.of_process, command),
        )
    yield from _of_file(profile, profile.config)


def _of_file(profile: Profile, section: Mapping[str, str]) -> Iterator[KeySource]:
    names = ("aws_access_key_id", "aws_secret_access_key")
    there = [name for name in names if section.get(name)]
    if len(there) == 1:
        missing = names[1] if there[0] == names[0] else names[0]
        raise errors.ConfigError(
            f"profile {profile.name} has no {missing}", remedy="add it: aws configure"
        )
    if there:
        yield KeySource(
            words=f"profile {profile.name}", fetch=partial(_read_again, profile), is_here=True
        )


def _read_again(profile: Profile) -> Keys:
    """The keys as the files have them now: tools that sign on write new ones there."""
    now = profiles.load(profile.name, os.environ)
    section = now.credentials if now.credentials.get("aws_access_key_id") else now.config
    return Keys(
        access_key=section.get("aws_access_key_id", ""),
        secret_key=section.get("aws_secret_access_key", ""),
        token=section.get("aws_session_token") or section.get("aws_security_token"),
    )


def _of_botocore(profile: Profile, words: str) -> KeySource:
    from deepseek_storage_s3 import key_programs

    told = f"profile {profile.name}, which {words}"
    return KeySource(words=told, fetch=key_programs.BotocoreKeys(profile.name).fetch)
