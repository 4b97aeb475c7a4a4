"""Roles split by component: each service has its part, and together they have everything."""

from __future__ import annotations

import httpx

from tests.system.cli_process import ROOT, twofold
from tests.system.services.cluster import APP, Cluster


def get(port: int, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=headers, timeout=30)


def test_services_of_one_role_share_its_components_and_name_what_is_anothers(cluster: Cluster) -> None:
    parts = {"projector": ("PartedBalance", "Journal,Balance"), "query": ("BalanceOf", "Journal,Balance")}
    made = [cluster.service(role, TWOFOLD_INCLUDE=part) for role, split in parts.items() for part in split]
    cluster.start_all([cluster.service("command", TWOFOLD_INCLUDE="Account"), *made])
    command, (balances, journals) = cluster.ports("command")[0], cluster.ports("query")
    for name, fields in (("OpenAccount", {"owner": "ann"}), ("Deposit", {"amount": "7"})):
        url = f"http://127.0.0.1:{command}/commands/{name}"
        answer = httpx.post(url, json={"account_id": "a1", **fields}, timeout=30)
        assert answer.status_code == 200, answer.text
    wanted = {"Twofold-After": answer.headers["twofold-position"]}
    assert get(balances, "/queries/BalanceOf?account_id=a1", **wanted).json() == "7"
    assert get(journals, "/queries/PositionsOf?account_id=a1", **wanted).json() == [1, 2]
    assert get(journals, "/queries/AccountsOf?owner=ann", **wanted).json()[0]["balance"] == "7"
    for port, name in ((balances, "PositionsOf"), (journals, "BalanceOf")):
        refused = get(port, f"/queries/{name}?account_id=a1")
        assert (refused.status_code, refused.json()["code"]) == (404, "wrong-service")
    described = [set(get(port, "/openapi.json").json()["paths"]) for port in (balances, journals)]
    queries = [{path for path in paths if path.startswith("/queries/")} for paths in described]
    assert queries[0] == {"/queries/BalanceOf"}
    assert queries[1] == {"/queries/AccountsOf", "/queries/PositionsOf", "/queries/LastPositionOf"}
    folded = [get(port, "/metrics").text for port in cluster.ports("projector")]
    assert ['partitions_held{read_model="Journal"}' in each for each in folded] == [False, True]


def test_a_name_that_is_none_of_the_role_keeps_the_service_from_starting() -> None:
    settings = {"TWOFOLD_INCLUDE": "Acount", "TWOFOLD_EVENT_LOG": "postgresql://nobody@127.0.0.1:9/none"}
    refused = twofold("serve", "command", APP, cwd=ROOT, settings=settings, code=2)
    assert "TWOFOLD_INCLUDE='Acount'" in refused.stderr
    assert "(there is Account, account)" in refused.stderr
