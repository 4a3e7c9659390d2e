"""Global transaction ids as places, in the words of either server."""

from __future__ import annotations

import pytest

from poolkeeper.model import Place
from poolkeeper.server.gtids import mariadb_place, mysql_shown, mysql_written

ONE, TWO = "3E11FA47-71CA-11E1-9E33-C80AA9429562", "4350f323-7565-4e59-8763-4b1b83a0ce0e"
A, B = ONE.replace("-", "").lower(), TWO.replace("-", "")


def test_mariadb_has_a_log_for_each_domain() -> None:
    assert mariadb_place("0-1-120") == Place({"0": 120})
    assert mariadb_place("0-1-120,7-33-4") == Place({"0": 120, "7": 4})
    assert mariadb_place("") is None


@pytest.mark.parametrize(
    ("gtids", "shown", "written"),
    [
        (f"{ONE}:1-77", {A: 77}, {A: 77}),
        (f"{ONE}:1", {A: 1}, {A: 1}),
        # Beyond a gap it has some, and a replica has to have all of it.
        (f"{ONE}:1-77:80-90,\n{TWO}:5-6", {A: 77, B: 0}, {A: 90, B: 6}),
    ],
)
def test_mysql_has_one_for_each_server_that_wrote(gtids: str, shown: dict[str, int], written: dict[str, int]) -> None:
    assert mysql_shown(gtids) == Place(shown)
    assert mysql_written(gtids) == Place(written)


def test_what_is_not_understood_is_no_place() -> None:
    assert mysql_shown("") is None
    assert mysql_written(f"{ONE}:1-5:tag:1-3") is None
    assert mariadb_place("120") is None


def test_a_set_that_may_have_been_cut_off_is_no_place() -> None:
    gaps = "".join(f":{number}-{number + 1}" for number in range(1, 500, 3))
    assert len(gaps) > 1000
    assert mysql_written(ONE + gaps) is None
    assert mysql_written(ONE + gaps[:800]) is not None


def test_a_place_that_fits_into_no_header_is_none() -> None:
    many = [f"{ONE[:-2]}{number:02}:1-{2**40}" for number in range(17)]
    assert mysql_written(",".join(many)) is None
    fitting = mysql_written(",".join(many[:16]))
    assert fitting is not None
    assert len(str(fitting)) < 900
    assert Place.parse(str(fitting)) == fitting
