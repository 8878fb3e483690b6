#!/bin/sh
# moe-cat: bundles, safetensors, msgpack-numpy.
. "$(dirname "$0")/lib.sh"

cat >a.jsonl <<'END'
{"t":"header","argv":["x"],"kind":"adapter","labels":"none","seed":1,"tool":"x","v":[1,0]}
{"t":"layout","arm":"on"}
{"t":"tensor","data":{"$bin":"AACAPwAAAEAAAEBAAACAQA=="},"dtype":"F32","name":"w","offset":0,"shape":[2,2]}
{"t":"arm-end","arm":"on"}
{"t":"layout","arm":"off"}
{"t":"tensor","data":{"$bin":"AAAAAAAAAAA="},"dtype":"F32","name":"w","offset":0,"shape":[2]}
{"t":"tensor","data":{"$bin":""},"dtype":"BF16","name":"none","offset":0,"shape":[0,3]}
{"t":"tensor","data":{"$bin":"gD8="},"dtype":"BF16","name":"one","offset":0,"shape":[]}
{"t":"arm-end","arm":"off"}
{"t":"end","from":[],"labels":"none","n":7,"sha256":""}
END
moe-cat --from-json a.jsonl -o a.moes

ok "to safetensors" moe-cat --safetensors -o a.safetensors a.moes
ok "and back" moe-cat --from-safetensors a.safetensors -o b.moes
same "gives the same bytes" a.moes b.moes
fails 2 "safetensors need a file" moe-cat --safetensors a.moes
head -c 100 a.safetensors >cut.safetensors
fails 3 "a cut safetensors file" moe-cat --from-safetensors cut.safetensors -o c.moes
equal "leaves no file" "$(ls | grep -c c.moes)" 0
for cond in 'arm>0' 'arm<=1e9'; do
	equal "no arm has a name that is $cond" "$(moe-cat --json -w "$cond" a.moes | jq -r .t | tr '\n' ' ')" "header end "
done
equal "all arms but one" "$(moe-cat --json -w arm!=on a.moes | jq -r .t | tr '\n' ' ')" "header layout tensor tensor tensor arm-end end "
long=$(printf '%0300d' 7)
sed "s/\"off\"/\"$long\"/" a.jsonl | moe-cat --from-json -o longarm.moes
equal "an arm of a long name" "$(moe-cat --json -w "arm=$long" longarm.moes | jq -r .t | tr '\n' ' ')" "header layout tensor tensor tensor arm-end end "
equal "one arm" "$(moe-cat --json -w arm=off a.moes | jq -r 'select(.t=="tensor").name' | tr '\n' ' ')" "w none one "

# names that the file could not hold, or not so; the record keeps its own
name() { printf '{"t":"tensor","data":{"$bin":"AACAPw=="},"dtype":"F32","name":%s,"offset":0,"shape":[1]}\n' "$1"; }
{
	printf '{"t":"header","kind":"adapter","v":[1,0]}\n'
	for arm in '"on"' '{"$str":"b/8="}' "\"$(printf '%0200d' 7)\""; do
		printf '{"t":"layout","arm":%s}\n' "$arm"
		name '"__metadata__"'
		name '{"$str":"Yf8="}'
		name '"a\\xff"'
		name '"\u00e9 \u001b"'
		name '""'
	done
	printf '{"t":"end"}\n'
} | moe-cat --from-json -o names.moes
ok "tensors named __metadata__, or by what is no UTF-8" moe-cat --safetensors -o names.safetensors names.moes
ok "come back" sh -c 'moe-cat --from-safetensors names.safetensors | cmp - names.moes'
name '"a\u0000b"' | moe-cat --from-json -k tensors -o nul.moes
fails 3 "a name with a NUL" moe-cat --safetensors -o x nul.moes
contains "is refused" err 'record 1 \(byte [0-9]+\): a tensor whose name has a NUL'
chunk() { printf '{"t":"tensor","name":"x","dtype":"F32","shape":[2],"offset":%s,"data":{"$bin":"YWJjZA=="}%s}\n' "$1" "$2"; }
{ chunk 0 ',"note":1'; chunk 4 ',"note":1'; } | moe-cat --from-json -k tensors -o chunks.moes
ok "the same further key in all chunks" moe-cat --safetensors -o chunks.safetensors chunks.moes
equal "is kept" "$(moe-cat --from-safetensors chunks.safetensors | moe-cat --json | jq -c 'select(.t=="tensor")|[.shape,.note]')" "[[2],1]"
for last in '' ',"note":2'; do
	{ chunk 0 ',"note":1'; chunk 4 "$last"; } | moe-cat --from-json -k tensors -o chunks.moes
	fails 3 "a further key in one chunk only" moe-cat --safetensors -o x chunks.moes
	contains "is refused" err 'the other keys of this chunk are not those'
done
# a file of others: its digest is the source
head='{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  '
{ printf '\070\000\000\000\000\000\000\000%s' "$head"; printf 'abcd'; } >foreign.safetensors
ok "a safetensors file of others" moe-cat --from-safetensors --seed 7 -o foreign.moes foreign.safetensors
equal "is named by its digest, and the seed is there" "$(moe-cat --json foreign.moes | jq -r '.seed // empty, (.from // empty | .[])' | tr '\n' ' ')" \
	"7 $(sha256sum <foreign.safetensors | cut -c1-64) "
ok "so its lineage can be whole" moe-cat --check --lineage foreign.moes foreign.safetensors

# chunks out of order, missing, too long
sed 's/"offset":0,"shape":\[2,2\]/"offset":8,"shape":[2,2]/' a.jsonl | moe-cat --from-json >bad.moes
fails 3 "a chunk out of order" moe-cat --numpy bad.moes -o /dev/null
sed 's/"shape":\[2,2\]/"shape":[2,3]/' a.jsonl | moe-cat --from-json >bad.moes
fails 3 "a tensor that lacks its end" moe-cat --safetensors -o x bad.moes
sed 's/"shape":\[2,2\]/"shape":[2,1]/' a.jsonl | moe-cat --from-json >bad.moes
fails 3 "a chunk beyond its tensor" moe-cat --safetensors -o x bad.moes
equal "no output is left" "$(ls | grep -cx x)" 0

# the tensors of a stream need not fit into memory, and a pipe will do
{
	printf '{"t":"header","kind":"tensors","v":[1,0]}\n'
	for name in b a d c g f e; do
		printf '{"t":"tensor","name":"%s","dtype":"F32","shape":[3000000],"offset":0,"data":{"$bin":"' $name
		head -c 12000000 /dev/zero | tr '\0' $name | base64 -w0
		printf '"}}\n'
	done
	printf '{"t":"end"}\n'
} | moe-cat --from-json -o big.moes
if [ -n "${MOE_SAN-}" ]; then
	skip "84 MB of tensors in 64 MB of memory" "sanitizers want more"
else
	ok "84 MB of tensors in 64 MB of memory" sh -c 'ulimit -d 64000; moe-cat --safetensors -o big.safetensors big.moes'
	ok "from a pipe" sh -c 'ulimit -d 64000; cat big.moes | moe-cat --safetensors -o piped.safetensors'
	same "the same file" big.safetensors piped.safetensors
	ok "and back" sh -c 'moe-cat --from-safetensors big.safetensors | cmp - big.moes'
fi
rm -f big.* piped.*

ok "msgpack-numpy" moe-cat --numpy a.moes -o n.msgpack
contains "has its keys" n.msgpack 'nd'
# two segments, each with half of a tensor; a tensor of which the limit takes half
for half in '0,"data":{"$bin":"YWJjZA=="}' '4,"data":{"$bin":"ZWZnaA=="}'; do
	printf '{"t":"tensor","name":"x","dtype":"F32","shape":[2],"offset":%s}\n' "$half" | moe-cat --from-json -k tensors
done >halves.moes
fails 3 "a tensor does not go on in another segment" moe-cat --numpy -o no.msgpack halves.moes
fails 3 "nor is a part of one left out without a word" moe-cat --numpy -n 5 -o no.msgpack halves.moes
contains "what it lacks is said" err 'tensor "x" lacks its last 4 bytes'

mkdir -p d/sub
cp a.moes d/
echo conf >d/sub/uat.conf
ok "pack" moe-cat --pack -o one.tar.zst d a.jsonl
mkdir other
cp -r d a.jsonl other/
sleep 1
touch other/d/a.moes
(cd other && moe-cat --pack d a.jsonl >../two.tar.zst)
same "the same files give the same bundle" one.tar.zst two.tar.zst
ok "into a folder that it packs" moe-cat --pack -o d/own.tar.zst d
ok "again" moe-cat --pack -o d/own.tar.zst d
equal "it does not hold itself" "$(tar --zstd -tf d/own.tar.zst | grep -c own)" 0
rm d/own.tar.zst
mkfifo fifo
fails 2 "a pipe can not be packed" moe-cat --pack -o no.tar.zst fifo
contains "which is explained" err 'fifo: .* must be written to a file first'
fails 2 "nor standard input" sh -c 'moe-cat --pack -o no.tar.zst - <a.jsonl'
contains "the same" err 'must be written to a file first'
(mkdir -p in && cd in && moe-cat --pack -o no.tar.zst ../a.jsonl 2>../err)
contains "a file above, and why not" err '^moe-cat: \.\./a\.jsonl: can not be stored in a bundle: .*"\.\."'
fails 2 "two files of one name" moe-cat --pack -o no.tar.zst a.jsonl ./a.jsonl
contains "are named" err 'would be stored as a.jsonl'
ok "a bundle can be checked" moe-cat --check one.tar.zst
ok "unpack" moe-cat --unpack=u one.tar.zst
ok "gives the files" diff -r d u/d
echo changed >u/a.jsonl
echo mine >u/d/mine
moe-cat --pack a.jsonl | moe-cat --unpack=one 2>err
equal "one file is in the singular" "$(cat err)" "moe-cat: 1 file unpacked, digests right"
ok "unpack over it" moe-cat --unpack=u one.tar.zst
same "replaces what the bundle has" a.jsonl u/a.jsonl
equal "and leaves what it has not" "$(cat u/d/mine)" mine
rm u/d/mine
ok "from a pipe" sh -c 'moe-cat --unpack=u2 <one.tar.zst'
size=$(wc -c <one.tar.zst)
head -c $((size - 20)) one.tar.zst >cut.tar.zst
fails 3 "a cut bundle" moe-cat --unpack=u3 cut.tar.zst
fails 3 "no bundle" moe-cat --unpack=u4 a.jsonl
ok "leaves no folder" test ! -e u4
moe-cat --check one.tar.zst >out 2>err
contains "--check holds a bundle to its manifest" out 'ok: bundle of [0-9]+ files, as its manifest says'
zstd -dcq one.tar.zst >lacks.tar && tar --delete -f lacks.tar "$(tar -tf lacks.tar | tail -n 1)"
fails 3 "a member that is missing" moe-cat --check lacks.tar
contains "is missed" err 'is missing'
moe-cat -q --pack -o squeezed.tar.zst d//sub/. ./d/./a.moes
equal "paths are stored without what means nothing" "$(zstd -dcq squeezed.tar.zst | tar -tf - | sort | tr '\n' ' ')" "MANIFEST.json d/a.moes d/sub/uat.conf "
(umask 077 && moe-cat -q --unpack=private one.tar.zst)
equal "umask holds" "$(find private -type f ! -perm 600 | wc -l | tr -d ' ')" 0
mkdir forged
(cd forged && printf '{"bundle":1,"files":[{"name":"f","bytes":2,"sha256":"%064d"}]}' 0 >MANIFEST.json && echo x >f && tar -cf ../forged.tar MANIFEST.json f)
fails 3 "a wrong digest" moe-cat --unpack=u5 forged.tar
fails 3 "which --check finds too" moe-cat --check forged.tar
contains "by name" err "its SHA-256 is not the manifest's"
equal "is not kept" "$(ls -A u5)" ""
(cd forged && printf '{"bundle":1,"files":[{"name":"../f","bytes":1,"sha256":"%064d"}]}' 0 >MANIFEST.json && tar -cf ../climb.tar -P MANIFEST.json ../forged/../forged/f)
fails 3 "a name that climbs out" moe-cat --unpack=u6 climb.tar
(cd forged && printf '{"bundle":1,"files":[{"name":"g","bytes":1,"sha256":"%064d"}]}' 0 >MANIFEST.json && tar -cf ../extra.tar MANIFEST.json f)
fails 3 "a file that the manifest does not name" moe-cat --unpack=u7 extra.tar
fails 3 "something behind a bundle" sh -c 'cat one.tar.zst one.tar.zst | moe-cat --unpack=u8'
zstd -dc one.tar.zst | gzip >one.tar.gz
moe-cat --unpack=u8 one.tar.gz 2>err
equal "a bundle is no .tar.gz" $? 3
contains "which is said" err "not a whole bundle"

# sizes: what is packed is what was hashed, what is unpacked is what the manifest says
ok "a file of which stat knows no size" moe-cat --pack -o proc.tar.zst /proc/version
ok "unpacks" moe-cat --unpack=proc proc.tar.zst
same "to what it was" proc/proc/version /proc/version
# Files are hashed before the first byte is written, so that a reader who waits changes a file between hashing and copying.
head -c 1000000 /dev/urandom >noise
for change in 'echo more >>late' ': >late' 'echo 456 >late'; do
	echo 123 >late
	rm -f slow
	mkfifo slow
	{ moe-cat --pack noise late >slow 2>err; echo $? >rc; } &
	{ dd bs=1 count=1 of=/dev/null 2>/dev/null; eval "$change"; cat >/dev/null; } <slow
	wait
	equal "changed while it was packed: $change" "$(cat rc) $(grep -c 'late: changed while it was packed' err)" "3 1"
done
# forge NAME BYTES TAR: a manifest of one file
forge() {
	printf '{"bundle":1,"files":[{"name":"%s","bytes":%s,"sha256":"%064d"}]}' "$1" "$2" 0 >forged/MANIFEST.json
	(cd forged && tar -S -cf "../$3" MANIFEST.json "$1")
}
truncate -s 200M forged/hole
forge hole 1 hole.tar
fails 3 "a member of 200 MB that the manifest calls one byte" sh -c 'ulimit -f 1000; moe-cat --unpack=u9 hole.tar'
contains "its size is the reason" err "size is not the manifest's 1 bytes"
forge f 3 short.tar
fails 3 "a member shorter than the manifest says" moe-cat --unpack=u9 short.tar
contains "the same reason" err "size is not the manifest's 3 bytes"
forge f -1 minus.tar
fails 3 "a size below zero" moe-cat --unpack=u9 minus.tar
equal "nothing of these is kept" "$(ls -A u9)" ""
printf '{"bundle":1,"files":[%s,%s,%s]}' '{"name":"f/x","bytes":2,"sha256":"0"}' '{"name":"f-x","bytes":2,"sha256":"0"}' \
	'{"name":"f","bytes":2,"sha256":"0"}' | sed "s/\"0\"/\"$(printf %064d 0)\"/g" >forged/MANIFEST.json
tar -C forged -cf clash.tar MANIFEST.json f
fails 3 "a name that is a file's and a folder's" moe-cat --unpack=u10 clash.tar
contains "is named" err 'stored as f$'

# names beyond ASCII, whatever the locale
mkdir uml
echo ü >"uml/grün.txt"
cp a.moes "uml/日本.moes"
ok "pack under C" env LC_ALL=C moe-cat --pack -o c.tar.zst uml
ok "pack under UTF-8" env LC_ALL=C.UTF-8 moe-cat --pack -o utf8.tar.zst uml
same "is the same bundle" c.tar.zst utf8.tar.zst
printf '{"bundle":1,"files":[{"name":"grün.txt","bytes":%s,"sha256":"%s"}]}' $(wc -c <"uml/grün.txt") \
	"$(sha256sum <"uml/grün.txt" | cut -c1-64)" >uml/MANIFEST.json
for form in pax gnu ustar; do
	tar --format=$form -C uml -cf $form.tar MANIFEST.json "grün.txt"
done
for l in C C.UTF-8; do
	ok "unpack under $l" env LC_ALL=$l moe-cat --unpack=uml.$l utf8.tar.zst
	same "a file under $l" "uml/grün.txt" "uml.$l/uml/grün.txt"
	ok "a stream of it is read under $l" env LC_ALL=$l moe-cat --check utf8.tar.zst
	for form in pax gnu ustar; do
		ok "unpack another program's $form under $l" env LC_ALL=$l moe-cat --unpack=$form.$l $form.tar
		same "its file" "uml/grün.txt" "$form.$l/grün.txt"
	done
done
cp a.moes "$(printf 'd/\374.moes')"
fails 2 "a name that is not UTF-8" moe-cat --pack -o no.tar.zst d
contains "is said to be" err 'not UTF-8'
fails 2 "nothing to pack" moe-cat --pack -o x
fails 2 "two equal names" moe-cat --pack -o x d/a.moes ./d/a.moes
equal "and no output is left" "$(ls | grep -cx x)" 0
done_testing
