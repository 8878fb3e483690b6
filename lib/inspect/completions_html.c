/* completions_html.c - the page of completions: the rollouts as data, and a script that filters and
 * shows them. The script only ever sets text, so that what a model wrote stays text; the page's
 * policy lets nothing be loaded. */
#include "inspect/completions.h"
#include "inspect/completions_priv.h"
#include "util/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
	"'unsafe-inline'; script-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>Completions</title><style>\n"
	":root{color-scheme:light dark;--ink:#1f2428;--soft:#5b6369;--line:#dfe2e5;--paper:#fff;"
	"--band:#f6f7f8;--up:#2d6a4f;--down:#9b2226}\n"
	"@media (prefers-color-scheme:dark){:root{--ink:#e3e6e8;--soft:#a0a8af;--line:#363d43;"
	"--paper:#15181b;--band:#1e2327;--up:#74c69d;--down:#f0857d}}\n"
	"*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
	"font:15px/1.45 Helvetica,Arial,sans-serif}\n"
	"form{position:sticky;top:0;background:var(--band);border-bottom:1px solid "
	"var(--line);padding:.6rem 1rem;display:flex;flex-wrap:wrap;gap:.4rem "
	"1rem;align-items:end}\n"
	"label{font-size:.8rem;color:var(--soft);display:block}input,select{font:inherit;"
	"display:block;max-width:14rem}input[type=number]{width:6rem}\n"
	"#n{color:var(--soft);margin-left:auto}main{padding:0 1rem 3rem;overflow-x:auto}\n"
	"table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;"
	"padding:.35rem .6rem;border-bottom:1px solid var(--line)}\n"
	"th{color:var(--soft);font-weight:normal;cursor:pointer;white-space:nowrap}\n"
	"td.x{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
	"pre{margin:0;font:.82rem/1.4 Menlo,Consolas,monospace;white-space:pre-wrap;"
	"overflow-wrap:anywhere;max-height:14rem;overflow:auto}\n"
	".up{color:var(--up)}.down{color:var(--down)}button{font:inherit;margin:1rem 0}\n"
	"</style></head><body>\n"
	"<noscript><p>This page filters with a script; moe-cat --completions writes the same as "
	"text.</p></noscript>\n"
	"<form id=\"f\"></form><main><table><thead><tr id=\"h\"></tr></thead><tbody id=\"b\">"
	"</tbody></table><button id=\"more\" type=\"button\" hidden>more</button></main>\n"
	"<script type=\"application/json\" id=\"d\">\n";

/* Columns: of each row's array, and of the table. Row: run, step, id, mode, prompt, completion,
 * finish, tokens, reward, parts, advantage, decision, score. */
static const char script[] =
	"\n</script><script>\n'use strict';\n"
	"const rows=JSON.parse(document.getElementById('d').textContent),f=document.getElementById("
	"'f');\n"
	"const el=(t,c,s)=>{const x=document.createElement(t);if(c)x.className=c;"
	"if(s!==undefined)x.textContent=s;return x};\n"
	"const uniq=i=>[...new Set(rows.map(r=>r[i]))].filter(x=>x!=='').sort();\n"
	"const field={};\n"
	"function add(name,label,x){const l=el('label','',label);l.append(x);f.append(l);"
	"field[name]=x;x.addEventListener('input',show)}\n"
	"function choice(name,label,i){const v=uniq(i);if(v.length<2)return;const s=el('select');"
	"s.append(new Option('all',''));for(const x of v)s.append(new Option(x,x));"
	"add(name,label,s)}\n"
	"function number(name,label){const x=el('input');x.type='number';x.step='any';"
	"add(name,label,x)}\n"
	"choice('run','run',0);choice('mode','mode',3);choice('decision','route',11);"
	"choice('finish','finish',6);\n"
	"number('s0','step from');number('s1','to');number('r0','reward from');number('r1','to');\n"
	"{const s=el('select');for(const x of ['all','above 0','below 0','0','not trained'])"
	"s.append(new Option(x,x));add('adv','advantage',s)}\n"
	"{const x=el('input');x.type='search';add('text','text (prompt, completion, id)',x)}\n"
	"const count=el('span');count.id='n';f.append(count);\n"
	"f.addEventListener('submit',e=>e.preventDefault());\n"
	"const cols=[['run',0],['step',1],['prompt',4],['completion',5],['tokens',7],['reward',8],"
	"['parts',9],['advantage',10],['route',11],['score',12]];\n"
	"let key=-1,dir=1,shown=0,list=[];\n"
	"for(const [n,i] of cols){const t=el('th','',n);t.addEventListener('click',()=>{"
	"dir=key===i?-dir:1;key=i;show()});document.getElementById('h').append(t)}\n"
	"const val=n=>field[n]?field[n].value:'';\n"
	"const low=(n,v)=>val(n)===''||(v!==null&&v>=+val(n)),high=(n,v)=>val(n)===''||"
	"(v!==null&&v<=+val(n));\n"
	"function pass(r){const a=val('adv'),t=val('text').toLowerCase(),v=r[10];\n"
	"return (val('run')===''||r[0]===val('run'))&&(val('mode')===''||r[3]===val('mode'))&&"
	"(val('decision')===''||r[11]===val('decision'))&&(val('finish')===''||"
	"r[6]===val('finish'))&&low('s0',r[1])&&high('s1',r[1])&&low('r0',r[8])&&high('r1',r[8])&&"
	"\n"
	"(a==='all'||(a==='above 0'&&v>0)||(a==='below 0'&&v!==null&&v<0)||(a==='0'&&v===0)||"
	"(a==='not trained'&&v===null))&&\n"
	"(t===''||[r[4],r[5],r[2]].some(x=>x.toLowerCase().includes(t)))}\n"
	"function row(r){const tr=el('tr');for(const [n,i] of cols){let c;const v=r[i];\n"
	"if(n==='prompt'||n==='completion'){c=el('td');c.append(el('pre','',v))}\n"
	"else if(n==='parts')c=el('td','',v);\n"
	"else if(typeof v==='number'){c=el('td','x',n==='step'||n==='tokens'?v:+v.toPrecision(5));"
	"if(n==='advantage')c.classList.add(v>0?'up':v<0?'down':'o')}\n"
	"else c=el('td',v===null?'x':'',v===null?'NaN':v);\n"
	"tr.append(c)}tr.title=r[2];return tr}\n"
	"function more(){const b=document.getElementById('b');for(const r of "
	"list.slice(shown,shown+100))b.append(row(r));shown=Math.min(shown+100,list.length);"
	"document.getElementById('more').hidden=shown>=list.length;"
	"count.textContent=list.length+' of '+rows.length+' rollouts'}\n"
	"function show(){list=rows.filter(pass);if(key>=0)list=[...list].sort((a,b)=>{"
	"const x=a[key],y=b[key];return x===y?0:x===null?1:y===null?-1:(x<y?-1:1)*dir});"
	"document.getElementById('b').replaceChildren();shown=0;more()}\n"
	"document.getElementById('more').addEventListener('click',more);show();\n"
	"</script></body></html>\n";

/* A JSON text of any bytes, in which no tag of HTML can begin or end: what is not UTF-8 as \xHH. */
static int text(struct moe_buf *out, const char *s, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int bad = moe_text_escape_invalid(&b, s, strlen(s), e) || moe_buf_add(out, "\"", 1, e);

	for (size_t i = 0; i < b.len && !bad; i++) {
		unsigned char c = b.data[i];

		if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&')
			bad = moe_buf_addf(out, e, "\\u%04x", c);
		else
			bad = moe_buf_add(out, &c, 1, e);
	}
	moe_buf_free(&b);
	return bad || moe_buf_add(out, "\"", 1, e) ? -1 : 0;
}

static int number(struct moe_buf *out, double v, struct moe_err *e)
{
	return isfinite(v) ? moe_buf_addf(out, e, ",%.9g", v) : moe_buf_addf(out, e, ",null");
}

static int parts(const struct moe_completions *c, const struct moe_completion *q,
	struct moe_buf *out, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int bad = 0;

	for (size_t i = 0; i < q->n_part && !bad; i++)
		bad = moe_buf_addf(&b, e, "%s%s %.6g", i ? ", " : "", c->name.v[q->part[i].name],
			q->part[i].v);
	bad = bad || !moe_buf_cstr(&b, e) || moe_buf_add(out, ",", 1, e) ||
		text(out, (const char *)b.data, e);
	moe_buf_free(&b);
	return bad ? -1 : 0;
}

static int add_row(const struct moe_completions *c, const struct moe_completion *q,
	struct moe_buf *out, struct moe_err *e)
{
	const char *method = c->name.v[q->method];
	char run[160] = "";

	if (*method)
		snprintf(run, sizeof(run), "%.120s.%" PRId64, method, q->seed);
	if (moe_buf_add(out, "[", 1, e) || text(out, run, e) ||
		moe_buf_addf(out, e, ",%" PRId64 ",", q->step) || text(out, q->id, e) ||
		moe_buf_add(out, ",", 1, e) || text(out, c->name.v[q->mode], e) ||
		moe_buf_add(out, ",", 1, e) || text(out, q->prompt, e) ||
		moe_buf_add(out, ",", 1, e) || text(out, q->completion, e) ||
		moe_buf_add(out, ",", 1, e) || text(out, c->name.v[q->finish], e) ||
		number(out, q->tokens < 0 ? NAN : (double)q->tokens, e) ||
		number(out, q->reward, e) || parts(c, q, out, e) || number(out, q->advantage, e) ||
		moe_buf_add(out, ",", 1, e) || text(out, c->name.v[q->decision], e) ||
		number(out, q->score, e))
		return -1;
	return moe_buf_add(out, "]", 1, e);
}

int moe_completions_html(struct moe_completions *c, struct moe_buf *out, struct moe_err *e)
{
	moe_completions_join(c);
	if (moe_buf_add(out, head, sizeof(head) - 1, e) || moe_buf_add(out, "[", 1, e))
		return -1;
	for (size_t i = 0; i < c->n; i++)
		if ((i && moe_buf_add(out, ",\n", 2, e)) || add_row(c, &c->v[i], out, e))
			return -1;
	return moe_buf_add(out, "]", 1, e) || moe_buf_add(out, script, sizeof(script) - 1, e) ? -1
											      : 0;
}
