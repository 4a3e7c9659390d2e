"""A statement that writes is never taken for a read, however it is dressed up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolkeeper.database.read_only import why_not_read

READS = [
    "SELECT 1",
    "  \n\tselect * from orders where note = 'please update; delete me'",
    "SELECT 'it''s; INSERT INTO x' AS \"update\" FROM `delete`",
    "SELECT $$it's$$, $tag$ a $$ y $tag$",
    "-- INSERT INTO x\nSELECT 1",
    "/* UPDATE x */ SELECT /* INTO */ 1 -- DELETE",
    "SELECT 1;",
    "SELECT 1; -- done",
    "(SELECT 1) UNION (SELECT 2)",
    "WITH recent AS (SELECT * FROM orders) SELECT * FROM recent",
    "VALUES (1), (2)",
    "TABLE orders",
    "SHOW server_version",
    "EXPLAIN SELECT * FROM orders",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM orders",
    "EXPLAIN ANALYZE VERBOSE SELECT * FROM orders",
    "PRAGMA table_info(orders)",
    "PRAGMA main.index_list('orders');",
    "PRAGMA foreign_keys",
    "/*Made by hand*/ SELECT 1",
    "SELECT ARRAY['a]', 'b'][1], tags[2] FROM orders",
    "SELECT 2*/* twice */3",
    "SELECT updated_at, deleted, insert_count FROM orders",
    r"SELECT * FROM files WHERE path = 'C:\\temp'",
    "SELECT E'it\\'s' FROM orders",
]

WRITES = [
    "",
    ";",
    "INSERT INTO orders VALUES (1)",
    "/* a comment */ UPDATE orders SET id = 1",
    "-- SELECT\nDELETE FROM orders",
    "REPLACE INTO orders VALUES (1)",
    "MERGE INTO orders USING x ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE orders",
    "DROP TABLE orders",
    "CALL pay(1)",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "COPY orders FROM STDIN",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "LOCK TABLE orders",
    "BEGIN",
    "COMMIT",
    "VACUUM",
    "SELECT 1; DELETE FROM orders",
    "SELECT 1;/**/DELETE FROM orders",
    "SELECT 1;\u00a0DELETE FROM orders",
    "SELECT ';'; DELETE FROM orders",
    "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
    "with gone as (/**/insert/**/into orders values (1) returning id) select * from gone",
    "WITH x AS (SELECT 1) UPDATE orders SET id = 1",
    "WITH x AS (MERGE INTO orders USING y ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT 1",
    "SELECT * INTO copied FROM orders",
    "SELECT * FROM orders INTO OUTFILE '/tmp/orders'",
    "SELECT id FROM orders FOR UPDATE",
    "SELECT id FROM orders FOR\n  NO KEY UPDATE SKIP LOCKED",
    "SELECT id FROM orders FOR SHARE",
    "SELECT id FROM orders FOR/**/UPDATE",
    "SELECT id FROM orders LOCK IN SHARE MODE",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "EXPLAIN (ANALYZE) UPDATE orders SET id = 1",
    "EXPLAIN ANALYZE INSERT INTO orders VALUES (1)",
    "EXPLAIN ANALYZE CREATE TABLE copied AS SELECT * FROM orders",
    "EXPLAIN (ANALYZE, FORMAT JSON) CREATE TABLE copied AS TABLE orders",
    "EXPLAIN ANALYZE EXECUTE pay(1)",
    "PRAGMA user_version = 2",
    "PRAGMA journal_mode(WAL)",
    # What one server reads as a comment or a string is code for another.
    "SELECT 1 /*! INTO OUTFILE '/tmp/x' */",
    "/*! DELETE FROM orders */",
    "SELECT 1 /*!50000 ; DELETE FROM orders */",
    "SELECT 1 /*M! INTO OUTFILE '/tmp/x' */",
    "SELECT 1 /*M!100100 FOR UPDATE */",
    "SELECT '\\'; DELETE FROM orders; --'",
    "SELECT '\\' ; DELETE FROM orders; -- '",
    "SELECT E'\\''; DELETE FROM orders --'",
    'SELECT "\\"; DELETE FROM orders -- "',
    "SELECT 1 # '\n; DELETE FROM orders -- '",
    "SELECT 1 -- '\n; DELETE FROM orders -- '",
    "SELECT /* /* */ */ 1; DELETE FROM orders",
    "/* /* */ SELECT 1 -- */ DELETE FROM orders",
    "SELECT $$a$$; DELETE FROM orders; SELECT $$b$$",
    "SELECT $a$ $b$ $a$; DELETE FROM orders; SELECT $b$",
    "SELECT a$$, 1; DELETE FROM orders; SELECT b$$",
    "SELECT 1 --'\n; DELETE FROM orders --'",
    "SELECT 5--1'\n; DELETE FROM orders -- '",
    "SELECT $1$$, 1; DELETE FROM orders; --$$",
    "SELECT 1 AS \u00e9$$, 1; DELETE FROM orders; SELECT 1 AS \u00e9$$",
    "SELECT 5--1 INTO OUTFILE '/tmp/x'",
    "SELECT 1 AS $$ INTO OUTFILE '/tmp/x' -- $$",
    'SELECT "\\"" INTO OUTFILE \'/tmp/x\' -- "',
    "WITH x AS (SELECT 1 AS [']) DELETE FROM orders -- '",
    "SELECT '\\', E'\\'' ; DELETE FROM orders; --'",
    "SELECT '\\', E'a'\n'\\'' ; DELETE FROM orders; --'",
    "SELECT 1 /*! ' */; DELETE FROM orders --'",
    "SELECT 1 /*!99999 ' */ INTO OUTFILE 'x' -- '",
    "PRAGMA optimize",
    "PRAGMA main.incremental_vacuum(10)",
    "PRAGMA table_info=3",
    "SELECT 'unfinished; DELETE FROM orders",
    "SELECT $$unfinished; DELETE FROM orders",
    "SELECT 1 /* unfinished ; DELETE FROM orders",
    "SELECT 1 FROM x PROCEDURE ANALYSE() INTO @a",
]


@pytest.mark.parametrize("statement", READS)
def test_a_read_is_accepted(statement: str) -> None:
    assert why_not_read(statement) is None


@pytest.mark.parametrize("statement", WRITES)
def test_a_write_is_refused(statement: str) -> None:
    assert why_not_read(statement) is not None


noise = st.sampled_from(
    [
        " ",
        "\n",
        "/* x */",
        "/* ' */",
        "-- '\n",
        "/* /* */ */",
        "'a'",
        "'it''s'",
        '"q"',
        "`b`",
        "$$d$$",
        "$t$ ' $t$",
        "1",
        ",",
    ]
)


@given(before=st.lists(noise, max_size=5), after=st.lists(noise, max_size=5), upper=st.booleans())
def test_a_write_between_complete_pieces_is_refused(before: list[str], after: list[str], *, upper: bool) -> None:
    write = "; delete from orders " if upper else "; DELETE FROM orders "
    assert why_not_read("SELECT 1 " + " ".join(before) + write + " ".join(after)) is not None


@given(st.text(alphabet="'\"`$a;-/*!#\\\n ", max_size=25))
def test_no_text_however_odd_takes_long_or_fails(text: str) -> None:
    why_not_read(f"SELECT {text}")
