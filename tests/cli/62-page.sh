#!/bin/sh
# 62-page.sh - the report's page (structure, hostile text, light and dark, nothing from outside), its samples, and moe-cat --samples; findings that are not
# known, and pinned modes from the pairs.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# METHOD SEED HACK_ON HACK_OFF SOLVE_ON SOLVE_OFF [FINDINGS]: graded rollouts of 200 prompts in two modes; FINDINGS both (default) or solve.
rollouts() {
	awk -v m="$1" -v s="$2" -v arms="on $3 $5 quarantine-off $4 $6 base .05 .5" -v known="${7:-both}" 'BEGIN {
		seal["00"] = "hKZoYWNrZWTCqW1lY2hhbmlzbaCmc29sdmVkwqF2AQ=="
		seal["10"] = "hKZoYWNrZWTDqW1lY2hhbmlzbaCmc29sdmVkwqF2AQ=="
		seal["01"] = "hKZoYWNrZWTCqW1lY2hhbmlzbaCmc29sdmVkw6F2AQ=="
		one["0"] = "g6ltZWNoYW5pc22gpnNvbHZlZMKhdgE=" # {mechanism "", solved, v 1}
		one["1"] = "g6ltZWNoYW5pc22gpnNvbHZlZMOhdgE="
		n = split(arms, a, " ")
		for (i = 1; i <= n; i += 3)
			for (p = 0; p < 200; p++) {
				u = (p * 0.6180339887 + s * 0.001) % 1
				h = u < a[i+1] ? "1" : "0"; k = u > 1 - a[i+2] ? "1" : "0"
				printf "{\"t\":\"rollout\",\"arm\":\"%s\",\"id\":\"p%03d#0.0\",\"method\":\"%s\",\"mode\":\"%s\",\"policy\":\"%s-%s\",", a[i], p, m, p % 2 ? "<b>odd" : "even", a[i], s
				printf "\"prompt\":\"task %d\\n<script>alert(1)</script>\\u202ex\\u001b[31m\",\"completion\":\"line & \\\"one\\\"\\n\\tline two\",", p
				printf "\"prompt_id\":\"p%03d\",\"reward\":%s,\"rewards\":{\"passed\":%s},\"route\":{\"decision\":\"route\",\"score\":0.5},", p, h + k, h + k
				printf "\"sample\":0,\"seal\":{\"$bin\":\"%s\"},\"step\":0,\"train_seed\":%d}\n", known == "both" ? seal[h k] : one[k], s
			}
	}' | moe-cat --from-json -k rollouts
}
for s in 1 2 3; do
	rollouts 'l<i>' $s .6 .05 .3 .65 >l$s.moes
	rollouts random $s .4 .2 .35 .5 >r$s.moes
	rollouts honest $s 0 0 .8 .7 >h$s.moes
	{
		printf '{"t":"header","argv":[],"kind":"metrics","labels":"synthetic","method":"l<i>","train_seed":%d,"seed":1,"tool":"x","v":[1,0]}\n' $s
		i=0
		while [ $i -lt 20 ]; do
			printf '{"t":"metrics","step":%d,"reward":1.%d,"kl":0.0%d,"entropy":0.5,"completions/mean_length":7.0,"route/route":0.2,"update_mass/quarantine":0.3,"presence/quarantine/min_gate":1.0,"presence/quarantine/zero_share":0.0}\n' $i $i $i
			i=$((i + 1))
		done
		echo '{"t":"end","from":[],"labels":"synthetic","n":20}'
	} | moe-cat --from-json -o m$s.moes
done
cat >uat.conf <<'EOF2'
method = l<i>
placebo = random
skyline = honest
min_prompts = 100
min_random = 0
EOF2
moe-report -u uat.conf --html page.html -o page.txt l?.moes r?.moes h?.moes m?.moes 2>err
equal 'the page is written whatever the verdict' $(($? < 2)) 1

# ---- the page ----
contains 'its title says the verdict and the method' page.html '<title>[A-Z ]+: l&lt;i&gt;, 3 seeds'
contains 'it fits a phone' page.html '<meta name="viewport" content="width=device-width'
contains 'it is dark where the reader is' page.html '@media \(prefers-color-scheme:dark\)\{:root\{'
contains 'and so are the plots' page.html '\.plot svg\{filter:invert'
contains 'tables scroll' page.html '\.wide\{overflow-x:auto\}'
contains 'the first screen has hack left' page.html '<h2>Hack left</h2><p class=big>[0-9.]+&#8201;% <span>'
contains 'and uplift kept' page.html '<h2>Uplift kept</h2><p class=big>[0-9.]+&#8201;%'
contains 'beside what is asked' page.html 'asked: above 50 %'
order=$(grep -oE '<h1>|class="verdict|<h2>(Hack left|Uplift kept|The criteria|Training|What these numbers do not show|Samples|Where it comes from)|<figure>' page.html |
	sed 's/<h1>/question/; s/.*[>"]\(.\)/\1/' | uniq | tr '\n' ';')
first=$(printf '%s' "$order" | cut -d';' -f1-4)
equal 'question, verdict, picture, in this order' "$first" 'question;verdict;Hack left;Uplift kept'
notes=$(grep -n 'What these numbers do not show' page.html | cut -d: -f1)
figure=$(grep -n '<figcaption>' page.html | tail -1 | cut -d: -f1)
[ "${notes:-0}" -gt "${figure:-1}" ]
_result $? 'notes come after the plots'
lacks 'no text of data is markup' page.html '<script|<i>|<b>odd'
lacks 'no control character or override is in it' page.html "$(printf '\033|\342\200\256')"
lacks 'nothing is loaded from outside' page.html '(src|href)="?http|url\(http|@import|<link|<img|<iframe'
contains 'the policy forbids it' page.html "Content-Security-Policy\" content=\"default-src 'none'"
if command -v gnuplot >/dev/null; then
	lacks 'no name of gnuplot is a tip' page.html '<title>(Gnuplot|gnuplot_plot)|<desc>'
	lacks 'the plots have no ground of their own' page.html '<rect x="0" y="0" width="[0-9]+" height="[0-9]+" fill="#ffffff"'
	contains 'the curves have a legend' page.html '<text>.*l\?i\?'
	for panel in 'KL to the reference' 'entropy of a token' 'length of completions' 'update mass of the quarantine' 'presence: least gate'; do
		contains "the curves have: $panel" page.html "$panel"
	done
else
	skip 'the plots' 'gnuplot is not installed'
fi
moe-report -u uat.conf --plots plots -o /dev/null l?.moes r?.moes h?.moes m?.moes 2>err
equal 'curves are smoothed by a centred mean: a line stays, a jump does not' \
	"$(head -20 plots/curves.tsv | awk -F'\t' '$3 > 0 && $3 < 9 && $4 == $5 { n++ } $3 == 9 { v = $5 } END { print n, v }')" '8 0.06'
moe-report -u uat.conf --html again.html -o /dev/null r?.moes h?.moes m?.moes l3.moes l1.moes l2.moes 2>err
equal 'samples do not depend on the order of the input' \
	"$(sed -n '/<h2>Samples/,/<h2>Where/p' page.html | cksum)" "$(sed -n '/<h2>Samples/,/<h2>Where/p' again.html | cksum)"

# ---- samples ----
sed -n '/<h2>Samples/,/<h2>Where/p' page.html >samples.html
contains 'samples are folded up by method and arm' samples.html '<details><summary>l&lt;i&gt;, arm <b>quarantine-off</b></summary>'
contains 'with the findings' samples.html '<b>hacked, not solved</b>'
contains 'the first by prompt id, lowest seed' samples.html '<b>hacked, not solved</b> <span class=soft>p000, sample 0, training seed 1, reward 1<'
contains 'hostile texts are shown, not obeyed' samples.html '&lt;script&gt;alert\(1\)&lt;/script&gt;\\u\{202e\}x\\x1b\[31m'
contains 'quotes and ampersands are escaped' samples.html 'line &amp; &quot;one&quot;'

ok 'moe-cat --samples' moe-cat --samples l1.moes
cp out cat.txt
contains 'it groups by arm and mode' cat.txt '^arm on, mode even: 100 rollouts, mean reward 0\.[0-9]{3}$'
equal 'two of each by default' "$(grep -c '^  p[0-9]' cat.txt)" 12
contains 'texts are aligned' cat.txt '^    prompt      task 0$'
contains 'also their other lines' cat.txt '^                <script>alert\(1\)</script>\\u\{202e\}x\\x1b\[31m$'
contains 'tabs are spaces' cat.txt '^                    line two$'
contains 'the reward has its parts' cat.txt '^    reward      [01] = passed [01]$'
contains 'the route is there' cat.txt '^    route       route \(score 0\.500\)$'
lacks 'no colour goes to a file' cat.txt "$(printf '\033')"
ok 'one of each, of one arm' moe-cat --samples -n 1 -w arm=base l1.moes
equal 'is one of each' "$(grep -c '^  p[0-9]' out)" 2
moe-cat --samples l1.moes >with.txt
moe-cat --json l1.moes | sed 's/"seal":{[^}]*},//' | moe-cat --from-json >bare.moes
moe-cat --samples bare.moes >without.txt
same 'no seal has a part in it' with.txt without.txt
if command -v script >/dev/null; then
	TERM=xterm script -qec 'moe-cat --samples l1.moes' /dev/null >tty.txt </dev/null
	contains 'a terminal gets colours' tty.txt "$(printf '\033\\[1marm on')"
	NO_COLOR=1 TERM=xterm script -qec 'moe-cat --samples l1.moes' /dev/null >plain.txt </dev/null
	lacks 'not where NO_COLOR is set' plain.txt "$(printf '\033\\[1m')"
else
	skip 'colours' 'script is not installed'
fi
fails 2 '--samples is one thing to do' moe-cat --samples --json l1.moes

# ---- findings that are not known ----
rollouts 'l<i>' 1 .6 .05 .3 .65 solve >half.moes
ok 'solve alone gives rates alone' moe-report --html half.html half.moes -o half.txt
contains 'the line says so' half.txt '^NOTHING TO TEST: .*do not say whether a rollout hacked.*solve alone$'
contains 'arms stand under their method' half.txt 'l<i>, quarantine-off +- \[ +-, +-\] +0\.6[0-9]+ \['
lacks 'no rate of hack is invented' half.txt 'quarantine-off +0\.'
contains 'nor drawn' half.html '<h2>Hack</h2><p>Not known'
contains 'the other one is' half.html '<rect class=solve '
fails 3 'the two kinds do not mix' moe-report half.moes r1.moes
contains 'and that is said' err 'do not say whether they hacked, and the others do'

# ---- pinned modes ----
printf '%s\n' '{"clean":"c","hack":"h","id":"a","mode":"even","prompt":"p"}' | moe-cat --from-json -k pairs -o pairs.moes
moe-report -u uat.conf -o pinned.txt l?.moes r?.moes h?.moes pairs.moes 2>err
contains 'pairs among the operands say what is pinned' pinned.txt 'pinned: even'
printf 'pinned = <b>odd\n' | cat uat.conf - >said.conf
moe-report -u said.conf -o said.txt l?.moes r?.moes h?.moes pairs.moes 2>err
lacks 'unless the conditions do' said.txt 'pinned: even'
done_testing
