"""The reference service under load, on real databases."""

from poolkeeper.drill.client import HttpClient, Response, ResponseCutOff
from poolkeeper.drill.histogram import Histogram
from poolkeeper.drill.load import Load, LoadResult, Recorder, Second, steady
from poolkeeper.drill.load_process import LoadProcess, SteadyLoad
from poolkeeper.drill.service import Service, ServiceFailed, reference_service
from poolkeeper.drill.traffic import ORDERS_MIX, Call, OrdersTraffic, Traffic

__all__ = [
    "ORDERS_MIX",
    "Call",
    "Histogram",
    "HttpClient",
    "Load",
    "LoadProcess",
    "LoadResult",
    "OrdersTraffic",
    "Recorder",
    "Response",
    "ResponseCutOff",
    "Second",
    "Service",
    "ServiceFailed",
    "SteadyLoad",
    "Traffic",
    "reference_service",
    "steady",
]
