"""A small shop: customers with money, products with stock, and orders that move both."""
