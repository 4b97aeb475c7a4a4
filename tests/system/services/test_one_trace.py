"""A command, its append, its fold in another process and a query of a third are one trace, and one conversation."""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.otlp import ReceivedSpan, Receiver, receiving
from tests.system.faults.process import ServiceProcess
from tests.system.services.cluster import Cluster, until

SERVER, INTERNAL = 2, 1


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def started(cluster: Cluster, **settings: str) -> dict[str, ServiceProcess]:
    services = {
        role: cluster.service(role, port=None, entry=None, **settings) for role in ("command", "query", "projector")
    }
    cluster.start_all(list(services.values()))
    return services


def lines_of(service: ServiceProcess, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in service.output.read_text().splitlines() if line.startswith("{")]
    return [each for each in found if each["event"] == event]


def deposit_and_ask(services: dict[str, ServiceProcess], headers: dict[str, str]) -> None:
    command, query = (f"http://127.0.0.1:{services[role].port}" for role in ("command", "query"))
    opened = httpx.post(f"{command}/commands/OpenAccount", json={"account_id": "a", "owner": "ann"})
    assert opened.status_code == 200, opened.text
    done = httpx.post(f"{command}/commands/Deposit", json={"account_id": "a", "amount": "5"}, headers=headers)
    assert done.status_code == 200, done.text
    after = {"Twofold-After": done.headers["twofold-position"], **headers}
    asked = httpx.get(f"{query}/queries/BalanceOf", params={"account_id": "a"}, headers=after)
    assert asked.json() == "5", asked.text


def child_of(parent: ReceivedSpan, name: str, spans: list[ReceivedSpan]) -> ReceivedSpan:
    (found,) = [each for each in spans if each.name == name and each.parent_id == parent.span_id]
    return found


def test_a_command_its_fold_and_a_query_in_three_processes_are_one_trace(cluster: Cluster, receiver: Receiver) -> None:
    services = started(cluster, TWOFOLD_OTLP_ENDPOINT=receiver.url, OTEL_BSP_SCHEDULE_DELAY="100")
    trace_id, root = secrets.token_hex(16), secrets.token_hex(8)
    deposit_and_ask(services, {"traceparent": f"00-{trace_id}-{root}-01", "X-Correlation-ID": "trip-7"})
    wanted = {"POST /commands/Deposit", "command Deposit", "decide Deposit", "append"}
    wanted |= {"fold PartedBalance", "fold Journal", "GET /queries/BalanceOf", "query BalanceOf"}
    until(lambda: wanted <= {each.name for each in receiver.of(trace_id)}, f"{wanted} are exported")
    spans = receiver.of(trace_id)
    (posted,) = [each for each in spans if each.name == "POST /commands/Deposit"]
    (asked,) = [each for each in spans if each.name == "GET /queries/BalanceOf"]
    assert posted.parent_id == asked.parent_id == root
    assert (posted.kind, asked.kind) == (SERVER, SERVER)
    command = child_of(posted, "command Deposit", spans)
    for name in ("decide Deposit", "append", "fold PartedBalance", "fold Journal"):
        assert child_of(command, name, spans).kind == INTERNAL
    child_of(asked, "query BalanceOf", spans)
    by = {each.name: each.service.rpartition("-")[2] for each in spans}
    assert (by["append"], by["fold Journal"], by["query BalanceOf"]) == ("command", "projector", "query")
    for service in (services["command"], services["query"]):
        service.end()
        (line,) = [each for each in lines_of(service, "request") if each["correlation_id"] == "trip-7"]
        assert line["trace_id"] == trace_id


def test_the_standard_variables_are_enough(cluster: Cluster, receiver: Receiver) -> None:
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": "till"}
    services = started(cluster, **named, OTEL_TRACES_SAMPLER="parentbased_always_off")
    kept, dropped = secrets.token_hex(16), secrets.token_hex(16)
    deposit_and_ask(services, {"traceparent": f"00-{kept}-{secrets.token_hex(8)}-01"})
    command = f"http://127.0.0.1:{services['command'].port}/commands/Deposit"
    fields = {"account_id": "a", "amount": "5"}
    httpx.post(command, json=fields, headers={"traceparent": f"00-{dropped}-{secrets.token_hex(8)}-00"})
    for service in services.values():
        service.end()  # what has not been sent yet is sent at the end
    assert {each.service for each in receiver.of(kept)} == {"till"}
    assert {"command Deposit", "append", "query BalanceOf"} <= {each.name for each in receiver.of(kept)}
    assert receiver.of(dropped) == []
    last = cluster.log()[-1]["metadata"]
    assert last["traceparent"][3:35] == dropped  # handed on all the same


def test_a_receiver_that_is_gone_keeps_no_service_from_its_work_or_its_end(
    cluster: Cluster, receiver: Receiver
) -> None:
    gone = receiver.url
    receiver.server.server_close()
    services = started(cluster, TWOFOLD_OTLP_ENDPOINT=gone, OTEL_BSP_SCHEDULE_DELAY="100")
    deposit_and_ask(services, {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"})
    for service in services.values():
        service.end()


def test_without_traces_a_place_in_one_is_handed_on_and_nothing_is_sent(cluster: Cluster, tmp_path: Path) -> None:
    services = started(cluster)
    assert not [name for name in os.environ if name.startswith("OTEL_")]
    traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    deposit_and_ask(services, {"traceparent": traceparent, "tracestate": "vendor=1", "X-Causation-ID": "17"})
    last = cluster.log()[-1]["metadata"]
    assert (last["traceparent"], last["tracestate"]) == (traceparent, "vendor=1")
    assert last["causation_id"] == "17"
