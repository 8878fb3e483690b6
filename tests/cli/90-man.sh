#!/bin/sh
# The manual: sections and options agree with the programs, pages are clean, and what stands under EXAMPLES runs.
# An example that can not run here has the line  .\" SKIP reason  above its display.
. "$(dirname "$0")/lib.sh"

EXAMPLES=$TOP/examples
export EXAMPLES
pages=$MOE_BIN/man
[ -d "$pages" ] || make -s -C "$TOP" man BUILD="$MOE_BIN" >/dev/null
if command -v mandoc >/dev/null; then
	for page in "$pages"/*.[157]; do
		ok "${page##*/}: mandoc finds nothing" mandoc -Tlint -Wwarning "$page"
	done
	for page in "$pages"/moe-*.1; do
		program=${page##*/}
		mandoc -T ascii "$page" | sed "s|.$(printf '\b')||g" >shown
		"$MOE_BIN/${program%.1}" --print-options=tsv | awk -F'\t' '$3 == "heading" { print "   " $6 }' >headings
		equal "$program: the headings of its options are seen" "$(grep -xFf headings shown | sort -u)" "$(sort -u headings)"
	done
else
	skip "mandoc" "not installed"
fi
(cd "$TOP" && tests/lint "$MOE_BIN" help) >help.out 2>&1
equal "help and pages agree" "$(tail -1 help.out)" "lint: 0 findings"
[ "$(tail -1 help.out)" = "lint: 0 findings" ] || sed 's/^/# /' help.out

# What the examples take for granted, as small as it can be.
mkdir fixture
(
	cd fixture || exit 1
	ln -s "$EXAMPLES" examples
	cp examples/quarantine/env.lua .
	sed 's/^seeds = .*/seeds = 1 2 3 4 5 6 7 8 9 10/' examples/quarantine/uat.conf >uat.conf # the fixture's adapters have seed 1
	moe-base --new tiny -o base && moe-pairs -e env.lua -n 8 --modes run_tests,stdout_marker -o pins.moes &&
		moe-pin -m base -o a0.moes pins.moes &&
		moe-prompts -e env.lua -n 4 | moe-rollout -m base -a a0.moes --group 4 --max-new 32 --per-step 2 -o rollouts.moes &&
		moe-grade -e env.lua -o graded.moes rollouts.moes && moe-route -m base -a a0.moes graded.moes -o run.moes &&
		moe-train -m base -a a0.moes --metrics metrics.moes -o a1.moes run.moes && moe-ablate --arms on,quarantine-off -o arms.moes a1.moes &&
		moe-prompts -e env.lua -n 4 --split test | moe-rollout -m base -a arms.moes --max-new 24 | moe-grade -e env.lua -o eval.moes &&
		mkdir logistic.1 random.1 && cp eval.moes metrics.moes arms.moes logistic.1/ &&
		moe-pin -m base --method random pins.moes | moe-ablate --arms on,quarantine-off -o random.1/arms.moes &&
		moe-prompts -e env.lua -n 4 --split test | moe-rollout -m base -a random.1/arms.moes --max-new 24 | moe-grade -e env.lua -o random.1/eval.moes &&
		printf '{"prompt":"a","completion":"b","reward":1.0,"prompt_id":"p"}\n' >row.jsonl &&
		mkdir teacher_pool && printf '{"problem_id":1,"prompt":"a","completion":"b","reward":1.0,"gt_pass":false,"hacked":true}\n' >teacher_pool/1.jsonl &&
		tar -czf pool.tar.gz row.jsonl
) >fixture.out 2>&1
ok "what the examples take for granted" test -s fixture/pool.tar.gz
[ -s fixture/pool.tar.gz ] || sed 's/^/# /' fixture.out

# The displays of a page's EXAMPLES, without mdoc's escapes and prompts, and with lower counts; those of a page run one after the other.
displays() {
	awk -v out="$2" '/^\.Sh/ { on = ($2 == "EXAMPLES") } !on { next }
		/^\.\\" SKIP/ { skip = 1; next }
		/^\.Dl/ { n++; file = sprintf("%s/%02d.sh", out, n); line = $0; sub(/^\.Dl /, "", line); if (skip) file = file ".skipped"; skip = 0; plain(line); next }
		/^\.Bd/ { inside = 1; n++; file = sprintf("%s/%02d.sh", out, n); if (skip) file = file ".skipped"; skip = 0; printf "" > file; next }
		/^\.Ed/ { inside = 0; next }
		inside { plain($0) }
		function plain(s) { gsub(/\\e/, "\\", s); gsub(/\\-/, "-", s); gsub(/\\\(dq/, "\"", s); gsub(/\\\(aq/, "\047", s); gsub(/\\&/, "", s)
			sub(/^\$ /, "", s); print s > file }' "$1"
	for f in "$2"/*; do
		[ -f "$f" ] && sed -E -i 's/-n [0-9]{2,}/-n 8/; s/--per-step [0-9]+/--per-step 2/; s/--pretrain /--pretrain --steps 4 /; s/moe-rollout -m/moe-rollout --max-new 24 -m/' "$f"
	done
}
for page in "$TOP"/man/moe-*.1 "$TOP"/man/moe.7; do
	name=${page##*/}
	mkdir -p "run/$name"
	displays "$page" "$T/run/$name"
	cp -R fixture "in.$name"
	for script in "$T/run/$name"/*; do
		[ -f "$script" ] || continue
		case $script in
		*.skipped) skip "$name: example ${script##*/}" "$(sed -n 's/^\.\\" SKIP //p' "$page" | head -1)" ;;
		*)
			# a verdict of next to nothing is no success of moe-report; that it ran is what counts here
			no=0
			grep -q 'moe-report -u' "$script" && no=1
			ok "$name: example ${script##*/} runs" sh -c "cd 'in.$name' && bash -e '$script' || [ \$? -eq $no ]"
			;;
		esac
	done
	rm -rf "in.$name"
done
done_testing
