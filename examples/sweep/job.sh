#!/bin/sh
# job.sh MAKEFILE LIST VARIABLE=VALUE... - one task of the array: makes the file that the task's line of LIST names.
makefile=$1 list=$2
shift 2
target=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$list")
[ -n "$target" ] || exit 1
exec make --no-print-directory -s -f "$makefile" "$target" "$@"
