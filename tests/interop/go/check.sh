#!/usr/bin/env bash
# A log of more than 70,000 entries, partly sealed, as the real program serves it: Tessera's fsck over all of it, sumdb's note
# and tlog over checkpoint, tiles and proofs, and a proof carried away. Then the same with a byte changed, which each must see.
#   check.sh TACHO TACHO_VERIFY INTEROP FSCK
set -euo pipefail
tacho="$1" verify="$2" interop="$3" fsck="$4"
home=$(mktemp -d)
service="" proxy=""
end() {
  [ -n "$proxy" ] && kill "$proxy" 2>/dev/null && wait "$proxy"
  [ -n "$service" ] && kill "$service" 2>/dev/null && wait "$service"
  rm -rf "$home"
}
trap end EXIT

events() {
  awk -v from="$1" -v to="$2" 'BEGIN { for (at = from; at < to; at++)
    printf "{\"event_id\":\"e-%d\",\"time\":\"2026-11-21T10:00:00Z\",\"kind\":\"call\",\"session_id\":\"s-%d\",\"server\":\"db\",\"capability\":\"rows\",\"arguments\":{\"n\":%d}}\n", at, at % 97, at }'
}

"$tacho" serve --data "$home/data" --keys "$home/keys" --listen 127.0.0.1:0 >"$home/ready" 2>"$home/service.log" &
service=$!
for _ in $(seq 200); do
  grep -q '^ready' "$home/ready" && break
  sleep 0.1
done
address=$(sed -nE 's/^ready http=([^ ]+).*/\1/p' "$home/ready")
token=$(cat "$home/keys/admin.token")
# The first part is over what is sealed at once; the second stays in memory.
events 0 66000 >"$home/first.ndjson"
events 66000 70321 >"$home/second.ndjson"
export TACHO_TOKEN="$token"
"$tacho" ingest --url "http://$address" "$home/first.ndjson"
for _ in $(seq 100); do
  compgen -G "$home/data/log/default/events/w1/manifest/*1" >/dev/null && break
  sleep 0.1
done
"$tacho" ingest --url "http://$address" "$home/second.ndjson"
sleep 2
echo "segments sealed: $(find "$home/data/log/default/events" -path '*segments*' -name '*.parquet' | wc -l)"
"$tacho" keys show --data "$home/data" --keys "$home/keys" >"$home/keys.txt"
root_key=$("$tacho" keys show --data "$home/data" --keys "$home/keys" --root | tail -n 1)
grep -oE '[^ ]+/default/events/w1\+[0-9a-f]{8}\+[^ ]+' "$home/keys.txt" | head -n 1 >"$home/log.key"
log_key=$(cat "$home/log.key")
printf '%s' "$log_key" >"$home/log.key"
printf '%s' "$root_key" >"$home/root.key"

# whole BASE PATH KEY: what fsck says of a log; its exit code is 0 whatever it finds.
whole() {
  "$fsck" -ui=false -v=1 -logtostderr -N 4 -bearer_token "$token" -storage_url "$1$2" -public_key "$3" >"$home/fsck.log" 2>&1 || true
  ! grep -q 'fsck failed' "$home/fsck.log" && grep -q 'Completed ranges' "$home/fsck.log"
}
log=/api/v1/logs/default/events/w1/
if ! whole "http://$address" "$log" "$home/log.key"; then
  tail -n 20 "$home/fsck.log"
  echo "fsck did not find the log whole" >&2
  exit 1
fi
size=$(curl -sf -H "authorization: Bearer $token" "http://$address${log}checkpoint" | sed -n 2p)
[ "$size" -gt 70000 ]
echo "Tessera's fsck: a log of $size entries is whole"
if ! whole "http://$address" /api/v1/logs/_root/root/w1/ "$home/root.key"; then
  tail -n 20 "$home/fsck.log"
  echo "fsck did not find the root log whole" >&2
  exit 1
fi
echo "Tessera's fsck: the root log is whole"

"$interop" -base "http://$address" -token "$token" -key "$log_key" -root-key "$root_key"

"$tacho" prove e-65999 --url "http://$address" --out "$home/proof.json"
"$verify" proof "$home/proof.json" --key "$root_key" | head -n 3

# through PATH: a proxy that changes a byte of the answer to PATH and passes on all else; its address in $through.
through() {
  "$interop" -base "http://$address" -serve "$1" >"$home/proxy" &
  proxy=$!
  for _ in $(seq 100); do
    grep -q '^ready' "$home/proxy" && break
    sleep 0.1
  done
  through="http://$(sed -nE 's/^ready http=([^ ]+).*/\1/p' "$home/proxy")"
}
without() {
  kill "$proxy" && wait "$proxy" || true
  proxy=""
}
# seen BY PATH COMMAND...: with one byte of the answer to PATH changed, the command must fail.
seen() {
  local by="$1" path="$2"; shift 2
  through "$path"
  if "$@" >"$home/seen.log" 2>&1; then
    cat "$home/seen.log"
    echo "a changed byte of $path was not seen by $by" >&2
    exit 1
  fi
  without
  echo "a changed byte of $path: seen by $by"
}
by_fsck() { whole "$through" "$log" "$home/log.key"; }
by_sumdb() { "$interop" -base "$through" -token "$token" -key "$log_key" -root-key "$root_key"; }
# Nothing changed: it is not the proxy that they see.
through /nothing
by_fsck
by_sumdb
without
partial=$((size % 256))
index=$((size / 256))
last="$(printf '%03d' "$index").p/$partial"
for path in checkpoint tile/0/000 tile/0/255 "tile/0/$last" tile/1/000 tile/entries/000 "tile/entries/$last"; do
  seen fsck "$log$path" by_fsck
done
for path in checkpoint tile/0/000 tile/1/000; do
  seen sumdb "$log$path" by_sumdb
done
kill -0 "$service"
