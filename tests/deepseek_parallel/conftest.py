"""The tests here need torch."""

import pytest

pytest.importorskip("torch", reason="torch isn't installed (make install-dev)")
