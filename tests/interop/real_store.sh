#!/usr/bin/env bash
# A store written by the real program, verified by the Python verifier; then one cell of it changed, and found.
set -euo pipefail
tacho="$1" python="$2"
here="$(cd "$(dirname "$0")" && pwd)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
place=(--data "$scratch/data" --keys "$scratch/keys")
"$python" - "$scratch/events.ndjson" <<'PY'
import json, sys
with open(sys.argv[1], "w") as out:
    for at in range(1500):
        out.write(json.dumps({"event_id": f"e-{at}", "time": "2026-11-21T10:00:00Z", "kind": "call", "user_id": f"u-{at % 7}",
            "server": "github", "capability": "get_issue", "decision": "allow", "status": "ok", "latency_us": at,
            "arguments": {"number": at, "text": "ünïcode \u0000"}, "result": None if at % 3 else "done", "extra": at}) + "\n")
PY
"$tacho" ingest "${place[@]}" "$scratch/events.ndjson"
"$tacho" sql "${place[@]}" "SELECT count(*) FROM events" >/dev/null
key=$("$tacho" keys show "${place[@]}" --root | tail -n 1)
"$python" "$here/verify.py" "$scratch/data" --key "$key"
segment=$(find "$scratch/data/log/default/events" -path '*segments*' -name '*.parquet' | head -n 1)
"$python" - "$segment" <<'PY'
import sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
data[len(data) // 2] ^= 1
open(path, "wb").write(data)
PY
if "$python" "$here/verify.py" "$scratch/data" --key "$key"; then
  echo "a flipped byte of $segment was not found" >&2
  exit 1
fi
echo "clean, and the flipped byte was found"
