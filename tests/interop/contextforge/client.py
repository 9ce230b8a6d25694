"""People and their agents at the gateway: logs in, sets up a server behind it, calls its tools. Prints what was answered."""

import asyncio
import os
import sys

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.exceptions import McpError

GATEWAY, UPSTREAM = sys.argv[1:]
ADMIN, ADMIN_PASSWORD = os.environ["PLATFORM_ADMIN_EMAIL"], os.environ["PLATFORM_ADMIN_PASSWORD"]
PASSWORD = "Zebra-Kite-9931!x"


def said(what, answer):
    print(f"{what}: {answer}", flush=True)


async def login(http, email, password):
    """The header that lets in, or the refusal."""
    answer = await http.post("/auth/email/login", json={"email": email, "password": password})
    http.cookies.clear()
    if answer.status_code != 200:
        return answer.status_code
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def asked(http, method, path, header, **more):
    answer = await http.request(method, path, headers=header, **more)
    assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json()


async def set_up(http, admin):
    """Two users, the server behind the gateway, and a virtual server that offers what it has."""
    role = await asked(
        http,
        "POST",
        "/rbac/roles",
        admin,
        json={
            "name": "agents",
            "description": "May call tools",
            "scope": "global",
            "permissions": ["tools.read", "tools.execute", "resources.read", "prompts.read", "servers.read", "servers.use"],
        },
    )
    for name, has_role in (("ann", True), ("bob", False), ("eve", False)):
        user = {"email": f"{name}@acme.example", "password": PASSWORD, "full_name": name, "is_admin": False}
        await asked(http, "POST", "/auth/email/admin/users", admin, json=user)
        if has_role:
            path = f"/rbac/users/{name}@acme.example/roles"
            await asked(http, "POST", path, admin, json={"role_id": role["id"], "scope": "global"})
    gateway = {"name": "tickets", "url": UPSTREAM, "transport": "STREAMABLEHTTP"}
    await asked(http, "POST", "/gateways", admin, json=gateway)
    tools = []
    while len(tools) < 2:
        await asyncio.sleep(0.1)
        tools = await asked(http, "GET", "/tools", admin)
    server = {
        "server": {
            "name": "helpdesk",
            "associated_tools": [tool["id"] for tool in tools],
            "associated_resources": [one["id"] for one in await asked(http, "GET", "/resources", admin)],
            "associated_prompts": [one["id"] for one in await asked(http, "GET", "/prompts", admin)],
        }
    }
    return (await asked(http, "POST", "/servers", admin, json=server))["id"]


async def call(session, name, arguments):
    try:
        result = await session.call_tool(name, arguments)
        said(name, f"{'error' if result.isError else 'ok'} {result.content[0].text}")
    except McpError as error:
        said(name, f"refused {error}")


def connected(header, server):
    return streamablehttp_client(f"{GATEWAY}/servers/{server}/mcp", headers=header)


async def agent(header, server, calls):
    async with connected(header, server) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        said("tools", sorted(tool.name for tool in (await session.list_tools()).tools))
        for name, arguments in calls:
            await call(session, name, arguments)


async def reader(header, server):
    async with connected(header, server) as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        said("resource", (await session.read_resource("notes://today")).contents[0].text)
        name = (await session.list_prompts()).prompts[0].name
        said("prompt", (await session.get_prompt(name, {"number": "7"})).messages[0].content.text)


async def told(http, admin):
    """How many SIEM events were acknowledged, once none waits."""
    for _ in range(100):
        health = await asked(http, "GET", "/admin/siem/health", admin)
        destination = health["destinations"][0]
        if destination["status"] == "connected" and destination["queue_depth"] == 0:
            return destination["events_sent_1h"]
        await asyncio.sleep(0.2)
    raise AssertionError(health)


async def main():
    async with httpx.AsyncClient(base_url=GATEWAY, timeout=60) as http:
        said("wrong password", await login(http, ADMIN, "not this one"))
        admin = await login(http, ADMIN, ADMIN_PASSWORD)
        server = await set_up(http, admin)
        ann, bob, eve = [await login(http, f"{name}@acme.example", PASSWORD) for name in ("ann", "bob", "eve")]
        # An account that is closed while its token is still good.
        await asked(http, "PUT", "/auth/email/admin/users/eve@acme.example", admin, json={"is_active": False})
        said("eve", (await http.get("/tools", headers=eve)).status_code)
        calls = [
            ("tickets-get-ticket", {"number": 7}),
            ("tickets-get-ticket", {"number": 8}),
            ("tickets-delete-ticket", {"number": 7}),
            ("tickets-get-ticket", {"number": 100}),
            ("tickets-no-such-tool", {}),
        ]
        await agent(ann, server, calls)
        await reader(ann, server)
        # Whom the gateway's own roles do not let call anything.
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        request["params"] = {"name": "tickets-get-ticket", "arguments": {"number": 9}}
        said("bob", (await http.post("/rpc", headers=bob, json=request)).json().get("error"))
        # The recorder is away meanwhile; whoever runs this says when.
        said("recorder", "may go")
        sys.stdin.readline()
        request["params"]["arguments"]["number"] = 10
        said("away", (await http.post("/rpc", headers=admin, json=request)).json()["result"]["isError"])
        said("eve", (await http.get("/tools", headers=eve)).status_code)
        said("recorder", "may come back")
        sys.stdin.readline()
        said("siem", await told(http, admin))


asyncio.run(main())
