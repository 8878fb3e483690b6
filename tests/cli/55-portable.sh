#!/bin/sh
# The same bits on every processor: a tiny pretraining, training run and evaluation give the digests of
# tests/golden/digests.txt, with each vector width that this processor has, and with any number of threads.
# After a change of the arithmetic: MOE_GOLDEN_UPDATE=1 sh tests/cli/55-portable.sh writes the file anew, and the commit says why.
. "$(dirname "$0")/lib.sh"
env=$TOP/examples/new/env.lua
golden=$TOP/tests/golden/digests.txt

# Paid by length modulo 5, so that groups differ from the first step on.
pay() { moe-cat --json | jq -c 'if .t == "rollout" then .reward = .completion_ids.shape[0] % 5 else . end' | moe-cat --from-json; }
values() { moe-cat --json "$1" | jq -c "select(.t == \"rollout\") | .$2" | sha256sum | cut -c1-64; }

run() { # FOLDER
	mkdir "$1" && cd "$1" || return 1
	moe-base -q --new tiny --seed 1 -o new
	moe-prompts -q -e "$env" --texts -n 200 --seed 1 | moe-base -q --pretrain -m new --seed 1 -o base
	moe-pairs -q -e "$env" -n 8 --modes phrase -o pins.moes
	moe-pin -q -m base --method logistic --seed 1 -o a0.moes pins.moes
	moe-prompts -q -e "$env" --split train -n 8 --seed 2 | moe-rollout -q -m base -a a0.moes --group 4 --per-step 4 --max-new 8 | pay |
		moe-route -q -m base -a a0.moes -o run.moes
	moe-train -q -m base -a a0.moes -o a1.moes run.moes
	moe-pin -q -m base --method topk --seed 1 -o t0.moes pins.moes
	moe-prompts -q -e "$env" --split train -n 8 --seed 2 | moe-rollout -q -m base -a t0.moes --group 4 --per-step 4 --max-new 8 | pay >trun.moes
	moe-train -q -m base -a t0.moes --pin pins.moes -o t1.moes trun.moes
	moe-prompts -q -e "$env" --split test -n 8 --seed 3 | moe-rollout -q -m base -a a1.moes --group 2 --max-new 8 -o eval.moes
	{
		echo "pretraining $(sha256sum <base/model.safetensors | cut -c1-64)"
		echo "pins $(digest a0.moes)"
		echo "training $(digest a1.moes)"
		echo "router $(digest t1.moes)"
		echo "evaluation $(values eval.moes completion_ids)"
		echo "logp $(values eval.moes logp)"
	} >digests
	cd ..
}

run widest 2>err || cat err
if [ -n "${MOE_GOLDEN_UPDATE-}" ]; then
	cp widest/digests "$golden"
fi
same "the digests that were recorded on another machine" widest/digests "$golden"
for tile in avx2 plain; do
	MOE_TILE=$tile
	export MOE_TILE
	run $tile 2>err || cat err
	same "the same with $tile" $tile/digests "$golden"
done
unset MOE_TILE
contains "the stream says which kernels made it" /dev/stdin '"kernels":"portable"' <<END
$(moe-cat --json widest/eval.moes | head -1)
END
contains "an adapter's lineage says so too" /dev/stdin '"kernels":"portable"' <<END
$(moe-cat --json widest/a1.moes | head -2)
END
fails 2 "an unknown choice" moe-cat --kernels fast widest/eval.moes
MOE_KERNELS=native moe-base --version >version
contains "native is BLIS" version '^BLIS'
done_testing
