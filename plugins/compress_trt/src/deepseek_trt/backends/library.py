"""Calls that full TensorRT and TensorRT-RTX share: parse, profiles, build."""

from __future__ import annotations

from typing import Any, Final

from deepseek_trt.backends.backend import Border, Built, Parsed, Sink
from deepseek_trt.backends.messages import forwarding_to, logger_of
from deepseek_trt.errors import BuildFailed, ModelRefused
from deepseek_trt.options import BuildOptions
from deepseek_trt.problem import Problem, printable
from deepseek_trt.profile import Profile

_REMEDY: Final = "ds-sdk trt check MODEL says more, where our rules know the cause"


class Library:
    """A Python module of NVIDIA's and what is done with it; one call at a time."""

    def __init__(self, module: Any, flavor: str) -> None:
        self.module = module
        self.flavor = flavor
        self._logger = logger_of(module)

    def parse(self, model: bytes, sink: Sink) -> Parsed:
        """Ask the parser about a model."""
        with forwarding_to(sink):
            builder = self.module.Builder(self._logger)
            return self._parsed(self._network(builder), model)[0]

    def build(self, model: bytes, options: BuildOptions, sink: Sink, configure: Any) -> Built:
        """Build an engine; `configure(builder_config)` chooses the GPU.

        Raises:
            ModelRefused: the parser does not take it.
            BuildFailed: the builder gave nothing.
        """
        with forwarding_to(sink):
            builder = self.module.Builder(self._logger)
            network = self._network(builder)
            parsed, _parser = self._parsed(network, model)  # it owns the weights
            if not parsed.accepted:
                raise refused(self.flavor, parsed)
            config = self._config(builder, network, options)
            configure(config)
            engine = builder.build_serialized_network(network, config)
            if engine is None:
                what = f"{self.flavor} built no engine"
                raise BuildFailed(what, device_id=self.flavor, remedy=_REMEDY)
            return Built(content=bytes(engine), borders=parsed.borders)

    def _network(self, builder: Any) -> Any:
        strongly = self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return builder.create_network(1 << int(strongly))

    def _parsed(self, network: Any, model: bytes) -> tuple[Parsed, Any]:
        parser = self.module.OnnxParser(network, self._logger)
        accepted = bool(parser.parse(model))
        found = (parser.get_error(index) for index in range(parser.num_errors))
        problems = tuple(_problem_of(error) for error in found)
        borders = _borders(network) if accepted else ()
        return Parsed(accepted=accepted, problems=problems, borders=borders), parser

    def _config(self, builder: Any, network: Any, options: BuildOptions) -> Any:
        config, flags = builder.create_builder_config(), self.module.BuilderFlag
        chosen = {flags.TF32: options.tf32, flags.SPARSE_WEIGHTS: options.sparse_weights}
        for flag, wanted in chosen.items():
            (config.set_flag if wanted else config.clear_flag)(flag)
        if options.workspace_nbytes:
            config.set_memory_pool_limit(
                self.module.MemoryPoolType.WORKSPACE, options.workspace_nbytes
            )
        if options.profiles:
            self._add_profiles(builder, config, options)
        return config

    def _add_profiles(self, builder: Any, config: Any, options: BuildOptions) -> None:
        profile = builder.create_optimization_profile()
        for each in options.profiles:
            self._set(profile, each)
        if config.add_optimization_profile(profile) < 0:
            what = f"{self.flavor} refuses the profiles"
            raise BuildFailed(what, device_id=self.flavor, remedy="correct the profiles")

    def _set(self, profile: Any, given: Profile) -> None:
        set_it = profile.set_shape if given.of == "shape" else profile.set_shape_input
        try:
            set_it(given.input, given.min, given.opt, given.max)
        except (ValueError, RuntimeError) as error:
            raise BuildFailed(
                f"{self.flavor} refuses the profile of {given.input!r}: {error}",
                device_id=self.flavor,
                remedy="correct the profile",
            ) from error


def _borders(network: Any) -> tuple[Border, ...]:
    inputs = (network.get_input(index) for index in range(network.num_inputs))
    outputs = (network.get_output(index) for index in range(network.num_outputs))
    return (*(_border(t, True) for t in inputs), *(_border(t, False) for t in outputs))


def _border(tensor: Any, is_input: bool) -> Border:
    try:
        shape: tuple[int, ...] | None = tuple(int(length) for length in tensor.shape)
    except ValueError:  # of a rank that is known only when it runs
        shape = None
    return Border(name=tensor.name, dtype=tensor.dtype.name, shape=shape, is_input=is_input)


def _problem_of(error: Any) -> Problem:
    lines = str(error.desc()).splitlines() or ["refused"]
    what = next((line for line in lines if not line.startswith("Invalid Node")), lines[0])
    return Problem(
        rule=f"parser_{error.code().name.lower()}",
        node=error.node_name(),
        operator=error.node_operator(),
        what=printable(what),
        remedy=_REMEDY,
    )


def refused(flavor: str, parsed: Parsed) -> ModelRefused:
    """The error for a model that the parser does not take."""
    first = parsed.problems[0] if parsed.problems else None
    more = f" (and {len(parsed.problems) - 1} more)" if len(parsed.problems) > 1 else ""
    why = f"{first}{more}" if first is not None else "it does not say why"
    return ModelRefused(
        f"{flavor} does not take the model: {why}",
        device_id=flavor,
        problems=parsed.problems,
        remedy=first.remedy if first is not None else _REMEDY,
    )
