"""What a plugin is told when it is asked for its records."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class HostContext:
    """The one argument of every registration hook, so that it can grow.

    `settings` is the plugin's own table of the configuration file. Of a plugin that declares a
    class (`settings = "package.module:Class"`), it holds every field, checked and with defaults:
    `Class(**ctx.settings)`.
    """

    core_version: str
    api: tuple[int, int]
    settings: Mapping[str, object] = attrs.field(factory=dict)
