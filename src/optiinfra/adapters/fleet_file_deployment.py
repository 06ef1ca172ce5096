"""One deployment of a fleet file: model, engine, flags and price put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optiinfra.adapters.command_line import read_command_line
from optiinfra.adapters.engine_flags import GivenFlags, read_flag_mapping
from optiinfra.adapters.fleet_file_prices import PriceResolver, check_price_keys
from optiinfra.adapters.fleet_file_schema import DeploymentSection, SLOSection
from optiinfra.adapters.fleet_file_yaml import Document, KeyPath
from optiinfra.adapters.model_config import read_model_config
from optiinfra.domain.architecture_catalogue import find_architecture, get_architecture
from optiinfra.domain.architectures import Architecture
from optiinfra.domain.engine_arguments import Engine, EngineArguments
from optiinfra.domain.engine_defaults import (
    NAMES,
    VERSIONS,
    describe_assumed,
    parse_version,
    resolve_arguments,
)
from optiinfra.domain.engine_flags import normalize_flag
from optiinfra.domain.errors import InputError
from optiinfra.domain.fleet import Deployment, SLOTarget
from optiinfra.domain.gpus import GPU
from optiinfra.domain.prices import PurchaseOption


@dataclass(frozen=True, slots=True)
class _Start:
    """What starts the engine, from `engine`, `arguments` and `model` or from `command`."""

    engine: Engine
    model: str
    flags: GivenFlags


@dataclass(frozen=True, slots=True)
class DeploymentResolver:
    """Resolves the deployments of one fleet file. `folder` is where paths of models begin."""

    document: Document
    folder: Path
    slo: SLOSection
    prices: PriceResolver

    def resolve(self, section: DeploymentSection, path: KeyPath, *, gpu: GPU) -> Deployment:
        """The deployment with nothing left open."""
        check_price_keys(self.document, path, section)
        start = self._read_start(section, path)
        model = self._get_model(section, path, start.model)
        version = section.engine_version or VERSIONS[start.engine].default
        arguments = self._resolve_arguments(
            section, path, start=start, version=version, gpu=gpu, model=model
        )
        price = self.prices.get_price(section, path, gpu=gpu, gpus_per_replica=arguments.num_gpus)
        in_book = price.offer is not None and price.offer.as_of is not None
        return Deployment(
            name=section.name,
            model=model,
            gpu=gpu,
            num_replicas=section.replicas,
            arguments=arguments,
            slo=self._get_slo(section, path),
            purchase_option=PurchaseOption(section.purchase_option),
            cloud=price.offer.cloud if price.offer and in_book else section.cloud,
            region=section.region,
            offer=price.offer,
            assumed=(
                *_describe_version(section, start.engine),
                *_describe_flags(arguments, start.flags, model),
                *price.assumed,
            ),
        )

    def _read_start(self, section: DeploymentSection, path: KeyPath) -> _Start:
        """Engine, model and flags from the keys or from the command."""
        if section.command is None:
            for key in ("engine", "model"):
                if getattr(section, key) is None:
                    raise self.document.refuse(
                        (*path, key),
                        f"`{key}` is missing.",
                        remedy=f"Add {key}, or give the whole `command` that starts the engine.",
                    )
            engine, model = Engine(str(section.engine)), str(section.model)
            flags = self._read_flags(section, path, engine)
            return _Start(engine, model, flags)
        if section.arguments is not None:
            raise self.document.refuse(
                (*path, "arguments"),
                "`arguments` and `command` exclude each other.",
                remedy="Keep one of the two.",
            )
        try:
            command = read_command_line(section.command)
        except InputError as error:
            raise self._place(error, (*path, "command")) from error
        if section.engine is not None and section.engine != command.engine.value:
            raise self.document.refuse(
                (*path, "engine"),
                f"`engine` is {section.engine}, but the command starts {command.engine.value}.",
                remedy="Remove `engine`.",
            )
        model_name = section.model or command.model
        if model_name is None:
            raise self.document.refuse(
                (*path, "command"),
                "The command names no model.",
                remedy="Add the model to the command, or as the key `model`.",
            )
        if section.model and command.model and _is_another(section.model, command.model):
            raise self.document.refuse(
                (*path, "model"),
                f"`model` is {section.model}, but the command serves {command.model}.",
                remedy="Remove `model`.",
            )
        return _Start(command.engine, model_name, command.flags)

    def _read_flags(self, section: DeploymentSection, path: KeyPath, engine: Engine) -> GivenFlags:
        """The flags under `arguments`."""
        try:
            return read_flag_mapping(engine, section.arguments or {})
        except InputError as error:
            raise self._place(error, (*path, "arguments")) from error

    def _get_model(self, section: DeploymentSection, path: KeyPath, name: str) -> Architecture:
        """The catalogue's model, or that of a config.json."""
        key = "model" if section.model else "command"
        if name.endswith(".json") or name.startswith((".", "/", "~")):
            if section.model is None:
                raise self.document.refuse(
                    (*path, "command"),
                    f"The command serves a local folder, {name}.",
                    remedy="Say which model that is by the key `model`: its Hugging Face name, or "
                    "the path of its config.json.",
                )
            return read_model_config(self.folder / Path(name).expanduser())
        try:
            return get_architecture(name)
        except InputError as error:
            raise self._place(error, (*path, key)) from error

    def _resolve_arguments(
        self,
        section: DeploymentSection,
        path: KeyPath,
        *,
        start: _Start,
        version: str,
        gpu: GPU,
        model: Architecture,
    ) -> EngineArguments:
        """The flags with the engine's defaults, checked as the engine checks them."""
        key = "command" if section.command is not None else "arguments"
        if start.flags.deferred is not None and model.native_quantization is None:
            raise self.document.refuse(
                (*path, key),
                f"'{start.flags.deferred}' leaves the format of the weights to the model, and "
                f"{model.name} does not say it.",
                remedy="Give the path of the quantized model's config.json as `model`.",
            )
        try:
            return resolve_arguments(
                start.engine, version=version, given=start.flags.values, gpu=gpu, architecture=model
            )
        except InputError as error:
            if error.field == "engine_version":
                raise self._place(error, path) from error
            raise self._place(error, (*path, key)) from error

    def _place(self, error: InputError, section: KeyPath) -> InputError:
        """The same error at its place in the file: the key of its field, where there is one."""
        place = section
        if error.field is not None and section[-1] != "command":
            wanted = normalize_flag(error.field)
            same = [
                path
                for path in self.document.lines
                if path[:-1] == section and normalize_flag(str(path[-1])) == wanted
            ]
            unnamed = (*section, error.field.lstrip("-").replace("-", "_"))
            exact = (*section, error.field)
            place = exact if exact in same else next(iter(same), unnamed)
        if section[-1] in {"gpu", "model"}:
            place = section
        return self.document.refuse(place, error.problem, remedy=error.remedy)

    def _get_slo(self, section: DeploymentSection, path: KeyPath) -> SLOTarget:
        """The deployment's own thresholds, else the fleet's."""
        values: dict[str, Any] = {}
        for key in SLOSection.model_fields:
            own = getattr(section.slo, key)
            value = getattr(self.slo, key) if own is None else own
            if value is None:
                raise self.document.refuse(
                    (*path, "slo", key) if section.slo.model_fields_set else ("slo", key),
                    f"`{key}` is given neither for the fleet nor for {section.name}.",
                    remedy="Add it under `slo`.",
                )
            values[key] = value
        return SLOTarget(**values)


def _is_another(first: str, second: str) -> bool:
    """Whether two names are two models of the catalogue."""
    known = find_architecture(first), find_architecture(second)
    return None not in known and known[0] != known[1]


def _describe_version(section: DeploymentSection, engine: Engine) -> tuple[str, ...]:
    """Sentences where the version was assumed, or is older than its known defaults."""
    versions = VERSIONS[engine]
    if section.engine_version is None:
        return (f"No engine_version is given: {NAMES[engine]} {versions.default} is assumed.",)
    if parse_version(section.engine_version) < versions.known_from:
        known = ".".join(map(str, versions.known_from))
        sentence = (
            f"The defaults of {NAMES[engine]} {known} stand for those of {section.engine_version}."
        )
        return (sentence,)
    return ()


def _describe_flags(
    arguments: EngineArguments, flags: GivenFlags, model: Architecture
) -> tuple[str, ...]:
    """Sentences on defaults, on what is not followed and on what was ignored."""
    sentences = [*flags.remarks]
    defaults = describe_assumed(arguments)
    if defaults is not None:
        sentences.insert(0, defaults)
    if (arguments.max_model_len or 0) > model.max_position_embeddings:
        sentences.append(
            f"max_model_len {arguments.max_model_len} is beyond the "
            f"{model.max_position_embeddings} positions of {model.name}."
        )
    if flags.ignored:
        names = ", ".join(dict.fromkeys(flags.ignored))
        sentences.append(f"Without effect on the simulation: {names}.")
    return tuple(sentences)
