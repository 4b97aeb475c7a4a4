"""Commands of the docs that need Docker or a cluster: each is known here.

`RUN_BY` has those that a test runs, with that test. Those in `LOOKED_AT` are not run by any: it is only checked, as of
the others too, that the services, objects and overlays which they name are generated.
"""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import Block, steps_of
from tests.docs.pages import ROOT
from tests.unit.deploy.projects import PLAIN, topology_of
from twofold.deploy.compose import compose_files
from twofold.deploy.kubernetes.overlays import kubernetes_files

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMPOSE, KUBERNETES = "tests/containers/test_compose.py", "tests/kubernetes/test_kubernetes.py"

# In capitals: what differs from page to page. SERVICE is one of Compose, WORKLOAD one of Kubernetes.
RUN_BY = {
    "docker compose up --detach": (
        COMPOSE,
        "test_one_command_leads_from_an_empty_machine_to_the_first_accepted_command",
    ),
    "curl -s localhost:8080/commands/NAME --json JSON": (
        COMPOSE,
        "test_one_command_leads_from_an_empty_machine_to_the_first_accepted_command",
    ),
    "curl -s localhost:8080/queries/NAME -H HEADER": (
        COMPOSE,
        "test_one_command_leads_from_an_empty_machine_to_the_first_accepted_command",
    ),
    "docker compose stop SERVICE": (COMPOSE, "test_commands_go_on_while_the_query_service_is_stopped"),
    "docker compose start SERVICE": (COMPOSE, "test_commands_go_on_while_the_query_service_is_stopped"),
    "docker compose up --detach --no-deps --no-recreate --scale SERVICE=N SERVICE": (
        COMPOSE,
        "test_the_command_service_is_scaled_up_and_down_and_no_request_fails",
    ),
    "./deploy/roll.sh TAG": (COMPOSE, "test_a_new_version_is_rolled_out_and_back_and_no_request_fails"),
    "twofold deploy images --build --tag TAG": (
        COMPOSE,
        "test_a_new_version_is_rolled_out_and_back_and_no_request_fails",
    ),
    "docker compose down": (COMPOSE, "test_one_command_leads_from_an_empty_machine_to_the_first_accepted_command"),
    "kubectl --namespace NAME delete job WORKLOAD --ignore-not-found": (
        KUBERNETES,
        "test_one_apply_leads_from_an_empty_namespace_to_the_first_accepted_command",
    ),
    "kubectl --namespace NAME wait --for=condition=complete --timeout=TIME job/WORKLOAD": (
        KUBERNETES,
        "test_one_apply_leads_from_an_empty_namespace_to_the_first_accepted_command",
    ),
    "kubectl --namespace NAME rollout status deployment/WORKLOAD": (
        KUBERNETES,
        "test_a_new_version_is_rolled_out_and_undone_and_no_request_fails",
    ),
    "kubectl --namespace NAME rollout undo deployment/WORKLOAD": (
        KUBERNETES,
        "test_a_new_version_is_rolled_out_and_undone_and_no_request_fails",
    ),
    "kubectl --namespace NAME scale deployment/WORKLOAD --replicas=N": (
        KUBERNETES,
        "test_the_command_service_is_scaled_up_and_down_and_no_request_fails",
    ),
    "kubectl --namespace NAME exec deployment/WORKLOAD -- /venv/bin/python -m twofold read-models list": (
        KUBERNETES,
        "test_a_projector_says_how_far_read_models_are",
    ),
    "kubectl --namespace NAME exec statefulset/WORKLOAD -- pg_dump --username=postgres --format=custom NAME > FILE": (
        KUBERNETES,
        "test_a_dump_of_the_log_is_taken_in_its_pod",
    ),
}
LOOKED_AT = (
    "docker compose ps",
    "docker compose logs --follow SERVICE",
    "docker compose --profile monitoring up --detach",
    "docker compose stop SERVICES",
    "docker compose start SERVICES",
    "docker compose exec -T SERVICE /venv/bin/python -m twofold read-models list",
    "docker compose exec -T SERVICE pg_dump --username=postgres --format=custom NAME > FILE",
    "docker compose exec -T SERVICE dropdb --username=postgres --force NAME",
    "docker compose exec -T SERVICE createdb --username=postgres NAME",
    "docker compose exec -T SERVICE pg_restore --username=postgres --dbname=NAME --exit-on-error < FILE",
    "docker images IMAGE",
    "docker push registry.example.com/team/IMAGE:TAG",
    "kubectl apply --kustomize OVERLAY",
    "kubectl create namespace NAME",
    "kubectl --namespace NAME create secret generic SECRET --from-file=event-log",
    "kubectl --namespace NAME create secret generic SECRET --from-file=read-store",
    "kubectl --namespace NAME create secret generic SECRET --from-file=event-log --from-file=read-store",
    "kubectl --namespace NAME get pods",
    "kubectl --namespace NAME patch hpa WORKLOAD --patch JSON",
    "kubectl --namespace NAME port-forward service/WORKLOAD 8080:80",
)

PLACEHOLDERS = {
    "SERVICES": r"(?P<services>[a-z][a-z-]*(?: [a-z][a-z-]*)+)",
    "SERVICE": r"(?P<service>[a-z][a-z-]*)",
    "WORKLOAD": r"(?P<workload>[a-z][a-z-]*)",
    "SECRET": r"(?P<workload>[a-z][a-z-]*)",
    "IMAGE": r"(?P<workload>[a-z][a-z-]*)",
    "OVERLAY": r"(?P<overlay>[\w/.-]+)",
    "NAME": r"[\w-]+",
    "TAG": r"[\w.-]+",
    "TIME": r"\d+[ms]",
    "FILE": r"[\w.-]+",
    "N": r"\d+",
    "JSON": r"'\{.*\}'",
    "HEADER": r"'[\w-]+: \d+'",
}
FIXED = {"event-log", "read-store", "gateway"}
ROLES = {"command", "query", "projector"}
OWNER, MIGRATE = "owner", "migrate"


def commands() -> list[tuple[Path, str]]:
    """Each command in a block that needs something, with its page."""
    return [
        (page, line.removeprefix("$ "))
        for page in PAGES
        for step in steps_of(page)
        if isinstance(step, Block) and step.needs
        for line in step.text.splitlines()
        if line.startswith("$ ")
    ]


COMMANDS = commands()


def pattern(form: str) -> re.Pattern[str]:
    """What a command of that form looks like. A placeholder that comes twice is the same word again."""
    text, seen = "", set[str]()
    for part in re.split(rf"\b({'|'.join(PLACEHOLDERS)})\b", form):
        expression = PLACEHOLDERS.get(part, re.escape(part))
        group = re.match(r"\(\?P<(\w+)>", expression)
        text += f"(?P={group[1]})" if group and group[1] in seen else expression
        seen |= {group[1]} if group else set()
    return re.compile(text)


FORMS = {form: pattern(form) for form in (*RUN_BY, *LOOKED_AT)}


def match(command: str) -> tuple[str, re.Match[str]]:
    found = [(form, matched) for form, each in FORMS.items() if (matched := each.fullmatch(command))]
    assert len(found) == 1, f"{command!r}: add it to RUN_BY with the test that runs it, or to LOOKED_AT"
    return found[0]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page.stem}: {each}" for page, each in COMMANDS])
def test_a_command_is_known_and_names_what_is_generated(
    page: Path, command: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, matched = match(command)
    groups = {name: word for name, word in matched.groupdict().items() if word}
    own = set(re.findall(r"\[tool\.twofold\.services\.([a-z-]+)\]", page.read_text()))
    services = FIXED | ROLES | own
    for name in groups.get("services", groups.get("service", "")).split():
        assert name in services
    if "workload" in groups:
        assert groups["workload"].partition("-")[2] in services | {OWNER, MIGRATE}
    if "overlay" in groups:
        topology = topology_of(PLAIN, tmp_path)
        files = kubernetes_files(topology, tag="1", images=topology.project.deploy.images)
        assert f"{groups['overlay'].removeprefix('deploy/k8s/')}/kustomization.yaml" in files


def test_what_the_pages_take_for_granted_is_generated(tmp_path: Path) -> None:
    topology = topology_of(PLAIN, tmp_path)
    images = topology.project.deploy.images
    files = compose_files(topology, tag="1", context="..", dockerfile="Dockerfile", images=images)
    assert "roll.sh" in files
    assert all(f"\n  {name}:\n" in files["compose.yaml"] for name in FIXED | ROLES)
    text = "".join(kubernetes_files(topology, tag="1", images=images).values())
    assert all(f"name: shop-{name}\n" in text for name in FIXED | ROLES | {OWNER, MIGRATE})


def test_every_form_is_needed() -> None:
    used = {match(command)[0] for _, command in COMMANDS}
    assert not set(FORMS) - used


@pytest.mark.parametrize(("file", "test"), sorted(set(RUN_BY.values())))
def test_the_test_that_runs_it_exists(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", ["docker compose stop nothing else", "kubectl delete everything", "docker compose"])
def test_a_command_that_nobody_knows_is_seen(command: str) -> None:
    with pytest.raises(AssertionError, match="add it to RUN_BY"):
        match(f"{command} --now")
