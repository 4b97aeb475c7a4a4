"""The demo: starts the shop, drives it over HTTP, and audits what it did.

python -m examples.shop.demo [--csv PATH] [--result FILE] [--keep]
"""
