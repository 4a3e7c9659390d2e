"""One plan, told as files: pictures, a page, and the configuration of a pooler."""
