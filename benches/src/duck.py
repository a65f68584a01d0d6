"""DuckDB's side of `bench query`: loads the page views once, then times quantile_cont; prints JSON."""

import json
import sys
import time

import duckdb

database, table, times, questions = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
connection = duckdb.connect(database)
# It would be drawn into the answer.
connection.execute("set enable_progress_bar = false")
if table:
    connection.execute(
        "create or replace table view as select * from read_csv(?, header=false, columns={"
        "'start_ms': 'BIGINT', 'route': 'SMALLINT', 'device': 'TINYINT', 'lcp': 'INTEGER'})",
        [table],
    )
millis = {}
for name, sql in questions.items():
    taken = []
    for _ in range(times + 1):
        started = time.perf_counter()
        rows = connection.execute(sql).fetchall()
        taken.append((time.perf_counter() - started) * 1000)
        assert rows, name
    # The first one warms up.
    millis[name] = sorted(taken[1:])[times // 2] if times else None
print(json.dumps({"version": duckdb.__version__, "millis": millis}))
