"""The /docs page in a real browser, moved through with the keyboard."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.conftest import FindTool
from tests.system.browser import Page, browsing
from tests.system.served import Served, serving

CTRL = 2


@pytest.fixture
async def served(tmp_path: Path) -> AsyncGenerator[Served]:
    async with serving("examples.shop:app", tmp_path) as served:
        yield served


@pytest.fixture
async def page(tmp_path: Path, find_tool: FindTool) -> AsyncGenerator[Page]:
    async with browsing(find_tool("chromium", "chromium-browser", "google-chrome"), tmp_path / "profile") as page:
        yield page


async def show(page: Page, served: Served, part: str) -> None:
    await page.go("about:blank")
    await page.go(f"{served.url}/docs{part}")
    await page.becomes_true("document.querySelector('main h1') !== null")


async def test_it_lists_commands_queries_and_read_models_with_lag_and_state(served: Served, page: Page) -> None:
    await show(page, served, "")
    text = await page.evaluate("document.querySelector('main').innerText")
    for name in ("AddProduct", "PlaceOrder", "OrdersOfCustomer", "SalesPerProduct", "ProductAdded"):
        assert name in text
    assert text.count("running") == 5
    assert await page.evaluate("document.querySelector('#status').innerText") == "ready"


async def test_a_command_and_then_a_query_are_tried_by_keyboard(served: Served, page: Page) -> None:
    await show(page, served, "#/command/AddProduct")
    await page.evaluate("document.querySelector('#body').focus()")
    await page.press("Enter", "Enter", 13, modifiers=CTRL)
    await page.becomes_true("document.querySelector('output').innerText.includes('200')")
    answer = await page.evaluate("document.querySelector('output').innerText")
    assert "product-sku-1" in answer
    assert "twofold-position" in answer

    await page.evaluate("location.hash = '#/query/Products'")
    await page.becomes_true("document.querySelector('main h1').innerText === 'Products'")
    assert await page.evaluate("document.querySelector('#after').checked")
    await page.evaluate("document.querySelector('#p-limit').focus()")
    await page.type("7")
    await page.press("Enter", "Enter", 13, modifiers=CTRL)
    await page.becomes_true("document.querySelector('output').innerText.includes('sku-1')")
    assert f"{served.url}/queries/Products?limit=7" in page.requested


async def test_a_refusal_is_shown_as_it_came(served: Served, page: Page) -> None:
    await show(page, served, "#/command/BuyNow")
    await page.evaluate("document.querySelector('form').requestSubmit()")
    await page.becomes_true("document.querySelector('output').innerText.includes('404')")
    assert "not-found" in await page.evaluate("document.querySelector('output').innerText")


async def test_every_part_can_be_shown_without_a_complaint_and_without_another_host(served: Served, page: Page) -> None:
    await show(page, served, "")
    parts = await page.evaluate("[...document.querySelectorAll('#contents a')].map(each => each.hash)")
    assert len(parts) == 5 + 11 + 5
    for part in parts:
        await page.evaluate(f"location.hash = '{part}'")
        name = part.rpartition("/")[2]
        await page.becomes_true(f"document.querySelector('main h1').innerText === '{name}'")
        assert await page.evaluate("document.querySelector('[aria-current]').hash") == part
        assert "[object" not in await page.evaluate("document.querySelector('main').innerText")
    assert not page.complaints
    assert not [url for url in page.requested if not url.startswith((served.url, "about:", "data:"))]


async def test_every_control_has_a_name_and_can_be_reached_by_keyboard(served: Served, page: Page) -> None:
    for part in ("", "#/command/PlaceOrder", "#/query/SearchProducts", "#/model/OrderDetails"):
        await show(page, served, part)
        nameless = await page.evaluate(
            "[...document.querySelectorAll('input, textarea, button, a')]"
            ".filter(each => !each.innerText?.trim() && !each.labels?.length && !each.getAttribute('aria-label'))"
            ".map(each => each.outerHTML)"
        )
        assert nameless == []
        assert await page.evaluate("[...document.querySelectorAll('[tabindex]')].every(each => each.tabIndex <= 0)")


async def test_the_filter_narrows_the_contents(served: Served, page: Page) -> None:
    await show(page, served, "")
    await page.press("/", "Slash", 191)
    await page.type("customer")
    await page.becomes_true("document.querySelectorAll('#contents a').length === 4")


async def test_it_is_as_dark_as_the_reader_likes(served: Served, page: Page) -> None:
    grounds: list[str] = []
    for scheme in ("light", "dark"):
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await show(page, served, "")
        grounds.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 247, 249)", "rgb(18, 21, 27)"]
