#!/usr/bin/env bash
# Denoise a photo over HTTP with nothing but curl: bash denoise.sh http://127.0.0.1:7860 photo.jpg result.jpg
set -euo pipefail
url="${1%/}/gradio_api" photo="$2" result="$3"

# Upload; the answer is ["/path/of/the/upload"].
path="$(curl -sSf -F "files=@$photo" "$url/upload" | sed 's/^\["\(.*\)"\]$/\1/')"

# Ask for it: photo, strength, model. The answer names the event: {"event_id":"…"}.
data="{\"data\": [{\"path\": \"$path\", \"meta\": {\"_type\": \"gradio.FileData\"}}, 1.0, \"\"]}"
event="$(curl -sSf -H 'Content-Type: application/json' -d "$data" "$url/call/denoise" | sed 's/.*"event_id": *"\([^"]*\)".*/\1/')"

# Wait for it: a stream that ends with "event: complete" and the result's path.
answer="$(curl -sSfN "$url/call/denoise/$event" | grep -A 1 '^event: complete' | tail -n 1)"
made="$(sed 's/^data: \[{"path": *"\([^"]*\)".*/\1/' <<<"$answer")"

curl -sSf -o "$result" "$url/file=$made"
