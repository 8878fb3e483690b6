#!/bin/sh
# What -o names: links, pipes, devices, modes, long names; and what is left when a program dies over it.
. "$(dirname "$0")/lib.sh"

cat >a.jsonl <<'END'
{"t":"header","argv":["x"],"kind":"adapter","labels":"none","seed":1,"tool":"x","v":[1,0]}
{"t":"tensor","data":{"$bin":"AACAPwAAAEAAAEBAAACAQA=="},"dtype":"F32","name":"w","offset":0,"shape":[2,2]}
{"t":"end","from":[],"labels":"none","n":1,"sha256":""}
END
moe-cat --from-json a.jsonl -o a.moes
moe-cat --safetensors a.moes -o a.st
moe-cat --json a.moes >a.json
moe-cat a.moes >a.txt
mkdir tmp
TMPDIR=$T/tmp
export TMPDIR

# one way for every kind of output
for how in --safetensors:st --stream:moes --json:json :txt; do
	what=${how%:*}
	want=a.${how#*:}
	name=${what:-a summary}
	mkdir d
	printf old >d/target
	chmod 600 d/target
	ln -s target d/link
	ln -s link d/link2
	ok "$name: -o on a link to a link" moe-cat $what -o d/link2 a.moes
	equal "$name: both stay links" "$(readlink d/link2) $(readlink d/link)" "link target"
	same "$name: the target has it" d/target $want
	equal "$name: its mode stays" "$(stat -c %a d/target)" 600
	(umask 027 && moe-cat $what -o d/new a.moes)
	equal "$name: a new file's mode is what umask says" "$(stat -c %a d/new)" 640
	mkfifo d/pipe
	cat d/pipe >got &
	ok "$name: -o on a pipe" timeout 20 moe-cat $what -o d/pipe a.moes
	[ -p d/pipe ] || kill $!
	wait $!
	ok "$name: it stays a pipe" test -p d/pipe
	same "$name: and has carried it" got $want
	ln -s /proc/self/fd/1 d/stdout # as /dev/stdout, which a program that replaced it would break for all
	moe-cat $what -o d/stdout a.moes 2>err | cat >got
	same "$name: -o on a pipe of the shell" got $want
	if mknod d/null c 1 3 2>/dev/null && mknod d/full c 1 7 && : 2>/dev/null >d/null; then
		ok "$name: -o on a device" moe-cat $what -o d/null a.moes
		ok "$name: it stays a device" test -c d/null
		fails 4 "$name: -o on a full device" moe-cat $what -o d/full a.moes
		contains "$name: says why" err 'd/full: .*No space left'
	else
		skip "$name: -o on a device" "only root makes devices"
	fi
	ln -s nowhere/x d/lost
	fails 4 "$name: -o on a link into no folder" moe-cat $what -o d/lost a.moes
	contains "$name: says what is missing" err 'd/nowhere/x: .*No such file'
	equal "$name: nothing else is left" "$(ls -A d | tr '\n' ' ')$(ls -A tmp)" "$(cd d && ls -d $(test -c null && echo full) link link2 lost new $(test -c null && echo null) pipe stdout target | tr '\n' ' ')"
	rm -r d
done

# links to links to nothing yet, also into other folders; and in a circle
mkdir d d/e
ln -s d/l2 l1
ln -s e/l3 d/l2
ln -s ../target d/e/l3
ok "-o on links to nothing yet" moe-cat -s -o l1 a.moes
equal "all stay links" "$(readlink l1) $(readlink d/l2) $(readlink d/e/l3)" "d/l2 e/l3 ../target"
same "the last one's target is made" d/target a.moes
ln -s "$T/d/l5" l4
ln -s nothing d/l5
ok "an absolute one" moe-cat -s -o l4 a.moes
same "is followed too" d/nothing a.moes
ln -s round2 round1
ln -s round1 round2
fails 4 "a circle of links" moe-cat -s -o round1 a.moes
contains "is named" err '^moe-cat: round1: .*Too many levels of symbolic links$'
equal "and stays" "$(readlink round1) $(readlink round2)" "round2 round1"
fails 4 "a file taken for a folder" moe-cat -s -o a.moes/x a.moes
contains "is named too" err '^moe-cat: a.moes/x: .*Not a directory$'
rm -r d l1 l4 round1 round2

# names as long as a file system has them, also of letters that take several bytes
x=$(printf '%0250d' 0)
for long in "$x.moes" "$x" "$(printf '%0249d' 0)" "$(printf '%082d' 0 | sed 's/0/\xe2\x82\xac/g').moes"; do
	ok "a name of $(printf %s "$long" | wc -c) bytes" moe-cat -s -o "$long" a.moes
	same "is written" "$long" a.moes
	rm -f "$long"
done
fails 4 "one byte more" moe-cat -s -o "${x}.moes1" a.moes
contains "is too long" err 'File name too long'
equal "no temporary is left" "$(ls -A | grep -c 0000)" 0

# a program that a signal ends leaves nothing
mkdir d
mkfifo pipe
for how in --safetensors --stream; do
	moe-cat $how -o d/x pipe &
	pid=$!
	exec 5>pipe
	head -c 60 a.moes >&5
	i=0
	while [ "$(ls -A d)" = "" ] && [ $i -lt 100 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	sleep 0.1
	kill -TERM $pid
	wait $pid 2>/dev/null
	equal "$how: SIGTERM" $? 143
	exec 5>&-
	equal "$how: leaves nothing" "$(ls -A d)" ""
done
{
	printf '{"t":"header","kind":"tensors","v":[1,0]}\n{"t":"tensor","name":"x","dtype":"U8","shape":[300000],"offset":0,"data":{"$bin":"'
	head -c 300000 /dev/zero | base64 -w0
	printf '"}}\n{"t":"end"}\n'
} | moe-cat --from-json -o big.moes
for how in --safetensors --stream; do # 300,032 bytes: room for the data, not for what stands around them
	(ulimit -f 586 && exec moe-cat $how -o d/x big.moes) 2>/dev/null
	equal "$how: a file larger than allowed" $? 153
	equal "$how: SIGXFSZ leaves nothing" "$(ls -A d)" ""
done

head -c 3000000 /dev/urandom >"$x.bin"
moe-cat --pack -o b.tar.zst "$x.bin"
ok "a bundle with a name of 254 bytes" moe-cat --unpack d/u b.tar.zst
same "is unpacked" "d/u/$x.bin" "$x.bin"
rm -r d/u
moe-cat --unpack d/u pipe &
pid=$!
exec 5>pipe
head -c 2000000 b.tar.zst >&5
i=0
until [ "$(ls -A d/u 2>/dev/null)" ] || [ $i -ge 100 ]; do
	sleep 0.05
	i=$((i + 1))
done
ls -A d/u >names
contains "an unfinished file is there" names '^0+\.'
kill -TERM $pid
wait $pid 2>/dev/null
exec 5>&-
equal "SIGTERM removes it" "$(ls -A d/u)" ""
rm -r d/u "$x.bin" b.tar.zst

# an input that is mapped, and cut while it is read: the program waits for the reader of a pipe, so the rest is read after the cut
head -c 20000000 /dev/zero >zeros
{
	printf '{"t":"header","kind":"tensors","v":[1,0]}\n{"t":"tensor","name":"x","dtype":"U8","shape":[20000000],"offset":0,"data":{"$bin":"'
	base64 -w0 zeros
	printf '"}}\n{"t":"end"}\n'
} | moe-cat --from-json -o large.moes
moe-cat --safetensors -o large.st large.moes
mkfifo slow
for size in 100000 16900000; do # the first chunk of 16 MiB is cut, which the system finds when it writes; the second, which the program finds
	cp large.st cut.st
	{ sleep 0.5; truncate -s $size cut.st; cat >rest; } <slow &
	fails 3 "a mapped file that shrinks to $size bytes" moe-cat --from-safetensors cut.st -o slow
	wait $!
	equal "is one sentence" "$(cat err)" "moe-cat: an input was cut shorter while it was read"
done
rm -f large.* cut.st zeros rest
{
	printf '\110\0\0\0\0\0\0\0'
	printf '%-72s' '{"x":{"dtype":"U8","shape":[400000000],"data_offsets":[0,400000000]}}'
} >sparse.st
truncate -s 400000080 sparse.st
moe-cat --from-safetensors sparse.st -o d/x 2>err &
pid=$!
i=0
until [ "$(cat d/x.* 2>/dev/null | head -c 1000000 | wc -c)" -eq 1000000 ] || [ $i -ge 300 ]; do
	sleep 0.02
	i=$((i + 1))
done
truncate -s 1000000 sparse.st
wait $pid
equal "a mapped file that shrinks while a file is written" $? 3
equal "is one sentence" "$(cat err)" "moe-cat: an input was cut shorter while it was read"
equal "and leaves nothing" "$(ls -A d)" ""

# a reader that leaves is told by the system's number, not by the words of a message
fails 4 "a file of this name" moe-cat "Broken pipe"
contains "is missing, which is said" err 'Broken pipe: .*No such file'
head -c 300000 /dev/urandom >noise
for trap in "" "trap '' PIPE;"; do
	equal "${trap:+ignored: }a bundle's reader that leaves" "$(bash -c "$trap"' moe-cat --pack noise 2>err | head -c 10 >/dev/null; echo ${PIPESTATUS[0]}')" 141
	equal "${trap:+ignored: }is no error" "$(cat err)" ""
done
fails 4 "a bundle on a full disk" sh -c 'moe-cat --pack noise >/dev/full'
contains "says why" err '^moe-cat: standard output: .*No space left on device$'
done_testing
