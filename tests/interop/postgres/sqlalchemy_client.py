"""SQLAlchemy over psycopg: reflection, then a query through what it found.

Usage: sqlalchemy_client.py HOST PORT, with PGPASSWORD set.
"""

import os
import sys

import sqlalchemy
from sqlalchemy import create_engine, func, inspect, select

host, port = sys.argv[1], int(sys.argv[2])
url = sqlalchemy.URL.create(
    "postgresql+psycopg", "me", os.environ["PGPASSWORD"], host, port, "tacho"
)
engine = create_engine(url)
found = inspect(engine)
assert found.get_schema_names() == ["information_schema", "public"], found.get_schema_names()
tables = found.get_table_names()
assert {"events", "alerts", "access", "payloads"} <= set(tables), tables
assert found.get_view_names() == []
columns = {column["name"]: column for column in found.get_columns("events")}
assert str(columns["time"]["type"]) == "TIMESTAMP", columns["time"]
assert columns["time"]["type"].timezone is True
assert str(columns["latency_us"]["type"]) == "BIGINT"
assert repr(columns["scopes"]["type"]) == "ARRAY(TEXT())", columns["scopes"]
assert columns["latency_us"]["comment"], "columns are explained"
assert found.get_pk_constraint("events")["constrained_columns"] == []
assert found.get_foreign_keys("events") == []
assert found.get_indexes("events") == []
assert found.get_unique_constraints("events") == []

metadata = sqlalchemy.MetaData()
metadata.reflect(engine, only=["events"])
events = metadata.tables["events"]
with engine.connect() as connection:
    query = select(events.c.user_id, func.count()).where(events.c.latency_us > 1200).group_by(events.c.user_id)
    rows = connection.execute(query.order_by(events.c.user_id)).all()
    assert sum(row[1] for row in rows) == 299, rows
print("sqlalchemy: done")
