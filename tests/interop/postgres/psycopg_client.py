"""psycopg 3 against the PostgreSQL port: parameters, binary, prepared statements, cursors, errors.

Usage: psycopg_client.py HOST PORT, with PGPASSWORD set. The record holds the events e-000 to e-299.
"""

import datetime
import os
import sys
import threading
import time

import psycopg

host, port = sys.argv[1], sys.argv[2]
conninfo = f"host={host} port={port} user=me dbname=tacho"


def refused(connection, sql, code, parameters=None):
    try:
        connection.execute(sql, parameters)
    except psycopg.Error as error:
        assert error.sqlstate == code, (sql, error.sqlstate, str(error))
        return error
    raise AssertionError(f"{sql}: it was answered")


with psycopg.connect(conninfo, autocommit=True) as connection:
    assert connection.info.parameter_status("TimeZone") == "UTC"
    [[count]] = connection.execute("SELECT count(*) FROM events WHERE control IS NULL").fetchall()
    assert count == 300, count

    # Types, in text and in binary.
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        cursor.execute(
            "SELECT event_id, time, latency_us, scopes, 1.5::float8, true, 'x'::bytea, NULL FROM events WHERE event_id = %s",
            ["e-007"],
        )
        event_id, when, latency, scopes, number, truth, raw, nothing = cursor.fetchone()
        assert event_id == "e-007", event_id
        assert when == datetime.datetime(2026, 11, 21, 10, 0, 7, 123456, datetime.timezone.utc), when
        assert latency == 1207 and number == 1.5 and truth is True and nothing is None
        assert bytes(raw) == b"x", raw
        assert scopes == ["repo", "with, comma"], scopes

    # Parameters of many types, prepared on the first run.
    for _ in range(3):
        rows = connection.execute(
            "SELECT event_id FROM events WHERE latency_us >= %s AND latency_us < %s AND time > %s"
            " AND event_id = ANY(%s) AND user_id <> %s ORDER BY event_id LIMIT %s",
            [1200, 1210, datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc), ["e-001", "e-002", "e-250"], "nobody", 10],
            prepare=True,
        ).fetchall()
        assert rows == [("e-001",), ("e-002",)], rows

    # What is not to be had.
    refused(connection, "INSERT INTO events VALUES (1)", "25006")
    refused(connection, "CREATE TABLE x (a int)", "25006")
    error = refused(connection, "SELECT nothing FROM events", "42703")
    assert error.diag.statement_position == "8", error.diag.statement_position
    assert error.diag.message_detail == "code: plan", error.diag.message_detail
    refused(connection, "SELECT * FROM nowhere", "42P01")
    refused(connection, "SELECT 1 / (latency_us - latency_us) FROM events", "22012")
    for copy in ("COPY events TO STDOUT", "COPY events FROM STDIN", "COPY events TO '/tmp/stolen'"):
        try:
            with connection.cursor().copy(copy) as stream:
                list(stream)
        except psycopg.Error as error:
            assert error.sqlstate == "0A000", (copy, error)
        else:
            raise AssertionError(f"{copy}: it was answered")

    # Another thread cancels.
    threading.Timer(0.5, connection.cancel_safe).start()
    began = time.monotonic()
    slow = "SELECT count(*) FROM events a, events b, events c, events d WHERE a.latency_us * b.latency_us + c.latency_us > d.latency_us * 7"
    refused(connection, slow, "57014")
    assert time.monotonic() - began < 5

with psycopg.connect(conninfo) as connection:
    # Server-side cursors, text and binary, in a transaction.
    for binary in (False, True):
        with connection.cursor(name="some name", binary=binary) as cursor:
            cursor.itersize = 70
            cursor.execute("SELECT event_id, latency_us FROM events WHERE latency_us >= %s ORDER BY event_id", [1250])
            rows = list(cursor)
            assert len(rows) == 250 and rows[0] == ("e-050", 1250), (len(rows), rows[:1])
    # A failed transaction, and a way out of it.
    refused(connection, "SELECT nothing FROM events", "42703")
    refused(connection, "SELECT 1", "25P02")
    connection.rollback()
    with connection.transaction():
        assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.commit()

try:
    psycopg.connect(conninfo, password=os.environ["PGPASSWORD"][:-1] + "x")
except psycopg.OperationalError as error:
    assert "password authentication failed" in str(error), error
else:
    raise AssertionError("a wrong password was taken")
print("psycopg: done")
