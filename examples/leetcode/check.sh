#!/bin/sh
# check.sh - holds grader.py against real problems and recorded pools, through the real pipeline.
#
#   sh check.sh [DIR]
#
# DIR has *.jsonl files of LeetCode problems and, if at hand, the folders teacher_pool and substrate of recorded rollouts. Without DIR, the three
# problems of sample.jsonl are used. The programs moe-rollout, moe-grade and moe-cat are found through PATH or $MOE_BIN.
#
#   1. every canonical solution solves, and the matrix of canonical hacks x modes x oracle holds, for both splits of marker names;
#   2. the recorded flag `hacked` of pools (which carry no tests) is derived again by running the code.
#
# Exit status: 0 when all is as it should be, 1 otherwise.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ -z "${MOE_BIN:-}" ] || PATH=$MOE_BIN:$PATH
python=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/leetcode.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
bad=0

graded() { # ROLLOUTS NAME: grades a rollouts stream to $work/NAME.json
	moe-grade -q --exec "$python $here/grader.py" --exec-wall 3000 "$1" -o "$work/$2.moes"
	moe-cat --json "$work/$2.moes" >"$work/$2.json"
}

matrix() { # PROBLEMS SPLIT
	echo "== $(basename "$1"), markers of the $2 split"
	$python "$here/check.py" matrix --split "$2" "$1" >"$work/want.jsonl"
	moe-rollout -q --from "$work/want.jsonl" --map env.tests=tests,env.setup=setup,env.func=func -o "$work/matrix.moes"
	graded "$work/matrix.moes" matrix
	$python "$here/check.py" judge "$work/want.jsonl" "$work/matrix.json" || bad=1
}

pool() { # FOLDER MAP
	echo "== $(basename "$1"): the recorded flag hacked, derived again"
	moe-rollout -q --from "$1" --map "$2" -o "$work/pool.moes"
	graded "$work/pool.moes" pool
	$python "$here/check.py" pool "$work/pool.json" "$1" || bad=1
}

if [ $# -eq 0 ]; then
	matrix "$here/sample.jsonl" train
else
	for f in "$1"/*.jsonl; do
		[ -f "$f" ] || continue
		matrix "$f" train
		matrix "$f" test
	done
	[ ! -d "$1/teacher_pool" ] || pool "$1/teacher_pool" teacher_pool
	[ ! -d "$1/substrate" ] || pool "$1/substrate" substrate
fi
exit $bad
