"""The reference service travels inside the wheel for `poolkeeper demo`; a checkout runs it where it stands."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShipReferenceService(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["examples/orders/orders"] = "poolkeeper/examples/orders"
