"""What is checked of this plugin: its command, and its applications on small data of their own."""

from __future__ import annotations

from deepseek_apps.ctr.conformance import TestCtr
from deepseek_apps.defects.conformance import TestDefects
from deepseek_apps.translate.conformance import TestTranslate
from deepseek_core.testing import CommandConformance

__all__ = ["TestApp", "TestCtr", "TestDefects", "TestTranslate"]


class TestApp(CommandConformance):
    """`ds-sdk app`: what needs no data; the steps are those of the applications."""

    plugin = "applications"
    name = "app"
    arguments = [["list"], ["list", "--json"]]  # noqa: RUF012 - as the class that is inherited
