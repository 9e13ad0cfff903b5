"""DuckDB: Parquet and CSV are written by COPY and read by SELECT, globs included."""

import duckdb
import fsspec

base = duckdb.connect()
base.register_filesystem(fsspec.filesystem("ds"))
base.execute(
    "CREATE TABLE t AS SELECT i AS x, i % 3 AS part, 'é' || i AS name FROM range(5000) r(i)"
)
base.execute("COPY t TO 'ds://duck/one.parquet' (FORMAT parquet, ROW_GROUP_SIZE 1000)")
base.execute("COPY (SELECT * FROM t WHERE x < 100) TO 'ds://duck/two.parquet' (FORMAT parquet)")
assert base.execute("SELECT sum(x) FROM 'ds://duck/one.parquet'").fetchone() == (5000 * 4999 // 2,)
assert base.execute("SELECT count(*) FROM read_parquet('ds://duck/*.parquet')").fetchone() == (
    5100,
)
wanted = base.execute("SELECT x, name FROM t WHERE x > 4990 ORDER BY x").fetchall()
asked = "SELECT x, name FROM 'ds://duck/one.parquet' WHERE x > 4990 ORDER BY x"
assert base.execute(asked).fetchall() == wanted
base.execute("COPY t TO 'ds://duck/one.csv' (HEADER)")
assert base.execute("SELECT count(*), max(name) FROM read_csv('ds://duck/one.csv')").fetchone() == (
    base.execute("SELECT count(*), max(name) FROM t").fetchone()
)
base.execute("COPY t TO 'ds://duck/parts' (FORMAT parquet, PARTITION_BY (part))")
asked = (
    "SELECT part, count(*) FROM read_parquet('ds://duck/parts/*/*.parquet') GROUP BY 1 ORDER BY 1"
)
assert base.execute(asked).fetchall() == [(0, 1667), (1, 1667), (2, 1666)]
print("right")
