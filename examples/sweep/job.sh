#!/bin/sh
# job.sh MAKEFILE TODO VARIABLE=VALUE... - one task of the array: makes the file that the task's line of TODO names.
makefile=$1 todo=$2
shift 2
target=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$todo")
[ -n "$target" ] || exit 1
exec make --no-print-directory -s -f "$makefile" "$target" "$@"
