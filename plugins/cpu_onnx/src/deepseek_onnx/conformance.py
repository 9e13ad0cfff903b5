"""Conformance tests of this plugin: `ds-sdk check-plugin cpu_onnx` runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from deepseek_core import Artifact
from deepseek_core.testing import FrontendConformance
from deepseek_onnx.provider_conformance import ProviderConformance, artifact, perceptron


class TestCpu(ProviderConformance):
    """ONNX Runtime on the CPU."""

    plugin = "cpu_onnx"
    name = "onnx_cpu"
    device_id = "onnx:cpu"
    # Of ONNX Runtime 1.20 to 1.32, which claims these operators and answers otherwise.
    operator_waivers: ClassVar[dict[str, str]] = {
        r"test_dft.*": "errors near zero exceed a tolerance of 1e-7",
        r"test_stft.*": "errors near zero exceed a tolerance of 1e-7",
        r"test_attention_4d_causal_fp16": "one element in 192 is rounded otherwise",
        r"test_attention_4d_with_past_and_present_qk_matmul_bias_[34]d_mask_causal": (
            "the runtime masks before the output of QK"
        ),
        r"test_attention_4d_diff_heads_mask4d_padded_kv": (
            "the runtime refuses padded keys with such a mask, but only when it runs"
        ),
        r"test_convinteger_with_padding": (
            "the runtime refuses a zero point of its shape, but only when it runs"
        ),
        r"test_maxunpool_export_with_output_shape": (
            "the runtime reads indices against the given output shape"
        ),
        r"test_reduce_max_empty_set_bool": "the runtime knows no maximum of no bool",
        r"test_resize_downsample_scales_(cubic|linear)_align_corners": (
            "the runtime rounds the size of the output otherwise"
        ),
    }


class TestFrontend(FrontendConformance):
    """The reader of ONNX models."""

    plugin = "cpu_onnx"
    name = "onnx"

    def artifacts(self, tmp_path: Path) -> tuple[Sequence[Artifact], Sequence[Artifact]]:
        """A model as bytes and as a file; one cut off, one of another kind, one without outputs."""
        whole = perceptron().SerializeToString()
        file = tmp_path / "perceptron.onnx"
        file.write_bytes(whole)
        headless = perceptron()
        del headless.graph.output[:]
        bad = (whole[: len(whole) // 2], b"\x89PNG\r\n\x1a\n", headless.SerializeToString())
        return (
            [artifact(), Artifact.from_path(file)],
            [Artifact.from_bytes(content, format="onnx") for content in bad],
        )

    def run(self, artifact: Artifact, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs as ONNX Runtime computes them."""
        from deepseek_onnx.ort import ort

        session = ort.InferenceSession(artifact.read(), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
