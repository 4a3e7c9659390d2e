"""What a drill has found, for programs (JSON, JUnit) and for people (a page)."""

from poolkeeper.drill.report.document import Report, surroundings
from poolkeeper.drill.report.junit import junit
from poolkeeper.drill.report.page import page

__all__ = ["Report", "junit", "page", "surroundings"]
