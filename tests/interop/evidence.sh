#!/usr/bin/env bash
# Bundles of evidence that the real program exports, read by the Python verifier, by unzip's reader and by sha256sum; and each of a few
# changed ones refused by both verifiers.
set -euo pipefail
tacho="$1" verify="$2" python="$3"
here="$(cd "$(dirname "$0")" && pwd)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
place=(--data "$scratch/data" --keys "$scratch/keys")
"$python" - "$scratch/events.ndjson" <<'PY'
import json, sys
with open(sys.argv[1], "w") as out:
    for at in range(900):
        out.write(json.dumps({"event_id": f"e-{at}", "time": f"2026-11-21T10:{at // 60:02}:{at % 60:02}Z", "kind": "call",
            "user_id": f"=u-{at % 7}", "session_id": f"s-{at % 11}", "server": "github", "capability": "get_issue",
            "decision": "allow", "status": "ok", "latency_us": at, "scopes": ["a\"b", "ü"],
            "arguments": {"number": at, "text": "ünïcode \u0000"}, "result": None if at % 3 else "done", "extra": at}) + "\n")
PY
"$tacho" ingest "${place[@]}" "$scratch/events.ndjson"
key=$("$tacho" keys show "${place[@]}" --root | tail -n 1)
made=0
export_evidence() {
  made=$((made + 1))
  "$tacho" export evidence "${place[@]}" --out "$scratch/$made.zip" "$@"
  "$verify" "$scratch/$made.zip" --key "$key" --quiet
  "$python" "$here/evidence.py" "$scratch/$made.zip" --key "$key"
  rm -rf "$scratch/unpacked"
  "$python" -m zipfile -e "$scratch/$made.zip" "$scratch/unpacked"
  (cd "$scratch/unpacked" && sha256sum --quiet -c SHA256SUMS)
}
export_evidence --session s-3
export_evidence --session s-3 --complete --withhold arguments
export_evidence --range 5..300 --withhold all
export_evidence --range 0..1
# Happened in November 2026 and recorded whenever this runs: a time up to long after.
export_evidence --range 2026-11-21T10:01:00Z..2126-01-01T00:00:00Z --disclose arguments
export_evidence --range 1999-01-01T00:00:00Z..1999-01-02T00:00:00Z
export_evidence --sql "SELECT log_index FROM events WHERE latency_us % 97 = 5" --disclose result
export_evidence --sql "SELECT log_index FROM access ORDER BY log_index DESC LIMIT 5" --stream access

# refused WHAT FILE: both verifiers end with 1.
refused() {
  local status=0
  "$verify" "$2" --key "$key" >"$scratch/report" || status=$?
  [ "$status" -eq 1 ] || { cat "$scratch/report"; echo "$1: tacho-verify ends with $status" >&2; exit 1; }
  status=0
  "$python" "$here/evidence.py" "$2" --key "$key" >"$scratch/report" || status=$?
  [ "$status" -eq 1 ] || { cat "$scratch/report"; echo "$1: evidence.py ends with $status" >&2; exit 1; }
}
changed=0
while read -r name; do
  changed=$((changed + 1))
  refused "$name" "$scratch/changed/$name.zip"
done < <("$python" - "$scratch/3.zip" "$scratch/changed" <<'PY'
import hashlib, json, os, sys, zipfile
source, target = sys.argv[1:]
os.makedirs(target)
with zipfile.ZipFile(source) as archive:
    good = {name: archive.read(name) for name in archive.namelist()}

def write(name, files):
    """With sums that fit, so that the sums are not what finds it."""
    files = dict(files)
    files["SHA256SUMS"] = "".join(f"{hashlib.sha256(data).hexdigest()}  {at}\n" for at, data in files.items()
        if at != "SHA256SUMS").encode()
    with zipfile.ZipFile(os.path.join(target, name + ".zip"), "w") as archive:
        for at, data in files.items():
            info = zipfile.ZipInfo(at, (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    print(name)

def flipped(at, place):
    data = bytearray(good[at])
    data[place] ^= 1
    return good | {at: bytes(data)}

for at in good:
    if at not in ("SHA256SUMS", "CUSTODY.md", "LIMITS.md", "VERIFY.md", "bundle.json"):
        write(at.replace("/", "-"), flipped(at, len(good[at]) // 2))
manifest = json.loads(good["bundle.json"])
for name, change in (("last", {"last": 299}), ("rows", {"rows": 294}), ("shown", {"withheld": []}), ("kind", {"kind": "session"})):
    text = json.dumps(manifest | change, ensure_ascii=False, separators=(",", ":")) + "\n"
    write(f"manifest-{name}", good | {"bundle.json": text.encode()})
entries, at, kept = good["log/entries"], 0, []
while at < len(entries):
    length = int.from_bytes(entries[at : at + 2], "big")
    kept.append(entries[at : at + 2 + length])
    at += 2 + length
write("left-out", good | {"log/entries": b"".join(kept[:40] + kept[41:])})
write("missing", {at: data for at, data in good.items() if at != "log/hashes"})
write("more", good | {"log/more": b""})
PY
)
other=$("$tacho" sql --data "$scratch/other" --keys "$scratch/other-keys" "SELECT 1" >/dev/null && "$tacho" keys show --data "$scratch/other" --keys "$scratch/other-keys" --root | tail -n 1)
key="$other" refused "another installation's key" "$scratch/1.zip"
echo "evidence: $made bundles verified by both and by sha256sum; $changed changed ones refused by both, and another key"
