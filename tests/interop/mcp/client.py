"""A Python client: calls tools and reads resources of a server over stdio as a plan says, twenty at a time, and prints what came of each.

Usage: client.py PLAN MODE COMMAND...   PLAN: one {"name", "arguments"} or {"read"} a line; MODE: legacy or a protocol version.
"""

import json
import os
import sys

import anyio
from mcp import Client, StdioServerParameters


async def main(plan, mode, command, *arguments):
    with open(plan) as lines:
        calls = [json.loads(line) for line in lines if line.strip()]
    outcomes = [None] * len(calls)
    server = StdioServerParameters(command=command, args=list(arguments), env=dict(os.environ))

    async with Client(server, mode=mode) as client:
        await client.list_tools()

        async def call(at):
            try:
                if "read" in calls[at]:
                    await client.read_resource(calls[at]["read"])
                    outcomes[at] = "ok"
                else:
                    result = await client.call_tool(calls[at]["name"], calls[at]["arguments"])
                    outcomes[at] = "error" if result.is_error else "ok"
            except Exception:
                outcomes[at] = "error"

        for first in range(0, len(calls), 20):
            async with anyio.create_task_group() as group:
                for at in range(first, min(first + 20, len(calls))):
                    group.start_soon(call, at)
    print(json.dumps(outcomes))


anyio.run(main, *sys.argv[1:])
