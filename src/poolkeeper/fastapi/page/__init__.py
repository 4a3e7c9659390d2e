"""A page that shows what the pool is doing and why, for people."""

from poolkeeper.fastapi.page.overview import Overview
from poolkeeper.fastapi.page.page import Page

__all__ = ["Overview", "Page"]
