#!/bin/sh
# Every read, write, sync, close and rename of moe-cat fails once: the program says so, exits with 4, and replaces nothing.
. "$(dirname "$0")/../cli/lib.sh"

if [ -n "${MOE_SAN-}" ]; then
	skip "fault injection" "the sanitizers' library must be loaded first"
	done_testing
fi
INJECT=$MOE_BIN/inject.so
[ -f "$INJECT" ] || make -s -C "$TOP" "$MOE_BIN/inject.so" BUILD="$MOE_BIN" >/dev/null

i=0
while [ $i -lt 400 ]; do
	echo "{\"id\":\"$i\",\"text\":\"$(printf '%01000d' $i)\"}"
	i=$((i + 1))
done >in.jsonl
moe-cat --from-json -k prompts in.jsonl -o a.moes
gzip -k a.moes
with() { # SPEC CMD...
	_spec=$1
	shift
	MOE_INJECT=$_spec LD_PRELOAD=$INJECT "$@"
}

ok "without a fault" with write:99999:EIO moe-cat -s a.moes -o out1
for spec in read:0:EIO read:1:EIO write:0:EIO write:1:ENOSPC write:0:EDQUOT fsync:0:EIO rename:0:EIO; do
	for what in "-s a.moes" "--from-json -k prompts in.jsonl" "--numpy a.moes"; do
		case $spec in write:1*) [ "$what" = "--numpy a.moes" ] && continue ;; esac
		printf old >out2
		# shellcheck disable=SC2086 # words on purpose
		fails 4 "$spec: moe-cat $what" with $spec moe-cat $what -o out2
		equal "$spec: moe-cat $what leaves the old file" "$(cat out2)" old
		equal "$spec: moe-cat $what leaves no temporary" "$(ls | grep -c 'out2\.')" 0
		contains "$spec: moe-cat $what says why" err 'moe-cat: .*(Input/output error|No space left|quota exceeded)'
	done
done
fails 4 "closing standard output fails" with close:0:EIO:1 moe-cat -s a.moes
fails 4 "closing standard output fails, text" with close:0:EIO:1 moe-cat a.moes
fails 4 "reading compressed data fails" with read:1:EIO moe-cat --check a.moes.gz
with read:0:short moe-cat -s a.moes >short.moes 2>err
same "reading byte by byte gives the same stream" a.moes short.moes
with write:0:short moe-cat -s -n 20 a.moes >s1.moes 2>err
moe-cat -s -n 20 a.moes >s2.moes
equal "writing byte by byte gives the same records" "$(moe-cat --json s1.moes | tail -n +2 | head -20 | cksum)" "$(moe-cat --json s2.moes | tail -n +2 | head -20 | cksum)"
with read:1:EINTR moe-cat -s a.moes >s3.moes 2>err
same "an interrupted read is repeated" a.moes s3.moes
with write:1:EINTR moe-cat -s a.moes >s3.moes 2>err
same "an interrupted write is repeated" a.moes s3.moes
with write:1:EPIPE moe-cat -s a.moes >s3.moes 2>err
equal "a reader that left is no error" $? 141
lacks "and no message" err .
with write:0:EIO moe-cat --json a.moes >s4 2>err
equal "text that can not be written" $? 4
done_testing
