#!/bin/sh
# moe-base: a fresh model, pretraining that does not depend on threads or on being killed, checks, scores, completions.
. "$(dirname "$0")/lib.sh"

ENV=$TOP/examples/quarantine/env.lua
moe-prompts -e "$ENV" --texts -n 300 --seed 1 -o texts.moes
train() { # OUT OPTIONS...
	_o=$1
	shift
	# shellcheck disable=SC2086
	$EXEC moe-base --pretrain -q -m new --steps 12 --batch 8 --warmup 3 --eval-every 5 --heldout 0.1 -o "$_o" "$@" texts.moes
}
EXEC=

ok "a fresh tiny model" moe-base --new tiny --seed 3 -o new
ok "has a config, weights and a tokenizer" ls new/config.json new/model.safetensors new/tokenizer.json new/tokenizer_config.json
ok "describes itself" moe-base --info -m new
contains "with its size" out '^parameters	357312$'
ok "is sound" moe-base --check -m new
moe-base --new tiny --seed 3 -q -j 3 -o again
same "the seed decides its bytes" new/model.safetensors again/model.safetensors

ok "pretraining with one thread" train one -j 1 --metrics one.moes
ok "and with two" train two -j 2 --metrics two.moes
same "gives the same weights" one/model.safetensors two/model.safetensors
ok "and with recomputed activations" train low --recompute
same "too" one/model.safetensors low/model.safetensors
same "the tokenizer comes along" new/tokenizer.json one/tokenizer.json
moe-cat --json one.moes | grep -o '"loss":[^,}]*' >one.loss
moe-cat --json two.moes | grep -o '"loss":[^,}]*' >two.loss
same "and the same losses" one.loss two.loss
moe-cat --json texts.moes | sed '$s/"labels":"[a-z]*"/"labels":"oracle"/' | moe-cat --from-json -o tainted.moes
fails 3 "texts with oracle labels are refused" moe-base --pretrain -q -m new --steps 1 --batch 8 -o x tainted.moes
contains "by name" err "the texts carry the labels 'oracle'"
equal "a record for each step" "$(wc -l <one.loss | tr -d ' ')" 12
# shellcheck disable=SC2016
ok "learns" sh -c 'awk -F: "NR==1{a=\$2}{b=\$2}END{exit !(b<a-0.3)}" one.loss'

# Killed in the middle of the run, as early as there is a checkpoint; then continued.
EXEC="exec" # so that the process killed is the program itself
train cut -j 1 --save-every 2 &
pid=$!
EXEC=
while [ ! -e cut.ckpt/latest ] && kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
ok "a killed run left no result" test ! -e cut/model.safetensors
ok "and continues" train cut -j 2 --save-every 2 --resume --metrics cut.moes
same "to the same weights as the uninterrupted run" one/model.safetensors cut/model.safetensors
moe-cat --json cut.moes | grep -o '"loss":[^,}]*' >cut.loss
same "with the whole history in its metrics" one.loss cut.loss
# What kills at the worst moments leave behind: half a state beside a whole one, half a state alone, a step that "latest" does not know.
cp -R cut.ckpt odd.ckpt
: >odd.ckpt/step-10/state.safetensors.tmp7
mkdir odd.ckpt/step-11.tmp odd.ckpt/step-11
: >odd.ckpt/step-11.tmp/state.safetensors.tmp8
: >odd.ckpt/step-11/state.safetensors.tmp9
ok "leftovers are in nobody's way" train odd --save-every 1 --resume
same "the same weights" one/model.safetensors odd/model.safetensors
equal "and are gone" "$(cd odd.ckpt && echo * step-11/*)" "latest step-11 step-11/state.safetensors"
fails 3 "a checkpoint of other options is refused" train cut --save-every 2 --resume --lr 0.1
contains "with the reason" err 'another run'

ok "scores as text" moe-base --score -m one --text -o table texts.moes
equal "a line for each text" "$(wc -l <table | tr -d ' ')" 300
ok "scores as a stream" moe-base --score -m one -o scores.moes texts.moes
ok "which is sound" moe-cat --check scores.moes
ok "completions" moe-base --generate -m one -n 2 --max-new 8 "2,3=7" -o a.txt
moe-base --generate -m one -n 2 --max-new 8 "2,3=7" -o b.txt -j 1
same "the seed decides them" a.txt b.txt

fails 3 "metrics have no scores" moe-base --score -m one --text one.moes
contains "which is said" err 'a stream of metrics; expected texts'
moe-prompts -q -e "$ENV" --texts -n 0 -o none.moes
ok "no texts" moe-base --score -m one --text none.moes
contains "have no perplexity" err '0 records, and no token to score'
fails 2 "random weights do not replace a model" moe-base --new tiny --seed 3 -o one
contains "which is said" err 'one holds a model already'
same "and it is still there" one/model.safetensors two/model.safetensors
fails 4 "where nothing can be written" train "$T/texts.moes" --metrics never.moes
ok "is seen before any work" test ! -e never.moes

G=$TOP/tests/golden/gguf
ok "a GGUF file becomes a directory" moe-base --from-gguf "$G/llama.gguf" -o gguf
contains "which is described" err '2 layers of 16, a vocabulary of 48, from 21 tensors'
ok "and sound" moe-base --check -m gguf
moe-base --info -m gguf >info
contains "with the end tokens of the file" info '^end of sequence	2 3$'
moe-base -q --generate --temperature 0 --max-new 12 -m gguf abc >a.txt
cp "$TOP"/tests/golden/llama/model.safetensors gguf/
moe-base -q --generate --temperature 0 --max-new 12 -m gguf abc >b.txt
same "q and k are un-permuted" a.txt b.txt
fails 2 "it does not replace a model" moe-base --from-gguf "$G/llama.gguf" -o gguf
fails 2 "and needs a name" moe-base --from-gguf "$G/llama.gguf"
head -c 9000 "$G/llama.gguf" >cut.gguf
fails 3 "a cut file" moe-base --from-gguf cut.gguf -o cutg
contains "is said to be cut" err "cut.gguf: .*the file is cut"
ok "and leaves nothing" test ! -e cutg
fails 3 "quantised rows without a model" moe-base --from-gguf "$G/quants.gguf" -o q
contains "are no model" err "token_embd.weight"
fails 4 "no file" moe-base --from-gguf nowhere.gguf -o q

fails 2 "no job, no work" moe-base -m one
mkdir pipe && cp one/config.json pipe/ && mkfifo pipe/model.safetensors
fails 3 "a named pipe is no weight file, and is not waited for" moe-base --info -m pipe
sed 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' one/config.json >pipe/config.json
rm pipe/model.safetensors && cp one/model.safetensors pipe/
fails 3 "a head that is not there" moe-base --info -m pipe
contains "is said to be tied, maybe" err 'lm_head.weight.*tie_word_embeddings'
fails 2 "two jobs are one too many" moe-base --info --check -m one
fails 2 "an unknown preset" moe-base --new huge -o x
mkdir none
fails 4 "no model there" moe-base --info -m none
for f in x.gguf pytorch_model.bin x.safetensors; do
	: >none/$f
	fails 3 "a $f" moe-base --info -m none/$f
	contains "gets a helpful sentence" err "$f: this is "
done
rm none/x.gguf none/x.safetensors
fails 3 "a directory with PyTorch's pickle" moe-base --info -m none
contains "too" err 'pytorch_model.bin is PyTorch.*save_pretrained'
head -c 1000 texts.moes >short.moes
fails 3 "a truncated stream" moe-base --pretrain -m new -o y short.moes
ok "leaves no result" test ! -e y
printf "\377\377\377\377" | dd of=new/model.safetensors bs=1 seek=100000 conv=notrunc 2>/dev/null
fails 1 "a NaN among the weights is found" moe-base --check -m new
done_testing
