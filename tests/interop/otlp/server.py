"""An MCP server with tools that succeed and fail, telling of them over OTLP."""

import sys

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError

import exporters

providers = exporters.start("weather-server")
server = FastMCP("weather")


@server.tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@server.tool
def delete_rows(table: str) -> str:
    """Deletes what is in a table."""
    raise ToolError(f"permission denied for table {table}")


@server.resource("notes://{name}")
def note(name: str) -> str:
    """A note."""
    return f"the note {name}"


if __name__ == "__main__":
    try:
        server.run(transport="stdio", show_banner=False)
    finally:
        exporters.stop(*providers)
        sys.stderr.write("server: done\n")
