"""fsspec's own abstract tests over stores whose bytes lie in memory, on a disk and on S3."""

import itertools
import os

import pytest
from fs_stores import KINDS, make_home, quick_folder
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from deepseek_store.fs.filesystem import DeepSeekFileSystem

_numbers = itertools.count()


@pytest.fixture(scope="module", params=KINDS)
def far_fs(request):
    with quick_folder() as folder:
        fs = DeepSeekFileSystem(make_home(request.param, request, folder))
        yield fs
        fs.close()


class Fixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self, far_fs):
        return far_fs

    @pytest.fixture
    def fs_path(self):
        return f"case-{next(_numbers)}"

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)


class TestCopy(AbstractCopyTests, Fixtures):
    pass


class TestGet(AbstractGetTests, Fixtures):
    pass


class TestPut(AbstractPutTests, Fixtures):
    pass


class TestPipe(AbstractPipeTests, Fixtures):
    pass


class TestOpen(AbstractOpenTests, Fixtures):
    pass


def test_these_bytes_come_from_the_tier(far_fs):
    content = os.urandom(300_000)
    far_fs.pipe_file("far/content", content)
    reader = far_fs.store.parts.reader
    before = reader.fetched
    assert far_fs.info("far/content")["tier"] == "cold"
    assert far_fs.cat_file("far/content") == content
    assert reader.fetched - before >= len(content) // (64 << 10)
