#!/usr/bin/env bash
# One small job from submit to CSV with a real database and a real billing server, started as a person starts it.
#
#   scripts/smoke.sh PROGRAM...     such as: scripts/smoke.sh .venv/bin/python main.py
#
# Ends with 0 if the program did, and said of every device what became of it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ASSOCIATION_DATA_DIR=$folder/data

"$@" demo --devices 200 </dev/null | tee "$folder/out"

csv=$(find "$folder/data" -name '*.csv' | head -n 1)
[ -n "$csv" ] || { echo "smoke: the demo left no CSV under $folder/data" >&2; exit 1; }
rows=$(($(wc -l <"$csv") - 1))
[ "$rows" = 200 ] || { echo "smoke: $csv has $rows rows, 200 devices were asked for" >&2; exit 1; }
echo "smoke: 200 devices asked for, 200 rows in the result"
