"""Money is `Decimal`, in pounds, and never rounded."""

from decimal import Decimal

HIGHEST_PRICE = Decimal(1_000_000)
DECIMALS = 4


def is_price(amount: Decimal) -> bool:
    """Finite, not huge, at most four decimals: sums over millions of lines at such prices stay exact."""
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DECIMALS and abs(amount) <= HIGHEST_PRICE
