"""Captured requests of a webhook, verified by Standard Webhooks' own library, which knows HMAC alone.

Argument: a file of {"secret", "requests": [{"headers", "body"}]}.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

with open(sys.argv[1], encoding="utf-8") as file:
    captured = json.load(file)
webhook = Webhook(captured["secret"])
for request in captured["requests"]:
    webhook.verify(request["body"].encode(), request["headers"])
    try:
        webhook.verify(request["body"].encode() + b" ", request["headers"])
    except WebhookVerificationError:
        continue
    raise SystemExit("another body is as good")
print(f"standardwebhooks of PyPI: {len(captured['requests'])} requests verified")
