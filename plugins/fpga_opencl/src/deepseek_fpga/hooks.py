"""What the plugin offers; light, since it is imported whenever plugins are listed."""

from collections.abc import Iterable

from deepseek_core import CheckSpec, CommandSpec, DeviceSpec, HostContext, hookimpl, hooks

conformance = "deepseek_fpga.conformance"
settings = "deepseek_fpga.settings:Settings"


@hookimpl(hooks.ds_register_devices)
def devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer every OpenCL device as a matcher, and a board that is planned for if one is set."""
    offered = [
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
    if ctx.settings.get("what_if"):
        offered.append(
            DeviceSpec(
                name="what_if",
                kind="fpga",
                summary="a board that is not there, by a model: it plans and runs nothing",
                factory="deepseek_fpga.what_if:open_what_if",
                probe="deepseek_fpga.what_if:probe",
                requires=("numpy",),
                operators=("ai.deepseek::MatchHamming",),
            )
        )
    return offered


@hookimpl(hooks.ds_register_checks)
def checks(ctx: HostContext) -> Iterable[CheckSpec]:
    """Offer a look at what is patched in PoCL."""
    return [
        CheckSpec(
            name="pocl",
            run="deepseek_fpga.doctor:check_pocl",
            summary="whether PoCL knows this CPU, and what is patched in it where it does not",
            requires=("pyopencl",),
        )
    ]


@hookimpl(hooks.ds_register_commands)
def commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk fpga`."""
    return [
        CommandSpec(
            name="fpga",
            main="deepseek_fpga.cli.main:main",
            summary="what is proven of kernels for FPGAs, and binaries for boards",
            requires=("pyopencl", "numpy"),
        )
    ]
