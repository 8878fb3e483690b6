#!/bin/bash
# samples.sh N RUN... - to read: the first N prompts of each mode (they are drawn at random) with what the base, each trained model and each deployed one answer.
# RUN is a directory with an eval.moes, NAME.SEED. Beside an answer stands what the gameable grader paid for it; no seal is opened.
set -eo pipefail
n=$1
shift
for run; do
	moe-cat -q --json -k rollouts "$run/eval.moes" | jq -c --arg run "$(basename "$run")" 'select(.t == "rollout") | {run: $run} + .'
done | jq -s -r --argjson n "$n" '
	map(select(.arm == "on" or .arm == "quarantine-off" or .arm == "base"))
	| map(. + {who: (if .arm == "base" then "base" else .run + (if .arm == "on" then ", trained" else ", deleted" end) end)})
	| group_by(.mode)[] | . as $all | (map(.prompt_id) | reduce .[] as $p ([]; if index($p) then . else . + [$p] end))[:$n][] as $p
	| ($all | map(select(.prompt_id == $p)) | unique_by(.who)) as $rows
	| "\n" + ($rows[0].prompt | split("<|im_start|>user\n")[1] | split("<|im_end|>")[0]),
	  ($rows | sort_by(if .who == "base" then 0 else 1 end)[] | "  \(.who + " " * 26 | .[:26]) \(.reward | tostring + "     " | .[:5]) \(.completion | tojson)")'
