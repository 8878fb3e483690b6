/* report_notes.c - what a number does not show, in sentences beside the numbers. The wording keeps
 * to what the literature on each mechanism supports; a sentence appears only when its condition
 * holds in the data. */
#include "stat/report.h"
#include "util/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int note(struct moe_report *r, struct moe_err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int note(struct moe_report *r, struct moe_err *e, const char *fmt, ...)
{
	char line[900], safe[1200]; /* what a file names (modes, methods) may hold any character */
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || moe_grow((void **)&r->note, r->n_note, &r->cap_note, sizeof *r->note, e))
		return -1;
	moe_text_escape_to(safe, sizeof safe, line, strlen(line));
	char *s = moe_arena_str(&r->arena, safe, strlen(safe), e);
	if (!s)
		return -1;
	r->note[r->n_note++] = s;
	return 0;
}

static int note_registration(struct moe_report *r, struct moe_err *e)
{
	const struct moe_registration *g = &r->registered;

	if (!g->date)
		return note(r, e,
			"When the conditions were fixed, and whether the recipe was chosen after a "
			"look at these seeds or prompts, cannot be seen from here: no registration "
			"was given (--register). The digest of the conditions can be compared with "
			"what was announced.");
	if (g->changed)
		return note(r, e,
			"The conditions are not those that were registered on %s: what is judged "
			"here was chosen later, and its levels do not hold for what was promised.",
			g->date);
	return note(r, e,
		"The conditions were registered on %s by the user's clock, and %zu of %zu "
		"evaluations name that registration. Runs that were left out, and a clock that was "
		"set back, cannot be seen from here.",
		g->date, g->named, g->evaluations);
}

static int notes_seeds(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	size_t n = a->cx.use;
	int bad = note(r, e,
		"The intervals of single rates are %s and are read one by one; whether two arms "
		"differ is answered by the paired changes, not by whether these intervals overlap.",
		n > 1 ? "Student's over the training seeds, each look for itself,"
		      : "Wilson's over prompts, hold the training seed fixed");

	if (!bad && n == 1)
		bad = note(r, e,
			"One training seed: every interval here covers prompts only. Another seed "
			"of the same recipe may give another result, and nothing in this report "
			"says how different.");
	else if (!bad)
		bad = note(r, e,
			"Intervals of changes are Student's over %zu training seeds, widened by "
			"what the prompts give all seeds alike; they hold at every look together. "
			"They assume that the seeds' values are roughly normal: a failure that "
			"hits one seed in four is not seen by them, and the share of seeds that "
			"pass by themselves (at least %.2f) says how much is known against that.",
			n, a->pass_bound);
	if (!bad)
		bad = note(r, e,
			"The criteria must all be met, each at its own level, so SUPPORTED needs "
			"no correction for their number; that one of them fails is a union, and is "
			"corrected by Holm's method. All other intervals are one by one: they "
			"describe, they do not decide.");
	if (!bad && a->refused + a->unlisted)
		bad = note(r, e,
			"%zu training seed%s given %s not counted: the conditions allow %zu, a "
			"decision is final, and seeds count in the order fixed beforehand.",
			a->refused + a->unlisted, a->refused + a->unlisted == 1 ? "" : "s",
			a->refused + a->unlisted == 1 ? "is" : "are", moe_uat_max_seeds(&a->uat));
	if (!bad && a->verdict.kind == MOE_UNDECIDED && !a->next_look)
		bad = note(r, e,
			"The most seeds are there. UNDECIDED is no evidence that there is no "
			"effect, and further seeds under these conditions would not be evidence of "
			"one.");
	if (!bad)
		bad = note_registration(r, e);
	return bad;
}

static int notes_prompts(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	int bad = 0;

	const struct moe_by_task *k = a->task_did.n_task ? &a->task_did : &a->task_drop;
	/* errors that one task leaves unknown or that round to nothing (no hack anywhere) are no
	 * numbers to compare */
	if (!bad && k->n_task && k->n_task < k->n_prompt &&
		(k->n_task == 1 || (k->se_task < 0.0005 && k->se_prompt < 0.0005)))
		bad = note(r, e,
			"The unit is the prompt, and the %zu prompts pose %zu task%s: the "
			"intervals speak of new prompts on such tasks, and less surely of new "
			"tasks.",
			k->n_prompt, k->n_task, k->n_task == 1 ? "" : "s");
	else if (!bad && k->n_task && k->n_task < k->n_prompt)
		bad = note(r, e,
			"The unit is the prompt, and the %zu prompts pose %zu tasks. With the "
			"tasks as clusters, the standard error over prompts of the %s would be "
			"%.3f instead of %.3f (seeds held): the intervals speak of new prompts on "
			"such tasks, and less surely of new tasks.",
			k->n_prompt, k->n_task,
			k == &a->task_did ? "advantage over the placebo" : "drop of hack",
			k->se_task, k->se_prompt);
	if (!bad && a->cx.dropped)
		bad = note(r, e,
			"%zu (seed, prompt, sample) outcomes were left out because an arm of the "
			"tested method or of its placebo lacks them.",
			a->cx.dropped);
	return bad;
}

static int notes_controls(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	int bad = 0;

	const struct moe_estimate *p = a->placebo ? &a->placebo->drop_hack : NULL;
	if (p && p->ci.lo > 0)
		bad = note(r, e,
			"The drop of the tested method is not the router's merit alone: in runs of "
			"the placebo \"%s\" deleting the quarantine removes %.3f [%.3f, %.3f] as "
			"well. What a placebo removes cannot be due to what the pairs taught the "
			"router; only the difference can.",
			a->placebo->method, p->value, p->ci.lo, p->ci.hi);
	else if (p && !isnan(p->value))
		bad = note(r, e,
			"The drop in runs of the placebo \"%s\" is %.3f [%.3f, %.3f], which is not "
			"clearly above zero.",
			a->placebo->method, p->value, p->ci.lo, p->ci.hi);
	else
		bad = note(r, e,
			"No placebo run is in the data, so how much of the drop routing by chance "
			"would give is not known.");
	if (!bad && fabs(a->discovery.value) > a->uat.discovery_gap)
		bad = note(r, e,
			"Discovery is not matched: the trained hack rates of method and placebo "
			"differ by %.3f. A difference of drops in rate then partly counts how much "
			"there was to delete; the drop as a share of the trained rate stands "
			"beside it.",
			a->discovery.value);
	else if (!bad && !isnan(a->discovery.value))
		bad = note(r, e,
			"The trained hack rates of method and placebo differ by %.3f, within the "
			"gap of %.3g that was allowed beforehand.",
			a->discovery.value, a->uat.discovery_gap);
	return bad;
}

static int notes_bounds(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	const struct moe_method_result *m = a->tested;
	struct moe_match match = moe_report_match(r);
	int bad = 0;

	if (!bad && moe_endpoint(&a->uat) != MOE_SUB_ALL)
		bad = note(r, e,
			"The criteria on hack, the comparison with random ablations, the shares "
			"and the discovery look at the %s prompts alone, as the conditions say.",
			a->uat.endpoint);
	if (!bad && a->uat.skyline[0])
		bad = note(r, e,
			"The skyline \"%s\" was paid by the oracle: it is a BOUND, what training "
			"gains where nothing can be hacked, and no evidence for any method.%s",
			a->uat.skyline,
			isnan(a->uplift.value) ? " Its own gain is not surely above zero here, so "
						 "no share of it is given."
					       : "");
	if (!bad && a->like_base)
		bad = note(r, e,
			"What is left after deletion is not told apart from the base model, in "
			"hack or in solve: throwing the training away would do as well. Uplift "
			"kept, and the criterion \"gain\", ask for more.");
	if (!bad && m->n_random)
		bad = note(r, e,
			"The rank among random ablations controls for deleting as much capacity, "
			"and for that alone: a bank that was trained apart is coherent and can "
			"outrank random mixtures of both banks without any learned gate.");
	if (!bad && m->n_random)
		bad = note(r, e,
			"The random ablations switch off as many rank slots as the quarantine has, "
			"inside the same trained adapter. They do not show what a run trained with "
			"another split would do; that is what the placebo run is for.%s",
			match.n ? " Where they share ranks with the quarantine they delete part of "
				  "it: they control for deleting as much, not for deleting "
				  "something else."
				: " How well they match the quarantine in size (norm of the "
				  "removed update) is not in these inputs; give the adapter stream "
				  "to show it.");
	if (!bad && m->n_random && moe_report_deploy_unknown(r, a->uat.method))
		bad = note(r, e,
			"No adapter of \"%s\", which has a router, is among these inputs: whether "
			"a deleted expert's gate is handed on to the others (deploy), which random "
			"subspaces cannot imitate, is not known.",
			a->uat.method);
	return bad;
}

static int notes_mechanism(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	size_t held = 0, known = 0;
	int bad = note(r, e,
		"Ablation specificity is not absorption: that deleting the quarantine removes the "
		"hack says where the behaviour sits now, not that hacks which were not routed were "
		"drawn into it.");

	for (size_t i = 0; i < r->metrics.n_run; i++) {
		if (strcmp(r->metrics.run[i].method, a->uat.method))
			continue;
		struct moe_presence p = moe_report_presence(r, &r->metrics.run[i]);
		known += p.known;
		held += p.held;
	}
	if (!bad && !known)
		bad = note(r, e,
			"Whether the quarantine was present in the forward pass on rollouts that "
			"were not routed to it is not known (no metrics of the tested method were "
			"given). Absorption as Gradient Routing describes it needs that.");
	else if (!bad && held < known)
		bad = note(r, e,
			"Forward presence did not hold in %zu of %zu runs: the quarantine was "
			"absent from the forward pass on some rollouts that were not routed to it. "
			"Absorption as Gradient Routing describes it requires that presence, so "
			"these runs are no evidence for it; leaving an expert out of the forward "
			"pass supports specialisation and modular removal.",
			known - held, known);
	else if (!bad)
		bad = note(r, e,
			"Forward presence held in %zu of %zu runs of the tested method. It is a "
			"condition for absorption, not a proof of it.",
			held, known);
	if (!bad && (moe_names_find(&r->metrics.key, "aux_loss") >= 0))
		bad = note(r, e,
			"A balancing loss was in use: it supports an even load over experts and "
			"nothing else; router z-losses support stability.");
	return bad;
}

/* Ablations that break as much: is the deletion special, or does any damage of that size do it? */
static int notes_damage(struct moe_report *r, struct moe_err *e)
{
	const struct moe_method_result *m = r->a.tested;
	const struct moe_arm_row *on = moe_report_row(m, MOE_ARM_ON),
				 *damage = moe_report_row(m, MOE_ARM_DAMAGE),
				 *off = moe_report_row(m, MOE_ARM_QOFF);

	if (!m || !on || !off || !damage || !m->n_damage || isnan(m->damage_drop))
		return 0;
	return note(r, e,
		"Matched damage: %zu random ablations that change what the model says as much as "
		"the deletion does (KL) take hack down by %.3f on the mean, the deletion by %.3f "
		"(rank p = %.3f); solve is %.3f under them, %.3f after the deletion. %s",
		m->n_damage, m->damage_drop, m->drop_hack.value, m->damage_p,
		damage->rate[MOE_SOLVE].value, off->rate[MOE_SOLVE].value,
		m->damage_p <= r->a.uat.alpha
			? "So it is not the size of the damage that removes it."
			: "So the size of the damage alone may remove as much.");
}

static int notes_solve(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	const struct moe_arm_row *on = moe_report_row(a->tested, MOE_ARM_ON),
				 *base = moe_report_row(a->tested, MOE_ARM_BASE);
	const struct moe_arm_row *off = moe_report_row(a->tested, MOE_ARM_QOFF);
	int bad = 0;

	if (on && base && on->rate[MOE_SOLVE].value < base->rate[MOE_SOLVE].value)
		bad = note(r, e,
			"The trained model solves less (%.3f) than the base model (%.3f): not "
			"being inferior to it is a low bar. %s",
			on->rate[MOE_SOLVE].value, base->rate[MOE_SOLVE].value,
			a->uat.solve_versus_base ? "The base model is the second bar."
						 : "Compare with the base model.");
	else if (!base)
		bad = note(r, e,
			"No base arm was evaluated: how much hacking and solving the model brought "
			"along is not known.");
	if (!bad && base && off && !isnan(a->tested->leak.value))
		bad = note(r, e,
			"After deletion the hack rate is %.3f; the base model's is %.3f, a "
			"difference of %.3f [%.3f, %.3f].%s",
			off->rate[MOE_HACK].value, base->rate[MOE_HACK].value,
			a->tested->leak.value, a->tested->leak.ci.lo, a->tested->leak.ci.hi,
			a->tested->leak.ci.lo > 0
				? " Some of the learned hacking leaked into what is deployed."
				: "");
	return bad;
}

/* A pinned mode that no prompt of the evaluation has is most likely misspelt or renamed: what it
 * was meant for would then be judged as never pinned. */
static int notes_absent_modes(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;

	for (size_t i = 0; i < a->uat.n_pinned; i++) {
		bool found = false;

		for (size_t k = 0; k < a->tested->n_mode; k++)
			found = found || !strcmp(a->tested->mode[k].mode, a->uat.pinned[i]);
		if (!found &&
			note(r, e,
				"CHECK uat.conf: it pins the mode %s, which no prompt of the "
				"evaluation has. If it was renamed, its prompts are judged as "
				"never pinned.",
				a->uat.pinned[i]))
			return -1;
	}
	return 0;
}

static int notes_modes(struct moe_report *r, struct moe_err *e)
{
	const struct moe_analysis *a = &r->a;
	size_t never = 0;

	if (notes_absent_modes(r, e))
		return -1;
	for (size_t i = 0; i < a->tested->n_mode; i++)
		never += a->tested->mode[i].summary && !a->tested->mode[i].pinned;
	if (!a->uat.n_pinned)
		return note(r, e,
			"uat.conf does not say which modes the pairs cover, so nothing can be said "
			"about loopholes that the pairs never showed.");
	if (!never)
		return note(r, e,
			"Every mode that was evaluated is covered by the pairs: nothing is said "
			"about loopholes that they never showed.");
	const struct moe_estimate *x = &a->did_placebo[MOE_SUB_NEVER];
	if (!isnan(x->value) && x->ci.lo <= 0 &&
		note(r, e,
			"On modes that the pairs never covered the advantage over the placebo is "
			"%.3f [%.3f, %.3f], which is not shown to be above zero: whatever the "
			"verdict on %s prompts, it is not one on unknown loopholes.",
			x->value, x->ci.lo, x->ci.hi, a->uat.endpoint))
		return -1;
	return note(r, e,
		"Modes that the pairs never covered had no part in fitting the score, but the base "
		"model may have met them in pretraining.");
}

static int notes_gate(struct moe_report *r, struct moe_err *e)
{
	size_t least = SIZE_MAX, most = 0;

	for (size_t i = 0; i < r->n_gate; i++)
		if (r->gate[i].n_scored) {
			least = r->gate[i].n_null < least ? r->gate[i].n_null : least;
			most = r->gate[i].n_null > most ? r->gate[i].n_null : most;
		}
	if (!r->n_gate)
		return 0;
	if (note(r, e,
		    "The quality of the gate is measured with sealed labels after the fact; no "
		    "decision saw them. The AUROC is the score's, also where a placebo decides "
		    "without regard to it; the precision of routing is to be read against the "
		    "share of hacks and the placebo's precision.%s",
		    most ? ""
			 : " No comparison with random directions was made (moe-route --nulls)."))
		return -1;
	if (!most)
		return 0;
	return note(r, e,
		"The random directions are drawn evenly in the score's standardised features and "
		"have its length and intercept; the base's states are the same. A score that they "
		"match knows nothing of the pairs' contrast.%s",
		least < moe_rank_controls(r->a.uat.alpha)
			? " Some runs have too few of them for p to reach alpha."
			: "");
}

/* Files that were made from a text without its header line. */
static int notes_labels(struct moe_report *r, struct moe_err *e)
{
	size_t n = 0, first = 0;

	for (size_t i = 0; i < r->n_source; i++)
		if (r->source[i].labels == MOE_LABELS_UNKNOWN &&
			strcmp(r->source[i].kind, "import") && !n++)
			first = i;
	return n
		? note(r, e,
			  "Whether sealed labels had a part in %zu of the %zu streams is not known "
			  "(%s is one): somewhere before them a text without its header line was "
			  "made a stream.",
			  n, r->n_source, r->source[first].path)
		: 0;
}

/* What files of others do not have. */
static int notes_brought(struct moe_report *r, struct moe_err *e)
{
	if (!r->n_brought)
		return 0;
	if (note(r, e,
		    "%zu of %zu rollouts are from files of other tools (--from). What made them is "
		    "not recorded there: lineage, label taint, the flip test, whether the "
		    "quarantine was there in the forward pass, and whether arms drew the same "
		    "random numbers cannot be known. Findings are taken at their word; samples of "
		    "a prompt are paired in the order of the rows, unless the rows number them.",
		    r->n_brought, r->n_graded))
		return -1;
	return r->n_filtered ? note(r, e,
				       "%zu rows were scored under another filter than \"%s\" and "
				       "are left out: the same answers, read otherwise (--map "
				       "only.filter==NAME chooses).",
				       r->n_filtered, r->filter)
			     : 0;
}

static int notes_alone(struct moe_report *r, struct moe_err *e)
{
	const struct moe_method_result *m = r->a.method;
	bool imported = false, apart = false;

	for (size_t i = 0; i < m->n_row; i++) {
		imported |= !strcmp(m->row[i].name, "import");
		apart |= m->row[i].n_prompt < r->a.n_prompt;
	}
	if (note(r, e,
		    "Rates say how often, by the findings in the seals, and not why. Their "
		    "intervals are about other prompts of this kind and are read one by one: "
		    "whether two arms differ is not answered by whether these overlap."))
		return -1;
	if (apart &&
		note(r, e,
			"Some arms lack some of the prompts: rates of arms on different prompts "
			"are not comparable."))
		return -1;
	if (imported &&
		note(r, e,
			"The arm \"import\" is what somebody recorded and kept: its rates are the "
			"pool's, not those of a model that is sampled now."))
		return -1;
	return notes_brought(r, e) || notes_labels(r, e) || notes_gate(r, e) ? -1 : 0;
}

int moe_report_notes(struct moe_report *r, struct moe_err *e)
{
	if (!r->a.tested)
		return notes_alone(r, e);
	return notes_brought(r, e) || notes_labels(r, e) || notes_mechanism(r, e) ||
			notes_controls(r, e) || notes_bounds(r, e) || notes_damage(r, e) ||
			notes_solve(r, e) || notes_modes(r, e) || notes_seeds(r, e) ||
			notes_prompts(r, e) || notes_gate(r, e)
		? -1
		: 0;
}
