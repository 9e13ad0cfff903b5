"""URLs of PostgreSQL whose password is only named: `?password=env:NAME` or `file:PATH`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import attrs

from deepseek_core import Secret, errors

_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Settings of libpq that tell where and how to connect; none holds a secret.
_ALLOWED: Final = frozenset(
    ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout",
     "target_session_attrs", "application_name", "gssencmode", "channel_binding")
)  # fmt: skip


@attrs.frozen(kw_only=True)
class PostgresUrl:
    """Where a database is, and which schema of it is the store's.

    `settings` are libpq's own, without the password.
    """

    settings: Mapping[str, str]
    schema: str = "deepseek_store"
    password: Secret | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `postgresql://user@host:port/database?schema=name&password=env:NAME`.

        Raises:
            ConfigError: another form; the URL is not repeated, for it may hold a password.
        """
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
            port = parts.port
        except ValueError:
            raise _refused("it is not a URL") from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise _refused("it begins with postgresql://")
        if parts.password is not None:
            raise _refused("a password is not written into it")
        query = dict(pairs)
        schema = query.pop("schema", "deepseek_store")
        if not _SCHEMA.fullmatch(schema):
            raise _refused("a schema is up to 63 lower-case letters, digits and _")
        secret = _secret(query.pop("password", None))
        if unknown := sorted(set(query) - _ALLOWED):
            raise _refused(f"it takes no setting {', '.join(unknown)}")
        named = {
            "user": unquote(parts.username or ""),
            "host": unquote(parts.hostname or ""),
            "port": str(port or ""),
            "dbname": unquote(parts.path.removeprefix("/")),
        }
        settings = {name: value for name, value in named.items() if value} | query
        return cls(settings=settings, schema=schema, password=secret)

    def credentials(self) -> dict[str, Any]:
        """The password as libpq's setting; nothing without one.

        Raises:
            ConfigError: the secret is not there.
        """
        return {} if self.password is None else {"password": self.password.reveal()}

    @property
    def shown(self) -> str:
        """The URL for people and errors; it names no password, nor where one is kept."""
        rest = {"schema": self.schema}
        host, port, user, name = (
            self.settings.get(n, "") for n in ("host", "port", "user", "dbname")
        )
        if host.startswith("/"):  # the folder of a socket
            rest["host"], host = host, ""
        place = f"{user}@{host}" if user else host
        return (
            f"postgresql://{place}{f':{port}' if port else ''}/{name}?{urlencode(rest, safe='/')}"
        )


def _secret(text: str | None) -> Secret | None:
    if text is None:
        return None
    kind, _, name = text.partition(":")
    if kind not in ("env", "file") or not name:
        raise _refused("a password is not written into it")
    return Secret.of({kind: name}, where="the password of the index")


def _refused(why: str) -> errors.ConfigError:
    return errors.ConfigError(
        f"the URL of the index is not right: {why}",
        remedy="write postgresql://USER@HOST/DATABASE?schema=NAME&password=env:VARIABLE",
    )
