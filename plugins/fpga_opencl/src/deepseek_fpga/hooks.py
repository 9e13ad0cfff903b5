"""What the plugin offers; light, since it is imported whenever plugins are listed."""

from collections.abc import Iterable

from deepseek_core import DeviceSpec, HostContext, hookimpl, hooks

conformance = "deepseek_fpga.conformance"


@hookimpl(hooks.ds_register_devices)
def devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer every OpenCL device as a matcher."""
    return [
        DeviceSpec(
            name="opencl",
            kind="fpga",
            summary="matching (L2, Hamming) on FPGA boards, emulators and any OpenCL device",
            factory="deepseek_fpga.device:open_matching_device",
            probe="deepseek_fpga.device:probe",
            requires=("pyopencl", "numpy"),
            operators=("ai.deepseek::MatchL2", "ai.deepseek::MatchHamming"),
        )
    ]
