"""A Ray cluster of several nodes on this machine, for all tests of the folder."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
pytest.importorskip("ray", reason="Ray isn't installed (make install-dev)")

STORE_BYTES = 80 * 2**20
# A node that is killed is told after 3 s in the place of 15.
HEALTH = {
    "health_check_initial_delay_ms": 2000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
    # As if the disks were full, so that stores can be: nothing is spilled, and nothing overflows.
    "automatic_object_spilling_enabled": False,
    "local_fs_capacity_threshold": 0.0,
}


class Nodes:
    """The cluster: its head is node `a`; others are added by name, and killed."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        head = {**self._node("a"), "include_dashboard": False, "_system_config": HEALTH}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = {}
        self.address = self._cluster.address

    def _node(self, name, **more):
        return {"num_cpus": 1, "object_store_memory": STORE_BYTES, "node_name": name, **more}

    def add(self, name, **more):
        """Start a node; `more` as `ray start` has it."""
        if name not in self._nodes:
            self._nodes[name] = self._cluster.add_node(**self._node(name, **more))
        return self._nodes[name]

    def kill(self, name):
        """End a node as a power cut does: its daemon and all actors on it at once."""
        node = self._nodes.pop(name)
        (raylet,) = node.all_processes["raylet"]
        below = descendants(raylet.process.pid)
        self._cluster.remove_node(node, allow_graceful=False)
        for process in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def kill_daemon(self, name):
        """End the daemon of a node alone."""
        (raylet,) = self._nodes[name].all_processes["raylet"]
        os.kill(raylet.process.pid, signal.SIGKILL)

    def close(self):
        """Leave the cluster, and end all nodes."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()


def descendants(process):
    """The processes that a process began, and those that they began."""
    below = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            for child in task.read_text().split():
                below += [int(child), *descendants(int(child))]
    return below


@pytest.fixture(scope="module")
def nodes():
    """A cluster with the nodes `a` and `b`."""
    made = Nodes()
    made.add("b")
    yield made
    made.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Caches of all of these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def cache(folder):
    """Caches of this process and of the actors, which inherit its variables; no other test does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPSEEK_CACHE_DIR", str(folder))
        patch.setenv("DEEPSEEK_PROBE_TIMEOUT", "60")  # of machines that are busy
        patch.setenv("DEEPSEEK_PLUGINS", "cpu_onnx,fpga_opencl,cluster_ray")
        yield folder
