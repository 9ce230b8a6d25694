#!/usr/bin/env bash
# Property-based requests made from the served OpenAPI document: no server error, no answer that is not described.
#   schemathesis.sh TACHO SCHEMATHESIS
set -euo pipefail
tacho="$1" schemathesis="$2"
home=$(mktemp -d)
service=""
end() {
  [ -n "$service" ] && kill "$service" 2>/dev/null && wait "$service"
  rm -rf "$home"
}
trap end EXIT
# It keeps what it found in the directory that it runs in.
cd "$home"

# Login by browser, at a provider that is not there: its answers are described too.
cat >"$home/tacho.toml" <<'END'
[oidc]
issuer = "http://127.0.0.1:9"
audience = "tachograph"
tenant = "default"
role_claim = "groups"
roles = { "sec-auditors" = "auditor" }
[oidc.login]
client_id = "tacho-console"
redirect_url = "http://127.0.0.1:7420/auth/callback"
END
"$tacho" serve --config "$home/tacho.toml" --data "$home/data" --keys "$home/keys" --listen 127.0.0.1:0 >"$home/ready" 2>"$home/service.log" &
service=$!
for _ in $(seq 200); do
  grep -q '^ready' "$home/ready" && break
  sleep 0.1
done
address=$(sed -nE 's/^ready http=([^ ]+).*/\1/p' "$home/ready")
token=$(cat "$home/keys/admin.token")
echo '{"time":"2026-11-21T10:00:00Z","kind":"call","session_id":"s-1","server":"db","capability":"rows"}' |
  curl -sf -H "authorization: Bearer $token" -H 'content-type: application/x-ndjson' --data-binary @- "http://$address/v1/events" >"$home/sent"

examples=25
[ -n "${TACHO_FULL:-}" ] && examples=300
run() {
  "$schemathesis" run "http://$address/api/v1/openapi.json" -H "Authorization: Bearer $token" --phases examples,coverage,fuzzing \
    --seed 20261125 -n "$examples" --continue-on-failure --warnings off --no-color "$@" 2>&1 | tee -a "$home/said" | tail -n 60
  [ "${PIPESTATUS[0]}" -eq 0 ]
}
checks=status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method,ignored_auth
# A gate without a number answers 503, which is what it is for, and so does a login whose provider is away.
run --checks "$checks,not_a_server_error" --exclude-path '/metrics/{gate}' --exclude-path /auth/login
run --checks "$checks" --include-path '/metrics/{gate}' --include-path /auth/login
kill -0 "$service"
