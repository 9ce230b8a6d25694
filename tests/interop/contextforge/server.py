"""An MCP server behind the gateway, over Streamable HTTP: a tool that works, one that fails, a resource and a prompt."""

import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP("tickets", host="127.0.0.1", port=int(sys.argv[1]))


@server.tool()
def get_ticket(number: int) -> str:
    """A ticket."""
    return f"ticket {number}: the printer is on fire"


@server.tool()
def delete_ticket(number: int) -> str:
    """Fails."""
    raise RuntimeError(f"permission denied for ticket {number}")


@server.resource("notes://today")
def today() -> str:
    """A note."""
    return "nothing happened"


@server.prompt()
def summarise(number: int) -> str:
    """A prompt."""
    return f"summarise ticket {number}"


server.run("streamable-http")
