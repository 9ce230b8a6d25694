"""An example of what a kill switch calls: pip install standardwebhooks; KILL_SWITCH_KEY=whsec_... python kill_switch_receiver.py 8443

It verifies the signature, passes over what has expired or was done, and keeps what is a dry run or not exact for a person. Put TLS in
front of it, and where stop() is, what stops somebody in your gateway. Ids are kept in a file: nobody is stopped twice by one alert.
"""

import os, sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK, DONE, BYTES_MAX = Webhook(os.environ["KILL_SWITCH_KEY"]), os.environ.get("KILL_SWITCH_DONE", "done.txt"), 1 << 20

def stop(request, is_dry_run):
    print("would stop" if is_dry_run else "stop", request["entity"]["name"], "-", request["reason"], flush=True)

class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), BYTES_MAX))
        try:
            request = WEBHOOK.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            return self.answer(401)  # The recorder keeps it and tries again: look at the key.
        with open(DONE, "a+", encoding="utf-8") as done:
            done.seek(0)
            is_done = request["id"] in done.read().split("\n")
            has_expired = datetime.fromisoformat(request["expires_at"].replace("Z", "+00:00")) < datetime.now(timezone.utc)
            entity = request["entity"]
            is_exact = entity["complete"] and all(part["exact"] for part in entity["parts"])
            if request["action"] == "stop" and not is_done and not has_expired:
                is_dry_run = request["dry_run"] or not is_exact
                stop(request, is_dry_run)
                if not is_dry_run:
                    done.write(request["id"] + "\n")
        self.answer(204)  # Also for what was passed over: it need not come again.

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
