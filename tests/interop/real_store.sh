#!/usr/bin/env bash
# A store written by the real program, verified by the Python verifier; then one byte of it flipped and one cell of it
# changed in a Parquet file that is otherwise as it was, and each found.
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
cp "$segment" "$scratch/original.parquet"

# finds WHAT PATTERN...: the verifier exits 1 and its findings have a line with each pattern.
finds() {
  local what="$1" status=0; shift
  "$python" "$here/verify.py" "$scratch/data" --key "$key" >"$scratch/report" || status=$?
  cat "$scratch/report"
  if [ "$status" -ne 1 ]; then
    echo "$what was not found: exit code $status" >&2
    exit 1
  fi
  for pattern in "$@"; do
    if ! grep -q "^finding: .*$pattern" "$scratch/report"; then
      echo "$what was found, but no finding has: $pattern" >&2
      exit 1
    fi
  done
}

name=${segment#*/w1/}
"$python" - "$segment" <<'PY'
import sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
data[len(data) // 2] ^= 1
open(path, "wb").write(data)
PY
finds "a flipped byte of $name" "$name"

"$python" - "$scratch/original.parquet" "$segment" <<'PY'
import sys
import pyarrow as pa
import pyarrow.parquet as pq

source, target = sys.argv[1:]
original = pq.ParquetFile(source)
metadata, schema = original.metadata.metadata, original.schema_arrow
table = original.read()
at, row = schema.get_field_index("user_id"), 700
values = table.column(at).to_pylist()
assert values[row] is not None
values[row] = "u-somebody-else"
table = table.set_column(at, schema.field(at), pa.array(values, type=schema.field(at).type))
# The schema as it was read brings the field ids; the file's own metadata is added.
with pq.ParquetWriter(target, schema, compression="zstd", store_schema=False, write_page_index=True) as writer:
    writer.write_table(table)
    writer.add_key_value_metadata(metadata)

written = pq.ParquetFile(target)
ids = lambda file: [field.metadata[b"PARQUET:field_id"] for field in file.schema_arrow]
assert ids(written) == ids(original), "field ids"
assert written.metadata.metadata == metadata, "metadata"
before, after = original.read().to_pylist(), written.read().to_pylist()
differ = [(at, key) for at, (a, b) in enumerate(zip(before, after)) for key in a if a[key] != b[key]]
assert len(before) == len(after) and differ == [(row, "user_id")], differ
print(f"one cell changed: {differ}")
PY
finds "a changed cell of $name" "$name"
mv "$scratch/original.parquet" "$segment"
"$python" "$here/verify.py" "$scratch/data" --key "$key"
echo "clean, and the flipped byte and the changed cell were found"
