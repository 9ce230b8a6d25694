"""An agent that calls tools of a real MCP server in another process; both tell of it over OTLP.

Beside the tool calls there is what else an agent's telemetry holds: a model call, which is no tool activity, and a log
record of a tool's result.
"""

import asyncio
import os
import sys
from pathlib import Path

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

import exporters

HERE = Path(__file__).parent
SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


async def main():
    transport = StdioTransport(
        command=sys.executable, args=[str(HERE / "server.py")], env=dict(os.environ), cwd=str(HERE)
    )
    tracer = trace.get_tracer("agent")
    async with Client(transport) as client:
        for city in ["Kyiv", "Lagos", "Lima"]:
            await client.call_tool("get_weather", {"city": city})
        try:
            await client.call_tool("delete_rows", {"table": "customers"})
            raise AssertionError("it was not denied")
        except ToolError:
            pass
        await client.read_resource("notes://today")
    with tracer.start_as_current_span("chat gpt", attributes={"gen_ai.operation.name": "chat"}):
        pass
    with tracer.start_as_current_span(
        "execute_tool search",
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
            "gen_ai.tool.call.id": "call-1",
            "gen_ai.tool.call.arguments": '{"query": "x", "token": "' + SECRET + '"}',
            "gen_ai.agent.id": "agent-7",
            "gen_ai.conversation.id": "conversation-1",
            "user.id": "u-9",
        },
    ):
        pass
    record = LogRecord(
        severity_number=SeverityNumber.INFO,
        body="claude_code.tool_result",
        attributes={
            "event.name": "tool_result",
            "tool_name": "Bash",
            "tool_use_id": "use-1",
            "success": "true",
            "user.id": "u-9",
        },
    )
    # As Claude Code does.
    get_logger("com.anthropic.claude_code.events").emit(record)


if __name__ == "__main__":
    providers = exporters.start("travel-agent")
    asyncio.run(main())
    exporters.stop(*providers)
    print("agent: done")
