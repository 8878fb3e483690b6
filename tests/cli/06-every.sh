#!/bin/sh
# Each of the programs at work, not --help: full disks, closed outputs, readers that leave, terminals, progress, colour.
. "$(dirname "$0")/lib.sh"

env=$TOP/examples/quarantine/env.lua
moe-base -q --new tiny -o base || exit 1
moe-pairs -q -e "$env" -n 12 --modes run_tests,stdout_marker -o pins.moes
moe-pin -q -m base -o a0.moes pins.moes
moe-prompts -q -e "$env" -n 4 -o p.moes
moe-rollout -q -m base -a a0.moes -g 4 --max-new 8 -o r.moes p.moes
moe-grade -q -e "$env" -o g.moes r.moes
moe-cat --json g.moes | sed 's/"reward":[^,}]*,\(.*"sample":\([0-9]*\)\)/"reward":\2.0,\1/' | moe-cat --from-json | moe-route -q -m base -a a0.moes -o paid.moes

# what each does here, and what it writes to standard output
cat >every <<END
ablate	stream	moe-ablate --arms on,base a0.moes
base	stream	moe-base -m base --score p.texts.moes
base	text	moe-base -m base --info
base	text	moe-base -m base --generate --max-new 4 hello
cat	stream	moe-cat -s p.moes
cat	text	moe-cat p.moes
grade	stream	moe-grade -e $env r.moes
pairs	stream	moe-pairs -e $env -n 4
pin	text	moe-pin --list-methods
pin	stream	moe-pin -m base --method vanilla pins.moes
prompts	text	moe-prompts -e $env --list-modes
prompts	stream	moe-prompts -e $env -n 4
report	text	moe-report g.moes
report	stream	moe-report --flip-seals g.moes
rollout	stream	moe-rollout -m base -g 2 --max-new 4 p.moes
route	stream	moe-route -m base -a a0.moes g.moes
train	stream	moe-train -m base -a a0.moes paid.moes
END
moe-prompts -q -e "$env" --texts -n 4 -o p.texts.moes
equal "each program is here" "$(cut -f1 every | sort -u | sed 's/^/moe-/' | tr '\n' ' ')" "$(cd "$MOE_BIN" && ls moe-* | grep -vF . | tr '\n' ' ')"

pipe() { # COMMAND: its status and standard error when the reader has left before the first byte
	bash -c "{ sleep 0.2; exec $1; } 2>err | true; echo \${PIPESTATUS[0]}"
}
while IFS='	' read -r name what cmd; do
	p=moe-$name
	sh -c "$cmd" >out.whole 2>err.whole </dev/null
	status=$?
	equal "$p ($what) works" "$([ $status -le 1 ] && echo yes || cat err.whole)" yes
	equal "$p: no progress, no colour on what is no terminal" "$(tr -d '\r\033' <err.whole | cmp - err.whole 2>&1)" ""
	fails 4 "$p ($what) into a full disk" sh -c "$cmd >/dev/full"
	contains "$p says so" err "^$p: .*No space left on device"
	fails 4 "$p ($what), standard output closed" sh -c "$cmd >&-"
	contains "$p says so too" err "^$p: .*Bad file descriptor"
	if [ $name = train ]; then # outlives its readers, so that a run is not lost; but the adapter had no other place to go
		equal "$p: its reader left" "$(pipe "$cmd")" 4
		contains "$p: which it says" err "Broken pipe"
	else
		equal "$p ($what): its reader left" "$(pipe "$cmd")" 141
		equal "$p: not a word" "$(grep -v '^moe-[a-z]*: [0-9]' err)" ""
		equal "$p: the same where SIGPIPE was ignored" "$(bash -c "trap '' PIPE; { sleep 0.2; exec $cmd; } 2>/dev/null | true; echo \${PIPESTATUS[0]}")" 141
	fi
	fails 4 "$p: -o into a folder that is not there" sh -c "$cmd -o no/such/file"
	equal "$p: -o is atomic" "$(sh -c "$cmd -o made.$name >/dev/null 2>&1"; ls | grep -c "^made\.$name")" 1
done <every

# ---- terminals ----
if ! script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
	skip "terminals" "script(1) is missing or gets no terminal"
	done_testing
fi
while IFS='	' read -r name what cmd; do
	p=moe-$name
	script -qec "$cmd 2>tty.err" /dev/null >tty.out </dev/null 2>&1
	status=$?
	if [ "$what" = stream ]; then
		equal "$p: no stream on a terminal" $status 2
		contains "$p: what to do instead" tty.err 'moe-cat --json'
	else
		equal "$p: text on a terminal" "$([ $status -le 1 ] && echo yes)" yes
		NO_COLOR=1 script -qec "$cmd 2>/dev/null" /dev/null >tty.out </dev/null 2>&1
		equal "$p: NO_COLOR" "$(grep -c "$(printf '\033\[[0-9;]*m')" tty.out)" 0
	fi
done <every
for p in ablate cat grade pin pairs rollout route train report; do
	case $p in
	rollout | pin) args='-m base' ;;
	route | train) args='-m base -a a0.moes' ;;
	grade) args="-e $env" ;;
	*) args='' ;;
	esac
	script -qec "moe-$p $args >/dev/null 2>tty.err" /dev/null >/dev/null 2>&1
	equal "moe-$p does not wait for a terminal" "$? $(grep -c 'standard input is a terminal' tty.err)" "2 1"
done
for from in 'moe-prompts --from -' 'moe-rollout --from -'; do
	script -qec "$from >/dev/null 2>tty.err" /dev/null >/dev/null 2>&1
	equal "$from does not wait either" "$? $(grep -c 'standard input is a terminal' tty.err)" "2 1"
done
# progress: a line on a terminal, nothing with -q
script -qec "moe-rollout -m base -g 8 --max-new 200 p.moes -o tty.moes" tty.out >/dev/null 2>&1 </dev/null
contains "progress on a terminal" tty.out 'moe-rollout: .*prompts'
script -qec "moe-rollout -q -m base -g 8 --max-new 200 p.moes -o tty.moes" tty.out >/dev/null 2>&1 </dev/null
lacks "none with -q" tty.out 'prompts'
done_testing
