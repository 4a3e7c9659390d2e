"""What an app would leave to its migrations: `python make_tables.py`, with the database in SHOP_DB."""

import os

import psycopg

with psycopg.connect(os.environ["SHOP_DB"].replace("+asyncpg", ""), autocommit=True) as connection:
    connection.execute("CREATE TABLE products (id int)")
