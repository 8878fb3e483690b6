#!/bin/sh
# What all programs do alike: help, version, wrong usage, option views, atomic output, terminals, signals, late errors.
. "$(dirname "$0")/lib.sh"

for path in "$MOE_BIN"/moe-*; do
	p=${path##*/}
	[ -x "$path" ] && [ -f "$path" ] || continue
	ok "$p --help" "$p" --help
	contains "$p: help says how it is used" out "^Usage: $p"
	lacks "$p: help says nothing on standard error" err '.'
	ok "$p --version" "$p" --version
	equal "$p: the version's first line" "$(head -1 out)" "$p $(sed -n 's/^VERSION := //p' "$TOP/Makefile")"
	fails 2 "$p --no-such-option" "$p" --no-such-option
	lacks "$p: wrong usage leaves standard output empty" out '.'
	contains "$p: an unknown option is called that" err "^$p: unknown option --no-such-option; try"
	equal "$p: wrong usage is one line" "$(wc -l <err | tr -d ' ')" 1
	contains "$p: wrong usage points at the help" err "^$p: .*--help"
	fails 2 "$p: a value that is none" "$p" --seed=x
	fails 4 "$p: --help into a full disk" sh -c "$p --help >/dev/full"
	"$p" --print-options=tsv >tsv
	ok "$p: completion is bash" bash -c "$p --print-options=bash | bash -n"
	"$p" --help >help
	missing=
	for name in $(awk -F'\t' '$3 != "heading" { print $2 }' tsv); do
		grep -qF -e "--$name" help || missing="$missing $name"
	done
	equal "$p: help has all options of the table" "$missing" ""
done

# what is wrong with an option: nothing is near, something is, several are meant, an argument too many
wrong() { # OPTION MESSAGE, of moe-rollout
	fails 2 "$1" moe-rollout -m base "$1"
	equal "is told as it is" "$(cat err)" "moe-rollout: $2; try 'moe-rollout --help'"
}
wrong --adaptor "unknown option --adaptor (did you mean --adapter?)"
wrong --adaptor=a.moes "unknown option --adaptor (did you mean --adapter?)"
wrong --tpo-p "unknown option --tpo-p (did you mean --top-p?)"
wrong --base-line "unknown option --base-line"
wrong --xy "unknown option --xy"
wrong "--$(printf '%0300d' 0)" "unknown option --$(printf '%0300d' 0)"
wrong --top "option --top is ambiguous: --top-k, --top-p"
wrong --top=3 "option --top is ambiguous: --top-k, --top-p"
wrong --any-base=yes 'option --any-base takes no argument, but "yes" is given'
wrong --any= 'option --any-base takes no argument, but "" is given'
wrong --quiet=1 'option --quiet takes no argument, but "1" is given'
wrong -Z "unknown option -Z"
wrong --top-k "option --top-k needs an argument"

echo '{"id":"1","text":"x"}' | moe-cat --from-json -k prompts >a.moes
printf old >keep
fails 3 "a failing program" sh -c 'head -c 60 a.moes | moe-cat -s -o keep'
equal "leaves the old file" "$(cat keep)" old
equal "and no temporary" "$(ls -A | grep -c keep)" 1
ok "-o replaces it" moe-cat -s a.moes -o keep
same "with the new bytes" keep a.moes
chmod 600 keep
ok "again" moe-cat -s a.moes -o keep
equal "the mode stays" "$(stat -c %a keep)" 600
ln -s keep link
ok "-o on a link" moe-cat -s a.moes -o link
equal "the link stays a link" "$(readlink link)" keep
fails 4 "-o into a folder that is not there" moe-cat -s a.moes -o no/such/file
fails 4 "/dev/full" moe-cat -s a.moes -o /dev/full
fails 4 "standard output is full" sh -c 'moe-cat -s a.moes >/dev/full'
fails 4 "standard output is full, text" sh -c 'moe-cat --json a.moes >/dev/full'
ok "/dev/null" moe-cat -s a.moes -o /dev/null
ok "- is standard output" sh -c 'moe-cat -s a.moes -o - | cmp - a.moes'

# -j in any spelling stays out of the header: the bytes do not depend on it
for j in "-j3" "-j 3" "-qj3" "-qj 3" "--threads=3" "--threads 3" "--thr=3"; do
	echo '{"id":"1","text":"x"}' | moe-cat --from-json -k prompts -q $j >with.moes
	echo '{"id":"1","text":"x"}' | moe-cat --from-json -k prompts $(case $j in -q*) echo -q -q ;; *) echo -q ;; esac) >without.moes
	same "$j" with.moes without.moes
done

# closed standard descriptors: using one fails, and no file of ours takes its number
fails 4 "standard output is closed" sh -c 'moe-cat --json a.moes >&-'
contains "is an error" err 'standard output: writing failed: Bad file descriptor'
ok "unless -o is given" sh -c 'moe-cat -s a.moes -o closed.moes >&-'
same "which gets all" closed.moes a.moes
fails 4 "standard input is closed" sh -c 'moe-cat --json <&-'
fails 3 "standard error is closed" sh -c 'head -c 60 a.moes | moe-cat -s -o closed.moes 2>&-'
same "no message lands in the output" closed.moes a.moes
fails 2 "-o with an empty name" moe-cat -s a.moes -o ""
ln -s new.moes ahead
ok "-o on a link to nothing" moe-cat -s a.moes -o ahead
equal "makes what it points at" "$(readlink ahead) $(cmp a.moes new.moes && echo same)" "new.moes same"
fails 3 "a pipe that is closed early, in a pipeline" bash -c 'set -o pipefail; head -c 60 a.moes | moe-cat -s | cat >/dev/null'

# a terminal: script(1) gives one
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
	script -qec "moe-cat -s a.moes" /dev/null >tty.out 2>&1 </dev/null
	equal "binary is not written to a terminal" $? 2
	contains "with a hint" tty.out 'moe-cat --json'
	for how in --numpy --pack; do
		script -qec "moe-cat $how a.moes" /dev/null >tty.out 2>&1 </dev/null
		contains "$how is no stream" tty.out 'redirect them to a file, name a file with -o'
		lacks "which moe-cat could show" tty.out 'moe-cat --json'
	done
	ok "unless forced" sh -c 'script -qec "moe-cat -s -f a.moes" /dev/null </dev/null'
	script -qec "moe-cat" /dev/null >tty.out 2>&1
	contains "standard input may not be a terminal" tty.out 'standard input is a terminal'
else
	skip "terminals" "script(1) is missing or gets no terminal"
fi

# a reader that leaves is no error: death by SIGPIPE (141 in the shell), nothing on standard error
i=0
while [ $i -lt 3000 ]; do
	echo '{"id":"1","text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'
	i=$((i + 1))
done | moe-cat --from-json -k prompts >many.moes
equal "SIGPIPE" "$(bash -c 'moe-cat --json many.moes 2>err | head -1 >/dev/null; echo ${PIPESTATUS[0]}')" 141
lacks "is quiet" err '.'
equal "also when it was inherited as ignored" "$(bash -c 'trap "" PIPE; moe-cat --json many.moes 2>err | head -1 >/dev/null; echo ${PIPESTATUS[0]}')" 141
lacks "and still quiet" err '.'

# kill -9 and SIGTERM in the middle of -o: the old file stays
mkfifo pipe
for sig in 9 15; do
	printf old >keep
	moe-cat -s -o keep pipe &
	pid=$!
	exec 5>pipe
	head -c 100000 many.moes >&5
	sleep 0.3
	kill -$sig $pid
	wait $pid 2>/dev/null
	exec 5>&-
	equal "signal $sig leaves the old file" "$(cat keep)" old
done
equal "SIGTERM removes the temporary; kill -9 leaves one" "$(ls -A | grep -c 'keep\.')" 1
done_testing
