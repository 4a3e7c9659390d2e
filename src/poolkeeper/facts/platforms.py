"""How a process shows that it runs on a serverless platform: environment variables that the platform sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from poolkeeper.facts.fact import Fact

_AS_OF = date(2026, 11, 20)


@dataclass(frozen=True, slots=True)
class Platform:
    """`freezes` says that a process stops between requests, so that nothing can look after its idle connections."""

    title: str
    freezes: bool


def _platform(title: str, source: str, *, freezes: bool = True) -> Fact[Platform]:
    return Fact(Platform(title, freezes), source, _AS_OF)


SERVERLESS_VARIABLES: dict[str, Fact[Platform]] = {
    "AWS_LAMBDA_FUNCTION_NAME": _platform("AWS Lambda", "AWS Lambda documentation, runtime environment variables"),
    "FUNCTIONS_WORKER_RUNTIME": _platform("Azure Functions", "Azure Functions documentation, app settings"),
    "FUNCTION_TARGET": _platform("Google Cloud Functions", "Google Cloud documentation, runtime environment variables"),
    "VERCEL": _platform("Vercel", "Vercel documentation, system environment variables"),
    "NETLIFY": _platform("Netlify", "Netlify documentation, environment variables; not verified for functions"),
    "K_SERVICE": _platform("Cloud Run or Knative", "Cloud Run documentation, container contract", freezes=False),
}


def serverless_platform(environ: Mapping[str, str]) -> Fact[Platform] | None:
    """The platform that an environment shows, or None."""
    return next((fact for name, fact in SERVERLESS_VARIABLES.items() if environ.get(name)), None)
