"""Which services an application becomes: each command, query and read model in exactly one, by role and component.

Without `[tool.twofold.services.*]` there is one service per role. With it, what no service includes falls to the one of
its role that says no `include`; where there is none, that is an error, and not a part that silently does not run.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from twofold.application import Application
from twofold.deploy.project import Plain, Project, Replicas, ServiceSettings
from twofold.errors import SettingsError
from twofold.settings import Role, Settings, variable_of

__all__ = ["HTTP_PORT", "ROLES", "UNKNOWN_SCHEMA_EXIT", "USAGE_EXIT", "Service", "Topology"]

HTTP_PORT = 8000
"""Of every service, inside its container."""

USAGE_EXIT, UNKNOWN_SCHEMA_EXIT = 2, 4
"""How `twofold schema` ends when the next try would end alike: wrong settings, a schema of a newer release."""

INCLUDE = "TWOFOLD_INCLUDE"
ROLES = (Role.COMMAND, Role.QUERY, Role.PROJECTOR)
_GENERATED = ("app", "event_log", "read_store", "http_host", "http_port", "include")
_PRE_STOP_S = 5
_AFTER_DRAIN_S = 6


@dataclass(frozen=True, slots=True)
class Service:
    """A role with a name and a choice of components, in containers of its own. An empty `include` is everything."""

    name: str
    role: Role
    include: tuple[str, ...]
    commands: tuple[str, ...]
    queries: tuple[str, ...]
    partitions: Mapping[str, int]
    """Of each read model that it folds."""
    replicas: Replicas
    cpu_cores: float
    memory_mib: int
    environment: Mapping[str, str]
    settings: Settings

    @property
    def reads(self) -> tuple[str, ...]:
        """The stores that it needs: settings whose values are secrets."""
        match self.role:
            case Role.COMMAND:
                return ("event_log",)
            case Role.QUERY:
                return ("read_store",)
            case _:
                return ("event_log", "read_store")

    @property
    def most_useful(self) -> int:
        """Replicas beyond this find nothing to do: a projector works on partitions, and each has one holder."""
        return min(self.replicas.max, sum(self.partitions.values())) if self.partitions else self.replicas.max

    @property
    def stop_s(self) -> int:
        """Seconds from being told to stop to being killed: more than draining takes."""
        return math.ceil(self.settings.drain_timeout_s) + _AFTER_DRAIN_S

    @property
    def pre_stop_s(self) -> int:
        """Seconds that it goes on serving while others learn that it is leaving."""
        return _PRE_STOP_S


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """A whole system to be deployed. `name` begins all names, `app` is `module:attribute`."""

    name: str
    app: str
    application: Application
    project: Project
    services: tuple[Service, ...]
    code: tuple[str, ...] = field(default=())
    """Paths of the project's code, in its folder."""

    @classmethod
    def of(cls, app: str, application: Application, project: Project, code: Sequence[str]) -> Topology:
        """SettingsError says which component is in no service, or in two."""
        stated = dict(project.services)
        for role in ROLES:
            if not any(each.role is role for each in stated.values()) and _all_of(role, application):
                stated[role.value] = ServiceSettings(role=role)
        services = [
            _service(name, stated[name], included, application, project.settings)
            for role in ROLES
            for name, included in _shares(role, stated, application).items()
        ]
        _check_once(services, application)
        return cls(
            name=project.deploy.name or _label(application.name),
            app=app,
            application=application,
            project=project,
            services=tuple(services),
            code=tuple(project.deploy.packages) or tuple(code),
        )

    def of_role(self, role: Role) -> tuple[Service, ...]:
        return tuple(each for each in self.services if each.role is role)

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(role for role in ROLES if self.of_role(role))

    def image(self, role: Role) -> str:
        """The name of a role's image, without tag."""
        registry = self.project.deploy.registry.rstrip("/")
        return f"{registry}/{self.name}-{role.value}" if registry else f"{self.name}-{role.value}"


def _label(name: str) -> str:
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].strip("-")
    if not text or not text[0].isalpha():
        raise SettingsError(f"{name!r} can't begin the names of containers; give [tool.twofold.deploy] name")
    return text


def _all_of(role: Role, application: Application) -> tuple[str, ...]:
    """Every component that services of a role can be split by."""
    match role:
        case Role.COMMAND:
            return tuple(each.cls.__name__ for each in application.aggregates.values())
        case Role.QUERY:
            return tuple(application.queries)
        case _:
            return tuple(application.read_models)


def _shares(
    role: Role, stated: Mapping[str, ServiceSettings], application: Application
) -> Mapping[str, tuple[str, ...]]:
    """What each service of a role includes: () for everything."""
    services = {name: each for name, each in stated.items() if each.role is role}
    takers = [name for name, each in services.items() if each.include is None]
    if len(takers) > 1:
        raise SettingsError(
            f"[tool.twofold.services] {' and '.join(takers)} both take the rest of role {role}; give one an `include`"
        )
    if len(services) == 1 and takers:
        return {takers[0]: ()}
    parts = {name: tuple(each.include) for name, each in services.items() if each.include is not None}
    taken = {name for part in parts.values() for name in _components(role, part, application)}
    rest = tuple(each for each in _all_of(role, application) if each not in taken)
    if takers and rest:
        return {name: parts.get(name, rest) for name in services}
    return parts


def _components(role: Role, include: Iterable[str], application: Application) -> tuple[str, ...]:
    """The components of the role that an `include` makes run; SettingsError for a name that is none of this role."""
    allowed = _nameable(role, application)
    for name in include:
        if name not in allowed:
            nearest = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(allowed)}"
            raise SettingsError(f"[tool.twofold.services] a {role} service can't include {name!r}; {hint}")
    part = application.only(include)
    return _all_of(role, part)


def _nameable(role: Role, application: Application) -> tuple[str, ...]:
    match role:
        case Role.COMMAND:
            return (*_all_of(role, application), *application.aggregates)
        case Role.QUERY:
            return (*application.queries, *application.read_models)
        case _:
            return tuple(application.read_models)


def _service(
    name: str,
    stated: ServiceSettings,
    include: tuple[str, ...],
    application: Application,
    settings: Mapping[str, Plain],
) -> Service:
    part = application.only(include) if include else application
    environment, parsed = _environment(f"[tool.twofold.services.{name}]", {**settings, **stated.settings})
    role = stated.role
    folded = part.read_models.values() if role is Role.PROJECTOR else ()
    return Service(
        name=name,
        role=role,
        include=include,
        commands=tuple(part.commands) if role is Role.COMMAND else (),
        queries=tuple(part.queries) if role is Role.QUERY else (),
        partitions={each.name: each.table.partitions for each in folded},
        replicas=stated.replicas or Replicas(),
        cpu_cores=stated.cpu_cores,
        memory_mib=stated.memory_mib,
        environment={**environment, **({INCLUDE: ",".join(include)} if include else {})},
        settings=parsed,
    )


def _environment(where: str, stated: Mapping[str, Plain]) -> tuple[dict[str, str], Settings]:
    """Stated settings as variables, and as settings; SettingsError for what is no setting or not for this place."""
    for name in stated:
        if name in _GENERATED:
            why = "is secret or made by twofold deploy"
            raise SettingsError(f"{where} settings: {name} {why}; take it out of the file")
    variables = {variable_of(name): _text(value) for name, value in sorted(stated.items())}
    try:
        return variables, Settings.from_environment(variables)
    except SettingsError as error:
        raise SettingsError(f"{where} settings: {error}") from None


def _text(value: Plain) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_once(services: Sequence[Service], application: Application) -> None:
    """SettingsError unless each component is in exactly one service of its role."""
    for role in ROLES:
        holders: dict[str, list[str]] = {name: [] for name in _all_of(role, application)}
        for service in services:
            if service.role is role:
                for name in _components(role, service.include, application) if service.include else holders:
                    holders[name].append(service.name)
        for name, found in holders.items():
            if len(found) > 1:
                raise SettingsError(f"{name} is in {' and '.join(found)}; one service of a role has it, and no other")
            if not found:
                raise SettingsError(
                    f"{name} is in no {role} service; include it, or leave `include` out of one: it takes the rest"
                )
