"""What is checked of this plugin beside what is checked of every plugin."""

from __future__ import annotations

from deepseek_core.testing import CommandConformance


class TestApp(CommandConformance):
    """`ds-sdk app`: what needs no data; the steps are those of the applications."""

    plugin = "apps"
    name = "app"
    arguments = [["list"], ["list", "--json"]]  # noqa: RUF012 - as the class that is inherited
