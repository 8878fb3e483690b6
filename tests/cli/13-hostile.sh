#!/bin/sh
# Streams made to do harm: memory and time stay bounded, truncation that is allowed stays visible, no control character reaches a terminal.
. "$(dirname "$0")/lib.sh"

# ---- truncation that is allowed ----
printf '{"id":"1","text":"x"}\n{"id":"2","text":"y"}\n' | moe-cat --from-json -k prompts -o two.moes
head -c $(($(wc -c <two.moes) - 185)) two.moes >cut.moes
head -c 50 two.moes >head.moes
head -c 3000000 /dev/zero | tr '\0' x | sed 's/.*/{"id":"big","text":"&"}/' | moe-cat --from-json -k prompts -o big.moes
head -c 2500000 big.moes >bigcut.moes
ok "--check of a truncated stream, allowed" moe-cat --check --allow-truncated cut.moes
contains "says so" out '^cut.moes: truncated, as allowed: prompts, 1 segment'
ok "its summary" moe-cat --allow-truncated cut.moes
contains "says so too" out '1 record, TRUNCATED$'
ok "a filtered copy" moe-cat -s -w id=1 --allow-truncated -o one.moes cut.moes
ok "is whole, and names no source that it has not seen the end of" moe-cat --check --lineage one.moes
cat two.moes cut.moes >both.moes
moe-cat --json --allow-truncated both.moes >both.json
equal "the end of another segment is not taken for the missing one" "$(tail -1 both.json | grep -c sha256)" 0
ok "a copy of it" sh -c 'moe-cat -s --allow-truncated both.moes | moe-cat --check'
for cut in 5 30; do
	{ cat two.moes; head -c $cut two.moes; } >later.moes
	ok "a later segment, cut off at byte $cut: --check" moe-cat --check --allow-truncated later.moes
	contains "says so" out '^later.moes: truncated, as allowed: prompts, 1 segment,'
	ok "the summary" moe-cat --allow-truncated later.moes
	contains "says so too" out '^  TRUNCATED: 1 end is missing$'
	tar cf later.tar later.moes two.moes
	ok "another member behind it: --check" moe-cat --check --allow-truncated later.tar
	contains "still says so" out '^later.tar: truncated, as allowed: prompts, 2 segments'
	ok "and the summary" moe-cat --allow-truncated later.tar
	contains "as well" out '^  TRUNCATED: 1 end is missing$'
done
ok "of a whole one" moe-cat --allow-truncated two.moes
lacks "none of this is said" out TRUNCATED
fails 3 "of a stream cut off in its header nothing is left" moe-cat --check --allow-truncated head.moes
contains "which is said" err 'head.moes: truncated: not even a stream'
tar cf bigcut.tar bigcut.moes two.moes
ok "a record of megabytes cut off, then another member" moe-cat -s --allow-truncated -o rest.moes bigcut.tar
equal "the rest is there" "$(moe-cat --json rest.moes | grep -c '"t":"prompt"')" 2
fails 3 "without the option it is an error" moe-cat -s -o no.moes bigcut.tar

# ---- memory ----
awk 'BEGIN { printf "{\"t\":\"a\""; for (i = 0; i < 100000; i++) printf ",\"k%d\":0", i; print "}" }' | moe-cat --from-json -k x -o keys.moes
ok "a record of 100,000 keys" moe-cat --check keys.moes
fails 3 "takes more memory than its bytes" moe-cat --check --max-mem 2M keys.moes
contains "which counts" err 'record 1, byte [0-9]+: a record that needs at least [0-9]+ bytes of memory; --max-mem allows 2097152'
i=0
while [ $i -lt 600 ]; do cat one.moes; i=$((i + 1)); done >segments.moes
ok "600 segments" moe-cat --check segments.moes
fails 3 "are remembered, which counts too" moe-cat --check --max-mem 64k segments.moes
contains "and is said" err 'more than 512 segments; --max-mem'

awk 'BEGIN { printf "{\"t\":\"a\",\"x\":[0"; for (i = 0; i < 1000000; i++) printf ",0"; print "]}" }' >zeros.json
fails 3 "JSON that takes much more memory than its bytes" moe-cat --from-json -k x --max-mem 64M -o no.moes zeros.json
contains "is measured before" err 'zeros.json: line 1: a record that needs at least [0-9]+ bytes of memory; --max-mem allows 67108864'
ok "and read where there is room" moe-cat --from-json -k x -o zeros.moes zeros.json

# ---- time: what would take hours if it were quadratic ----
{
	moe-cat --json two.moes | sed '$d'
	awk 'BEGIN { printf "{\"t\":\"end\",\"labels\":\"none\",\"from\":["; for (i = 0; i < 100000; i++) printf "%s\"%064d\"", i ? "," : "", i; print "]}" }'
} | moe-cat --from-json -o from.moes
fails 1 "100,000 inputs" timeout 60 moe-cat --check --lineage from.moes
equal "are listed" "$(grep -c 'none of the files given' out)" 100000
ok "and passed on" timeout 60 moe-cat -s -o copy.moes from.moes
same "as they were" copy.moes from.moes
echo '{"t":"a","x":{"dtype":"F32","shape":[1152921504606846976,0],"data":{"$bin":""}}}' | moe-cat --from-json -k x -o zero.moes
ok "an empty tensor with a huge dimension" timeout 20 moe-cat --json --values zero.moes
contains "is an empty array" out '"x":\[\]'

# ---- values ----
cat >v.json <<'END'
{"t":"a","b":{"dtype":"BOOL","shape":[2],"data":{"$bin":"AQA="}},"m":{"in":[{"dtype":"U64","shape":[1,1],"data":{"$bin":"//////////8="}}]},"x":{"dtype":"I64","shape":[1],"data":{"$bin":"AQAAAAAAIAA="}}}
END
moe-cat --from-json -k x v.json | moe-cat --json --values | sed -n 2p >v.out
equal "--values: exact integers, bools, tensors inside of maps" "$(cat v.out)" '{"t":"a","b":[true,false],"m":{"in":[[[18446744073709551615]]]},"x":[9007199254740993]}'

# ---- text ----
printf '{"t":"a","s":"\302\2331m \\u001b[31m \342\200\256x \177 ok \303\244"}\n' | moe-cat --from-json -k x -o evil.moes
moe-cat --json evil.moes | sed -n 2p >evil.json
equal "--json escapes what a terminal would obey" "$(cat evil.json)" "$(printf '{"t":"a","s":"\\u009b1m \\u001b[31m \\u202ex \\u007f ok \303\244"}')"
ok "and reads it back" sh -c 'moe-cat --json evil.moes | moe-cat --from-json | cmp - evil.moes'
for how in --head ''; do
	moe-cat $how evil.moes >evil.txt
	equal "moe-cat $how shows no control character" "$(LC_ALL=C tr -d '\n -~\303\244' <evil.txt | wc -c | tr -d ' ')" 0
done
moe-cat --json two.moes | sed 's/"from":\[\]/"from":["0000000000000000000000000000000000000000000000000000000000000000"]/' | moe-cat --from-json -o name.moes
LC_ALL=C sed -i 's/00000000000000000000/\x1b[31m\xe2\x80\xae000000000000/' name.moes # the end is outside of the digest
fails 3 "an input whose digest is none" moe-cat --check --lineage name.moes
contains "is not printed" err 'name.moes: the end record names an input .* by what is not a SHA-256'
# a safetensors header of 32 MB that json-c would make 1.2 GB of
{
	printf '{"t":{"dtype":"F32","shape":['
	head -c 32000000 /dev/zero | tr '\0' 1 | sed 's/11/1,/g'
	printf '1],"data_offsets":[0,4]}}'
} >header
n=$(wc -c <header)
# shellcheck disable=SC2059 # octal digits of the length's four low bytes
{
	printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24)))"
	printf '\0\0\0\0'
	cat header
	printf '\0\0\0\0'
} >big.safetensors
fails 3 "a header of very many values" moe-cat --from-safetensors big.safetensors
contains "takes no memory" err 'a JSON text that needs at least [0-9]+ bytes of memory'
rm -f header big.safetensors
# an end that names very many inputs: 900 in one record of 60 kB, where a lineage of 64 KiB remembers 512
i=0
while [ $i -lt 900 ]; do
	i=$((i + 1))
	printf ',"%064d"' $i
done >from
moe-cat --json two.moes | sed "s/\"from\":\[\]/\"from\":[$(sed 's/^,//' from)]/" | moe-cat --from-json -o many.moes
ok "an end with 900 inputs" moe-cat --check many.moes
fails 1 "is followed" moe-cat --check --lineage many.moes
fails 3 "as far as memory is allowed" moe-cat --check --lineage --max-mem 64K many.moes
contains "which is said" err 'lineage of more than 512 digests; --max-mem allows no more'
done_testing
