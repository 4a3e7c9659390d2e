"""What a drill has found, for programs (JSON, JUnit) and for people (a page, Markdown)."""

from poolkeeper.drill.report.document import Report, surroundings
from poolkeeper.drill.report.junit import junit
from poolkeeper.drill.report.markdown import markdown
from poolkeeper.drill.report.page import page

__all__ = ["Report", "junit", "markdown", "page", "surroundings"]
