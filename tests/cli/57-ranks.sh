#!/bin/sh
# moe-train and moe-rollout as several ranks under mpirun: the same bytes as one process, and what happens when a rank dies.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

fails 2 "ranks of a build without MPI" env OMPI_COMM_WORLD_SIZE=2 moe-train -m base -a a.moes r.moes
contains "are told what to build" err 'built without MPI: make MPI=1'
fails 2 "one task of srun is none" env PMIX_RANK=0 SLURM_STEP_NUM_TASKS=1 moe-train
contains "but needs its operands" err 'are needed'
MPI=$MOE_BIN/mpi
if ! [ -x "$MPI/moe-train" ] || ! command -v mpirun >/dev/null; then
	skip "moe-train as several ranks" "no mpicc, or not built (make tests-build)"
	done_testing
fi
# as root in a container, on fewer cores than ranks, without the network
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,vader OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_plm_rsh_agent=/bin/false TMPDIR="$T"
ranks() { # N PROGRAM ARG...
	_ranks=$1 _program=$2
	shift 2
	timeout 300 mpirun -q --oversubscribe -n "$_ranks" "$MPI/$_program" "$@"
}

tiny_world 8
moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 24 --seed 5 -o p.moes
moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 72 --seed 5 -o many.moes

# Steps of three pieces (1024 tokens) at least, so that each of three ranks has one.
for m in logistic topk seeded projection sgtm; do
	case $m in logistic | sgtm) pin='' set='' ;; topk) pin='--pin pins.moes' set='--set hindsight=soft' ;; *) pin='--pin pins.moes' set='' ;; esac
	cheat='' && [ $m = sgtm ] && cheat=--allow-oracle
	# shellcheck disable=SC2086
	moe-pin -q -m base --method $m $cheat $set --seed 3 -o $m.moes pins.moes 2>err || cat err
	moe-rollout -q -m base -a $m.moes --group 8 --per-step 24 --max-new 12 --seed 5 -j 1 many.moes | moe-grade -q -e "$env" >$m.run.moes
	# shellcheck disable=SC2086
	case $m in logistic | sgtm) moe-route -q -m base -a $m.moes $cheat <$m.run.moes >r && mv r $m.run.moes ;; esac
	equal "$m: three pieces a step" "$(moe-cat --json $m.run.moes | jq -s '[.[] | select(.t == "rollout" and .step == 0)] | map(.completion_ids.shape[0]) + (group_by(.group) | map(.[0].prompt_ids.shape[0])) | add > 2048')" true
	# shellcheck disable=SC2086
	moe-train -q -m base -a $m.moes $pin $cheat -j 1 --metrics $m.m -o $m.1.moes $m.run.moes
	for n in 1 2 3; do
		ok "$m: $n ranks" ranks $n moe-train -q -m base -a $m.moes $pin $cheat -j 1 --metrics $m.$n.m -o $m.r.moes $m.run.moes
		equal "give the digest of a build without MPI" "$(digest $m.r.moes)" "$(digest $m.1.moes)"
	done
	[ $m = logistic ] || continue
	ok "two threads in each of two ranks" ranks 2 moe-train -q -m base -a $m.moes -j 2 -o $m.r.moes $m.run.moes
	equal "the same" "$(digest $m.r.moes)" "$(digest $m.1.moes)"
	moe-train -q -m base -a $m.moes -j 1 --split-moments --beta 0.1 -o split.1.moes $m.run.moes
	ok "split moments and a KL" ranks 2 moe-train -q -m base -a $m.moes -j 1 --split-moments --beta 0.1 -o split.moes $m.run.moes
	equal "the same too" "$(digest split.moes)" "$(digest split.1.moes)"
	echo '{"top_entropy_quantile":0.5,"num_iterations":2,"loss_type":"cispo","steps_per_generation":2}' >trl.json
	moe-train -q -m base -a $m.moes -j 1 --trl-config trl.json -o stored.1.moes $m.run.moes 2>/dev/null
	for n in 1 2 3; do
		ok "several updates of a step, and what they keep, $n ranks" ranks $n moe-train -q -m base -a $m.moes -j 1 --trl-config trl.json -o stored.moes $m.run.moes
		equal "are the same as well" "$(digest stored.moes)" "$(digest stored.1.moes)"
	done
	moe-train -q -m base -a $m.moes -j 1 --iterations 2 --ratio none -o twice.1.moes $m.run.moes
	for n in 1 2 3; do
		ok "two iterations, $n ranks" ranks $n moe-train -q -m base -a $m.moes -j 1 --iterations 2 --ratio none -o twice.moes $m.run.moes
		equal "give one process's digest" "$(digest twice.moes)" "$(digest twice.1.moes)"
	done
	ok "from standard input" sh -c "timeout 300 mpirun -q --oversubscribe -n 2 $MPI/moe-train -q -m base -a $m.moes -j 1 <$m.run.moes >$m.r.moes"
	equal "to standard output" "$(digest $m.r.moes)" "$(digest $m.1.moes)"
done
# times apart, metrics are the same numbers
numbers() { moe-cat --json "$1" | jq -c 'select(.t == "metrics") | with_entries(select(.key | test("^time|_time") | not))'; }
for m in logistic topk seeded; do
	numbers $m.m >one
	numbers $m.3.m >three
	same "$m: metrics of three ranks are those of one process" one three
done

# ---- sampling ----
moe-rollout -q -m base -a topk.moes --group 4 --per-step 5 --max-new 12 --temperature 0.8 --seed 5 -j 1 -o s1.moes p.moes
for n in 2 3; do
	ok "$n ranks sample" ranks $n moe-rollout -q -m base -a topk.moes --group 4 --per-step 5 --max-new 12 --temperature 0.8 --seed 5 -j 1 -o s$n.moes p.moes
	moe-cat --json s$n.moes | sed "s/s$n.moes/s.moes/" | jq -c 'del(.bound, .sha256)' >s$n.bytes
	equal "the same rollouts, in order" "$(moe-cat --json s$n.moes | grep '"t":"rollout"\|"t":"step"' | md5sum)" "$(moe-cat --json s1.moes | grep '"t":"rollout"\|"t":"step"' | md5sum)"
done
same "and the same bytes, the file's name in the header apart" s2.bytes s3.bytes

# ---- on policy, both ends as ranks ----
mkfifo w
# shellcheck disable=SC2086
loop() { # SAMPLER TRAINER
	moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 8 --seed 6 |
		$1 -q -m base -a logistic.moes --follow w --wait 60 --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a logistic.moes -j 1 |
		$2 -q -m base -a logistic.moes --publish w -j 1 -o "$3"
}
loop "timeout 100 moe-rollout" "timeout 100 moe-train" on1.moes
ok "on policy under mpirun" loop "timeout 200 mpirun -q --oversubscribe -n 2 $MPI/moe-rollout" "timeout 200 mpirun -q --oversubscribe -n 2 $MPI/moe-train" on2.moes
equal "the same adapter" "$(digest on2.moes)" "$(digest on1.moes)"

# ---- refusals, and a rank that dies ----
cp -r base other && moe-base -q --new tiny --seed 9 -f -o other2 2>/dev/null && cp other2/model.safetensors other/
fails 3 "a rank with another base" timeout 100 mpirun -q --oversubscribe -n 1 "$MPI/moe-train" -m base -a logistic.moes -o x logistic.run.moes : -n 1 "$MPI/moe-train" -m other -a logistic.moes -o x logistic.run.moes
contains "is refused" err 'rank 1 on .* has another base than rank 0'
fails 3 "bad input" ranks 2 moe-train -m base -a logistic.moes -o x pins.moes
equal "is said once" "$(grep -c 'moe-train:' err)" 1
fails 2 "wrong usage" ranks 2 moe-train
# steps come slowly, so that there is time to kill
slow() { # seconds between steps
	head -c "$(($(wc -c <logistic.run.moes) / 2))" logistic.run.moes
	sleep "$1"
	tail -c +"$(($(wc -c <logistic.run.moes) / 2 + 1))" logistic.run.moes
}
for victim in 1 0; do
	rm -f ck
	slow 25 | timeout 100 mpirun --oversubscribe -n 2 --tag-output "$MPI/moe-train" -m base -a logistic.moes -j 1 --checkpoint ck --save-every 1 -o killed.moes >out 2>err &
	n=0
	until [ -s ck ] || [ $n -ge 200 ]; do
		sleep 0.1
		n=$((n + 1))
	done
	sleep 0.5
	for p in $(pgrep -f "$MPI/moe-train -m base -a logistic.moes -j 1 --checkpoint ck"); do
		[ "$(tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')" = $victim ] && kill -9 "$p"
	done
	wait $!
	equal "kill -9 of rank $victim ends all" "$([ $? -ne 0 ]; echo $?) $(pgrep -fc "$MPI/moe-train -m base -a logistic.moes -j 1 --checkpoint ck")" "0 0"
	equal "with one sentence" "$(grep -c 'stopped after [0-9]* steps*; ck holds the first [0-9]*: --resume goes on from there' err)" 1
	[ -e killed.moes ]
	equal "and no output" $? 1
	ok "the checkpoint goes on, without MPI" moe-train -q -m base -a logistic.moes -j 1 --checkpoint ck --save-every 1 --resume -o resumed.moes logistic.run.moes
	equal "to the same adapter" "$(digest resumed.moes)" "$(digest logistic.1.moes)"
done
moe-cat -s -w 'step<1' logistic.run.moes >first.moes
rm -f ck
moe-train -q -m base -a logistic.moes -j 1 --checkpoint ck --save-every 1 -o x first.moes
ok "two ranks go on from one's checkpoint" ranks 2 moe-train -q -m base -a logistic.moes -j 1 --checkpoint ck --save-every 1 --resume -o resumed.moes logistic.run.moes
equal "to the same adapter too" "$(digest resumed.moes)" "$(digest logistic.1.moes)"
done_testing
