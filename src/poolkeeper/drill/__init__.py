"""The reference service under load, on real databases."""

from poolkeeper.drill.client import HttpClient, Response, ResponseCutOff
from poolkeeper.drill.histogram import Histogram
from poolkeeper.drill.load import Load, LoadResult, Recorder, Second, steady
from poolkeeper.drill.load_process import LoadProcess, SteadyLoad
from poolkeeper.drill.place import Place, drop_tables, embedded_postgres, own_database, sqlite_file
from poolkeeper.drill.service import Service, ServiceFailed, reference_service
from poolkeeper.drill.traffic import ORDERS_MIX, Call, OrdersTraffic, Traffic
from poolkeeper.drill.watch import PoolTotals, PoolWatch

__all__ = [
    "ORDERS_MIX",
    "Call",
    "Histogram",
    "HttpClient",
    "Load",
    "LoadProcess",
    "LoadResult",
    "OrdersTraffic",
    "Place",
    "PoolTotals",
    "PoolWatch",
    "Recorder",
    "Response",
    "ResponseCutOff",
    "Second",
    "Service",
    "ServiceFailed",
    "SteadyLoad",
    "Traffic",
    "drop_tables",
    "embedded_postgres",
    "own_database",
    "reference_service",
    "sqlite_file",
    "steady",
]
