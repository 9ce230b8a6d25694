#!/bin/sh
# Reads what `cargo run -p tachograph-sinks --example render -- DIRECTORY` wrote with readers of others, one line a check.
#
#   check.sh DIRECTORY PYTHON [NODE_DIRECTORY]
#
# PYTHON has requirements.txt; NODE_DIRECTORY has package.json and its node_modules (`npm ci --ignore-scripts`). Without the latter ECS and one of the two
# readers of CloudEvents are not checked, and that is said. Exit code: 0 clean, 1 findings, 2 could not run.
set -u

[ $# -ge 2 ] || { echo "usage: check.sh DIRECTORY PYTHON [NODE_DIRECTORY]" >&2; exit 2; }
[ -s "$1/expected.ndjson" ] || { echo "$1 has no expected.ndjson: render into it first" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
directory=$1 python=$2 node_directory=${3:-} verdict=0

for check in check_json check_ocsf check_cef check_leef check_cloudevents; do
  "$python" "$here/$check.py" "$directory" || verdict=1
done
"$python" "$here/check_ocsf.py" "$directory" attested || verdict=1

if [ -n "$node_directory" ]; then
  node "$here/check.mjs" "$directory" "$node_directory" || verdict=1
else
  echo "ecs, cloudevents (npm): skipped, there is no directory of node packages"
fi
exit $verdict
