"""What a service tells Prometheus, read as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from poolkeeper.model import Histogram

_QUOTED = r'"(?:\\.|[^"\\])*"'
_SAMPLE = re.compile(
    rf"""(?P<name>[a-zA-Z_:][\w:]*)
         (?:\{{(?P<labels>(?:{_QUOTED}|[^"{{}}])*)\}})?
         [ \t]+(?P<value>\S+)
         (?:[ \t]+-?[\d.eE+-]+)?   # when it was taken
         (?:[ \t]+\#.*)?           # an exemplar
         [ \t]*""",
    re.VERBOSE,
)
_LABEL = re.compile(rf"\s*(?P<name>[a-zA-Z_]\w*)\s*=\s*(?P<value>{_QUOTED})\s*(?:,|$)")
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_LONGEST_QUOTE = 60


class ScrapeUnreadable(ValueError):  # noqa: N818 - says what happened, as errors.py does
    """The text is no scrape, or lacks what is asked for. The message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a scrape."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything that a service told at one moment."""

    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, text: str) -> Scrape:
        """Read the text format of Prometheus, or that of OpenMetrics. Raises `ScrapeUnreadable`."""
        return cls(tuple(_samples(text)))

    def values(self, name: str, label: str) -> dict[str, float]:
        """The numbers of this name, by the value of a label; those that differ only in other labels are added up."""
        found: dict[str, float] = {}
        for sample in self.samples:
            if sample.name == name and label in sample.labels:
                found[sample.labels[label]] = found.get(sample.labels[label], 0.0) + sample.value
        return found

    def number(self, name: str) -> float | None:
        """The number of this name without labels; None where there is none."""
        return next((sample.value for sample in self.samples if sample.name == name and not sample.labels), None)

    def histograms(self, name: str, label: str) -> dict[str, Histogram]:
        """The histograms of this name, in seconds, by the value of a label.

        Raises `ScrapeUnreadable` where the buckets of one do not add up.
        """
        totals = self.values(f"{name}_sum", label)
        buckets: dict[str, dict[float, float]] = {}
        for sample in self.samples:
            if sample.name == f"{name}_bucket" and label in sample.labels:
                bound = _number(sample.labels.get("le", ""), f"{name}_bucket")
                of_one = buckets.setdefault(sample.labels[label], {})
                of_one[bound] = of_one.get(bound, 0.0) + sample.value
        return {key: _histogram(f"{name} of {key}", found, totals.get(key, 0.0)) for key, found in buckets.items()}


def _samples(text: str) -> Iterator[Sample]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if (match := _SAMPLE.fullmatch(stripped)) is None:
            raise ScrapeUnreadable(
                f"line {number} is no metric of Prometheus: {stripped[:_LONGEST_QUOTE]!r}; give the address of the "
                "service's metrics, such as http://127.0.0.1:8000/metrics, or a file with what it answered"
            )
        where = f"line {number}"
        yield Sample(match["name"], _labels(match["labels"] or "", where), _number(match["value"], where))


def _labels(text: str, where: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        if (match := _LABEL.match(text, at)) is None:
            raise ScrapeUnreadable(f"{where}: {text[at:][:_LONGEST_QUOTE]!r} is no label of a metric")
        labels[match["name"]] = re.sub(r"\\.", _unescaped, match["value"][1:-1])
        at = match.end()
    return labels


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0], match[0])


def _number(text: str, where: str) -> float:
    # float() knows +Inf and NaN, as Prometheus writes them.
    try:
        return float(text)
    except ValueError:
        raise ScrapeUnreadable(f"{where}: {text[:_LONGEST_QUOTE]!r} is no number") from None


def _histogram(name: str, buckets: Mapping[float, float], total: float) -> Histogram:
    bounds = sorted(buckets)
    grown = [buckets[bound] for bound in bounds]
    adds_up = all(math.isfinite(count) and count >= 0 for count in grown) and grown == sorted(grown)
    if bounds[-1] != math.inf or not adds_up or not (math.isfinite(total) and total >= 0):
        raise ScrapeUnreadable(f"the buckets of {name} do not add up: the scrape is cut off or damaged")
    counts = tuple(round(after - before) for before, after in pairwise([0.0, *grown]))
    return Histogram(counts, total, tuple(bounds[:-1]))
