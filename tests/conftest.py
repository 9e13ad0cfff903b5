"""Settings and servers for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from s3_server import S3Server

# Tests that import ONNX Runtime themselves send nothing either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Hundreds of processes are started: each would compile all sources anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# One thread for each process of tests and for what it starts: several that wait for one another on
# cores which others keep busy take longer than one (torch's took three times as long).
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# A shell starts what runs in the background deaf to Ctrl-C, and all that it starts in turn.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The collected tests are half a million objects that stay: no garbage is looked for among them.
gc.disable()

# Timing never decides a test: a busy machine must not fail one. Nor does chance: what fails here
# fails again. `pytest --hypothesis-profile=search` looks for new examples.
settings.register_profile("sdk", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("sdk")

# Files that take long for their number of tests. Processes of tests begin with them, and then with
# those of most tests, so that none of them is left with a long one at the end.
LONG = (
    "deepseek_ray/test_cluster.py",
    "deepseek_ray/test_conformance.py",
    "corpus/test_real_models.py",
    "docs/test_pages.py",
    "deepseek_parallel/test_strategies.py",
    "deepseek_store/test_store_crash.py",
    "deepseek_core/test_conformance_samples.py",
    "deepseek_core/test_zoo.py",
    "deepseek_core/test_new_plugin.py",
    "deepseek_parallel/test_train_run_command.py",
    "deepseek_parallel/test_elastic.py",
    "deepseek_parallel/test_trainer_elastic.py",
    "deepseek_parallel/test_elastic_launch.py",
    "deepseek_parallel/test_train_join.py",
    "end_to_end/test_visual_search.py",
    "deepseek_compress/steps/test_qat_step.py",
    "deepseek_store/test_check_rebuild.py",
    "examples/test_visual_search_compression.py",
    "docs/test_tutorial.py",
    "docs/test_sensor_pages.py",
    "docs/test_click_page.py",
    "docs/test_translate_page.py",
    "deepseek_fusion/test_fusion_conformance.py",
    "deepseek_apps/test_apps_conformance.py",
    "deepseek_apps/translate/test_job.py",
    "docs/test_search.py",
    "deepseek_fpga/test_cosim.py",
    "deepseek_store/test_prefetch_patterns.py",
    "deepseek_onnx/test_batching_node_suite.py",
    "deepseek_compress/steps/test_files_agree.py",
    "deepseek_store/test_cli_process.py",
    "deepseek_compress/train/test_resume.py",
    "deepseek_core/test_cli_plugins.py",
    "end_to_end/test_foreign_scores.py",
    "end_to_end/test_engine_recipe.py",
    "end_to_end/test_telemetry.py",
    "end_to_end/test_first_minutes.py",
    "deepseek_core/test_conformance_command.py",
    "deepseek_compress/recipe/test_latency_plan.py",
    "deepseek_store/test_write_restore.py",
    "deepseek_compress/test_compress_command.py",
    "deepseek_compress/lower/test_export.py",
    "deepseek_store/test_codes_patterns.py",
    "deepseek_store/test_move_half_dead.py",
    "deepseek_store/test_check_scrub.py",
    "deepseek_trt/test_ignored_attributes.py",
    "deepseek_trt/test_trained_files.py",
    "deepseek_store/test_store_operator.py",
)

# `import s3_server`, `import slow_proxy`, here and in benchmarks; `import command`.
sys.path[:0] = [str(Path(__file__).parent / name) for name in ("servers", "shared")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files in the order in which processes of tests begin them; each keeps its own order."""
    if hasattr(config, "workerinput"):
        first = {config.rootpath / "tests" / name: place for place, name in enumerate(LONG)}
        most = Counter(item.path for item in items)
        items.sort(key=lambda item: (first.get(item.path, len(LONG)), -most[item.path]))


def pytest_collection_finish() -> None:
    """Look for garbage from here on, among what the tests themselves make, and seldom.

    Exports of torch make millions of objects: a tenth of their time went to looks among them.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def our_modules_stay() -> Iterator[None]:
    """What a file's tests forget of ours, a later file would import a second time.

    Its classes are others then, and what is patched in one of the two the other does not know.
    """
    ours = {name: module for name, module in sys.modules.items() if name.startswith("deepseek_")}
    yield
    assert not [name for name, module in ours.items() if sys.modules.get(name) is not module]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, started once; what needs it is skipped where it is not installed."""
    from s3_server import NoServer, running

    try:
        with running(tmp_path_factory.mktemp("s3_server")) as server:
            yield server
    except NoServer as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def asked_devices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the devices of this machine have been asked, and nothing else."""
    from deepseek_core import Session

    folder = tmp_path_factory.mktemp("devices") / "cache"
    with mock.patch.dict(os.environ, {"DEEPSEEK_CACHE_DIR": str(folder)}), Session():
        return folder


@pytest.fixture
def own_cache(asked_devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, without a history; to ask each device takes a process."""
    shutil.copytree(asked_devices, tmp_path / "cache")
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "cache"))
