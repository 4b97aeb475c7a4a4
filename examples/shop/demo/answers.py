"""What the shop answers, asked over HTTP: whole read models in pages, none older than the last command."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from examples.shop.read_models import CustomerHistory, OrderDetails, ProductSearch, RevenueByCountry, SalesPerProduct
from twofold import ReadModel
from twofold.testing.load import LoadClient

PAGE_SIZE = 500
WAIT_S = 5

M = TypeVar("M", bound=ReadModel)


class AskFailedError(Exception):
    """A query was not answered with 200; the text has the answer."""


@dataclass(slots=True)
class Answers:
    """All rows of all read models by key, and the best sellers."""

    orders: dict[str, OrderDetails]
    sales: dict[str, SalesPerProduct]
    countries: dict[str, RevenueByCountry]
    customers: dict[str, CustomerHistory]
    products: dict[str, ProductSearch]
    best_sellers: list[SalesPerProduct]


async def ask_everything(client: LoadClient, after: int) -> Answers:
    """`after` is the position that every answer must reflect."""
    return Answers(
        orders=await ask_all(client, "Orders", OrderDetails, "order_id", after),
        sales=await ask_all(client, "Sales", SalesPerProduct, "sku", after),
        countries={row.country: row for row in await ask(client, "Countries", RevenueByCountry, {}, after)},
        customers=await ask_all(client, "Customers", CustomerHistory, "customer_id", after),
        products=await ask_all(client, "Products", ProductSearch, "sku", after),
        best_sellers=await ask(client, "BestSellers", SalesPerProduct, {"limit": "10"}, after),
    )


async def ask_all(client: LoadClient, query: str, model: type[M], key: str, after: int) -> dict[str, M]:
    """Page by page; a page that brings nothing new ends it, so a broken pager can't keep the demo for ever."""
    rows: dict[str, M] = {}
    parameters = {"limit": str(PAGE_SIZE)}
    while True:
        page = await ask(client, query, model, parameters, after)
        known = len(rows)
        rows |= {getattr(row, key): row for row in page}
        if len(page) < PAGE_SIZE or len(rows) == known:
            return rows
        parameters["start_after"] = getattr(page[-1], key)


async def ask(client: LoadClient, query: str, model: type[M], parameters: Mapping[str, str], after: int) -> list[M]:
    path = f"/queries/{query}?{urlencode(parameters)}"
    headers = {"Twofold-After": str(after), "Prefer": f"wait={WAIT_S}"}
    response = await client.request("GET", path, headers=headers)
    if response.status != 200:
        raise AskFailedError(f"GET {path} answered {response.status}: {response.body[:500].decode(errors='replace')}")
    return msgspec.json.decode(response.body, type=list[model])  # type: ignore[valid-type]
