"""A tier in a dict: small, complete, and opened by name."""

import time

from deepseek_core import ObjectStat, Tier, errors


class DictTier(Tier):
    def __init__(self, url):
        self.url = url
        self._objects = {}

    def put_if_absent(self, key, data):
        return self._objects.setdefault(key, data) is data

    def get(self, key, start=0, nbytes=None):
        if key not in self._objects:
            raise errors.ObjectMissing(f"there is no object {key!r}", url=self.url)
        end = None if nbytes is None else start + nbytes
        return bytes(self._objects[key][start:end])

    def delete(self, key):
        self._objects.pop(key, None)

    def list(self, prefix=""):
        yield from (self.stat(key) for key in sorted(self._objects) if key.startswith(prefix))

    def stat(self, key):
        return ObjectStat(key=key, nbytes=len(self.get(key)), modified_s=time.time())


class OtherTier(DictTier):
    pass
