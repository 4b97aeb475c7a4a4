"""Queries: questions with typed answers, read from the read models alone.

The lists come in pages: `start_after` is the last key of the page before.
"""

from typing import Annotated

from examples.shop.read_models import CustomerHistory, OrderDetails, ProductSearch, RevenueByCountry, SalesPerProduct
from twofold import Meta, Query, View, answer

PageSize = Annotated[int, Meta(ge=1, le=1_000)]


class OrderById(Query[OrderDetails | None]):
    order_id: str


@answer
async def order_by_id(query: OrderById, orders: View[OrderDetails]) -> OrderDetails | None:
    return await orders.get(query.order_id)


class OrdersOfCustomer(Query[list[OrderDetails]]):
    customer_id: str
    start_after: str | None = None
    limit: PageSize = 100


@answer
async def orders_of_customer(query: OrdersOfCustomer, orders: View[OrderDetails]) -> list[OrderDetails]:
    return await orders.find(
        customer_id=query.customer_id, order_by="order_id", start_after=query.start_after, limit=query.limit
    )


class Orders(Query[list[OrderDetails]]):
    start_after: str | None = None
    limit: PageSize = 100


@answer
async def all_orders(query: Orders, orders: View[OrderDetails]) -> list[OrderDetails]:
    return await orders.find(order_by="order_id", start_after=query.start_after, limit=query.limit)


class SalesOfProduct(Query[SalesPerProduct | None]):
    sku: str


@answer
async def sales_of_product(query: SalesOfProduct, sales: View[SalesPerProduct]) -> SalesPerProduct | None:
    return await sales.get(query.sku)


class Sales(Query[list[SalesPerProduct]]):
    start_after: str | None = None
    limit: PageSize = 100


@answer
async def all_sales(query: Sales, sales: View[SalesPerProduct]) -> list[SalesPerProduct]:
    return await sales.find(order_by="sku", start_after=query.start_after, limit=query.limit)


class BestSellers(Query[list[SalesPerProduct]]):
    """Products by revenue, the highest first."""

    limit: PageSize = 10


@answer
async def best_sellers(query: BestSellers, sales: View[SalesPerProduct]) -> list[SalesPerProduct]:
    return await sales.find(order_by="-revenue", limit=query.limit)


class Countries(Query[list[RevenueByCountry]]):
    """All countries, by name."""


@answer
async def countries(query: Countries, revenue: View[RevenueByCountry]) -> list[RevenueByCountry]:
    return await revenue.find(order_by="country")


class CustomerById(Query[CustomerHistory | None]):
    customer_id: str


@answer
async def customer_by_id(query: CustomerById, customers: View[CustomerHistory]) -> CustomerHistory | None:
    return await customers.get(query.customer_id)


class Customers(Query[list[CustomerHistory]]):
    start_after: str | None = None
    limit: PageSize = 100


@answer
async def all_customers(query: Customers, customers: View[CustomerHistory]) -> list[CustomerHistory]:
    return await customers.find(order_by="customer_id", start_after=query.start_after, limit=query.limit)


class SearchProducts(Query[list[ProductSearch]]):
    """Products whose code or name holds all words of `text`, the best match first."""

    text: Annotated[str, Meta(min_length=1, max_length=200)]
    limit: PageSize = 20


@answer
async def search_products(query: SearchProducts, products: View[ProductSearch]) -> list[ProductSearch]:
    return await products.search(query.text, limit=query.limit)


class Products(Query[list[ProductSearch]]):
    start_after: str | None = None
    limit: PageSize = 100


@answer
async def all_products(query: Products, products: View[ProductSearch]) -> list[ProductSearch]:
    return await products.find(order_by="sku", start_after=query.start_after, limit=query.limit)
