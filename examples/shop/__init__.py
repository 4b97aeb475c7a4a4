"""A shop: products with a flash sale, orders and credit notes, and what is asked about them.

twofold dev examples.shop:app
"""

from examples.shop import orders, products, queries, read_models
from twofold import Application

app = Application("shop", [products, orders, read_models, queries])
