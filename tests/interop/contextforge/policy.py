"""A policy of ours as a plugin of the gateway: tickets from 100 on are sealed."""

from cpex.framework import Plugin, PluginViolation, ToolPreInvokeResult


class SealedTickets(Plugin):
    """Denies calls about tickets from 100 on."""

    async def tool_pre_invoke(self, payload, context):
        if isinstance(payload.args.get("number"), int) and payload.args["number"] >= 100:
            violation = PluginViolation(
                reason="ticket is sealed",
                description="tickets from 100 on are sealed",
                code="SEALED",
                details={},
            )
            return ToolPreInvokeResult(continue_processing=False, violation=violation)
        return ToolPreInvokeResult(continue_processing=True)
