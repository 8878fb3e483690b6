# page.awk - the page of the benches from samples (lib.sh, sample): part, row, unit, side, round, value, MB of memory, separated by tabs.
# usage: awk -f page.awk [-v head=FILE] [-v html=1] samples
#
# Text: a row's medians over the rounds with least and most, and how many times as fast the first side is as each other: the median of the rounds' ratios
# with the least and the most. HTML: the same, with a bar of each ratio on a logarithmic axis, and a whisker from the least to the most.
BEGIN { FS = "\t" }
{
	key = $1 FS $2 FS $3
	if (!(key in seen)) { seen[key] = ++n; name[n] = key; sides[n] = 0 }
	k = seen[key]
	if (!((k, $4) in at)) { at[k, $4] = ++sides[k]; side[k, sides[k]] = $4 }
	s = at[k, $4]
	value[k, s, ++count[k, s]] = $6 + 0
	of_round[k, s, $5] = $6 + 0
	if ($7 + 0 > mb[k, s]) mb[k, s] = $7 + 0
	if ($5 + 0 > last) last = $5 + 0
}
# a[1..m] sorted in place; lo, mid, hi are set
function order(m,   i, j, v) {
	for (i = 2; i <= m; i++) { v = a[i]; for (j = i - 1; j >= 1 && a[j] > v; j--) a[j + 1] = a[j]; a[j + 1] = v }
	lo = a[1]; hi = a[m]; mid = m % 2 ? a[(m + 1) / 2] : (a[m / 2] + a[m / 2 + 1]) / 2
}
function values(k, s,   i) { for (i = 1; i <= count[k, s]; i++) a[i] = value[k, s, i]; order(count[k, s]) }
# ratios of side 1 over side s, round by round; how many there are
function ratios(k, s, less,   r, m, x, y) {
	for (r = 0; r <= last; r++)
		if ((k, 1, r) in of_round && (k, s, r) in of_round) {
			x = of_round[k, 1, r]; y = of_round[k, s, r]
			if (x > 0 && y > 0) a[++m] = less ? y / x : x / y
		}
	if (m) order(m)
	return m
}
function num(x) { return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : x >= 1 ? "%.2f" : x >= 0.1 ? "%.3f" : "%.2g", x) }
function span() { return num(mid) (num(lo) != num(hi) ? " [" num(lo) ", " num(hi) "]" : "") }
function narrow(t) { if (sub(/ \[/, " <small>[", t)) t = t "</small>"; return t }
function esc(t) { gsub(/&/, "\\&amp;", t); gsub(/</, "\\&lt;", t); gsub(/>/, "\\&gt;", t); return t }
function x_of(v) { v = v < 0.125 ? 0.125 : v > 64 ? 64 : v; return 20 + 280 * (log(v) / log(2) + 3) / 9 }
function bar(   x1, xm, c, p) {
	x1 = x_of(1); xm = x_of(mid); c = mid >= 1 ? "#2b7a4b" : "#b4552d"
	printf "<svg width=\"320\" height=\"22\" role=\"img\" aria-label=\"%s\">", span()
	for (p = -3; p <= 6; p++) printf "<path d=\"M%.1f 0v22\" stroke=\"%s\"/>", x_of(2 ^ p), p ? "#e4e4e0" : "#777"
	printf "<rect x=\"%.1f\" y=\"6\" width=\"%.1f\" height=\"10\" fill=\"%s\"/>", x1 < xm ? x1 : xm, x1 < xm ? xm - x1 : x1 - xm, c
	printf "<path d=\"M%.1f 11H%.1fM%.1f 7v8M%.1f 7v8\" stroke=\"#222\" fill=\"none\"/></svg>", x_of(lo), x_of(hi), x_of(lo), x_of(hi)
}
function html_page(   k, p, f, part, s, line, x) {
	print "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>moetools: measured speeds</title>"
	print "<style>body{font:14px/1.4 sans-serif;max-width:88em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;table-layout:fixed;width:100%;min-width:72em}" \
		"td,th{padding:.1em .6em;text-align:left;vertical-align:middle}th{border-bottom:1px solid #999}tr.new td{border-top:1px solid #ddd}td.n{font-variant-numeric:tabular-nums;white-space:nowrap}" \
		"pre{background:#f5f5f2;padding:.7em;white-space:pre-wrap}svg{display:block}svg text{font-size:10px;fill:#555}</style><h1>moetools: measured speeds</h1><pre>"
	while (head && (getline line < head) > 0) print esc(line)
	print "</pre><p>Every ratio is of two runs of one round; the bar ends at the median of the rounds, the whisker goes from the least to the most. " \
		"Right of the line (1) the first column is faster. Axis: powers of two, from 1/8 to 64, where what is beyond ends.</p>"
	for (k = 1; k <= n; k++) {
		split(name[k], f, FS)
		if (f[1] != part) {
			if (part) print "</table>"
			part = f[1]
			printf "<h2>%s</h2><table><colgroup><col style=\"width:16%%\"><col style=\"width:20%%\"><col style=\"width:11%%\"><col style=\"width:13%%\"><col><col style=\"width:333px\"></colgroup>" \
				"<tr><th>what<th>measured<th>beside<th>measured<th>times as fast<th><svg width=\"320\" height=\"14\">", esc(part)
			for (p = -3; p <= 6; p++) { x = x_of(2 ^ p); printf "<text x=\"%.1f\" y=\"11\" text-anchor=\"middle\">%s</text>", x, p < 0 ? "1/" 2 ^ -p : 2 ^ p }
			print "</svg>"
		}
		values(k, 1)
		printf "<tr class=new><td>%s<td class=n>%s %s%s", esc(f[2]), narrow(span()), esc(f[3]), mb[k, 1] ? sprintf("<br><small>%.0f MB</small>", mb[k, 1]) : ""
		if (sides[k] < 2) print "<td><td><td><td>"
		for (s = 2; s <= sides[k]; s++) {
			if (s > 2) printf "<tr><td><td>"
			values(k, s)
			printf "<td>%s<td class=n>%s%s", esc(side[k, s]), narrow(span()), mb[k, s] ? sprintf("<br><small>%.0f MB</small>", mb[k, s]) : ""
			if (ratios(k, s, f[3] == "s")) { printf "<td class=n>%s<td>", narrow(span()); bar(); print "" } else print "<td><td>"
		}
	}
	print "</table></html>"
}
function text_page(   k, f, part, s, line) {
	while (head && (getline line < head) > 0) print line
	print "first side of a row: median of the rounds [least, most]; beside it the others, and how many times as fast the first is, in pairs of one round"
	for (k = 1; k <= n; k++) {
		split(name[k], f, FS)
		if (f[1] != part) { part = f[1]; printf "\n%s\n", toupper(part) }
		values(k, 1)
		printf "  %-58s %s %s%s\n", f[2], span(), f[3], mb[k, 1] ? sprintf(", %.0f MB", mb[k, 1]) : ""
		for (s = 2; s <= sides[k]; s++) {
			values(k, s)
			printf "    %-56s %-28s", "beside " side[k, s], span() (mb[k, s] ? sprintf(", %.0f MB", mb[k, s]) : "")
			if (ratios(k, s, f[3] == "s")) printf " times as fast: %s", span()
			print ""
		}
	}
}
END { if (html) html_page(); else text_page() }
