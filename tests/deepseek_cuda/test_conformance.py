"""Every promise of a device: on a GPU where there is one, and on the fake driver everywhere."""

from typing import ClassVar

import fake_gpu
import pytest
from fake_cuda import FakeCuda

from deepseek_core import errors
from deepseek_cuda.conformance import TestCuda, TestEngines, TestPrograms


class TestOnFake(TestCuda):
    """The same device, with a driver that accuses whoever misuses it."""

    waivers: ClassVar[dict[str, str]] = {
        **TestCuda.waivers,
        "test_memory_does_not_grow_with_runs": "the fake keeps all that it saw, to accuse by it",
    }
    # Of ONNX Runtime's CPU kernels, which stand in for those of a GPU here.
    operator_waivers: ClassVar[dict[str, str]] = {
        r"test_(dft|stft).*": "errors near zero exceed a tolerance of 1e-7",
        r"test_attention_4d_causal_fp16": "one element in 192 is rounded otherwise",
        r"test_attention_4d_with_past_and_present_qk_matmul_bias_[34]d_mask_causal": (
            "the runtime masks before the output of QK"
        ),
        r"test_attention_4d_diff_heads_mask4d_padded_kv": "refused when it runs",
        r"test_convinteger_with_padding": "refused when it runs",
        r"test_reduce_max_empty_set_bool": "refused when it runs",
        r"test_maxunpool_export_with_output_shape": "reads indices against the given shape",
        r"test_resize_downsample_scales_(cubic|linear)_align_corners": "rounds the size otherwise",
    }

    @pytest.fixture
    def rows(self):
        return [fake_gpu.info()]

    def _open(self, spec, info, folder):
        if info.id != "cuda:0":
            raise errors.DeviceUnavailable("no such GPU", device_id=info.id)
        return fake_gpu.make_device(folder, FakeCuda())


@pytest.mark.cuda
class TestOnGpu(TestCuda):
    """The same device on a real GPU; skipped, with the probe's reason, where there is none."""


__all__ = ["TestEngines", "TestPrograms"]
