"""A server of the stateless protocol (2026-07-28) over stdio, with a tool that works, one that fails, and a resource."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("python-server", version="3.1")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def delete_everything() -> str:
    """Fails."""
    raise RuntimeError("not today")


@server.resource("notes://today")
def today() -> str:
    """What is to be done."""
    return "nothing"


server.run("stdio")
