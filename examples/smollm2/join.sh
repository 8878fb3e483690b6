#!/bin/bash
# join.sh RUN.moes PART... - the recording of a run that was interrupted: of each part the steps before the one at which the next part goes on.
set -eo pipefail
out=$1 kept=
shift
first_step() { moe-cat -q --allow-truncated --json -n 1 "$1" 2>/dev/null | jq -r 'select(.t == "rollout") | .step' | head -n 1; }
end=
for ((i = $#; i > 0; i--)); do
	part=${!i} from=$(first_step "$part" || true)
	[ -n "$from" ] || continue # killed before it had sampled anything
	[ -n "$end" ] || end=$((1 << 30))
	if [ "$from" -lt "$end" ]; then
		moe-cat -q -s --allow-truncated -w "step<$end" -o "$part.cut" "$part"
		kept="$part.cut $kept" end=$from
	fi
done
# shellcheck disable=SC2086 # names without blanks
moe-cat -q -s -o "$out" $kept
rm -f "$@" $kept
