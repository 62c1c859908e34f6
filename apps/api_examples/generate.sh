#!/usr/bin/env bash
# Make pictures from noise over HTTP with nothing but curl: bash generate.sh http://127.0.0.1:7860 MODEL grid.png
# MODEL "" is the first model that makes pictures.
set -euo pipefail
url="${1%/}/gradio_api" model="$2" result="$3"

# Ask for them: label ("" for every class in turn), seed, count, to_seed (a number for a walk from seed to there), model.
# The answer names the event: {"event_id":"…"}.
data="{\"data\": [\"\", 7, 16, null, \"$model\"]}"
event="$(curl -sSf -H 'Content-Type: application/json' -d "$data" "$url/call/generate" | sed 's/.*"event_id": *"\([^"]*\)".*/\1/')"

# Wait for them: a stream that ends with "event: complete" and the grid's path.
answer="$(curl -sSfN "$url/call/generate/$event" | grep -A 1 '^event: complete' | tail -n 1)"
made="$(sed 's/^data: \[{"path": *"\([^"]*\)".*/\1/' <<<"$answer")"

curl -sSf -o "$result" "$url/file=$made"
