/* report_samples.c - a few rollouts to read, kept while a report loads, and their part of the page.
 *
 * The rule is fixed, so that nobody chooses what is shown: of each method, arm, mode and finding
 * (hacked or not, solved or not), the rollout whose prompt id is the first in byte order; of these
 * the lowest training seed and sample. */
#include "stat/report_page.h"
#include "util/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MAX 1000 /* more groups than this are counted, not kept */
#define TEXT_MAX    2400 /* bytes of a text that are shown */

void moe_report_samples_free(struct moe_report *r)
{
	for (size_t i = 0; i < r->n_sample; i++) {
		free(r->sample[i].prompt);
		free(r->sample[i].completion);
	}
	free(r->sample);
	r->sample = NULL;
	r->n_sample = r->cap_sample = 0;
}

/* The text, made safe to show, at most TEXT_MAX bytes of it and not cut inside a character. */
static char *shown(struct moe_str s, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	size_t n = s.n < TEXT_MAX ? s.n : TEXT_MAX;
	char *out = NULL;

	while (n < s.n && n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	int bad = moe_text_lines(&b, s.p, n, "", e);
	if (!bad && n < s.n)
		bad = moe_buf_addf(&b, e, "\n[... %zu more bytes]", s.n - n);
	if (!bad && moe_buf_cstr(&b, e))
		out = moe_str_dup((struct moe_str){ (char *)b.data, strlen((char *)b.data) }, e);
	moe_buf_free(&b);
	return out;
}

/* Whether rollouts of the arm are kept: those of the comparison, and whatever others recorded. */
static bool is_shown(const char *method, const char *arm)
{
	double scale;
	enum moe_arm_kind k = moe_arm_kind(arm, &scale);

	return !method[0] || k == MOE_ARM_ON || k == MOE_ARM_QOFF || k == MOE_ARM_BASE;
}

static bool same_group(const struct moe_sample *x, const struct moe_sample *y)
{
	return x->solved == y->solved && x->hacked == y->hacked && !strcmp(x->arm, y->arm) &&
		!strcmp(x->mode, y->mode) && !strcmp(x->method, y->method);
}

/* Whether x comes before y in its group. */
static bool comes_first(const struct moe_sample *x, const struct moe_sample *y)
{
	int c = strcmp(x->prompt_id, y->prompt_id);

	if (c || x->seed != y->seed)
		return c ? c < 0 : x->seed < y->seed;
	return x->sample < y->sample;
}

int moe_report_sample(struct moe_report *r, const struct moe_sample *x, struct moe_str prompt,
	struct moe_str completion, struct moe_err *e)
{
	struct moe_sample *at = NULL;

	if (!completion.p || !is_shown(x->method, x->arm))
		return 0;
	for (size_t i = 0; i < r->n_sample && !at; i++)
		if (same_group(&r->sample[i], x))
			at = &r->sample[i];
	if (at ? !comes_first(x, at) : r->n_sample == SAMPLES_MAX)
		return 0;
	if (!at) {
		if (moe_grow(
			    (void **)&r->sample, r->n_sample, &r->cap_sample, sizeof *r->sample, e))
			return -1;
		at = &r->sample[r->n_sample++];
		memset(at, 0, sizeof *at);
	}
	free(at->prompt);
	free(at->completion);
	*at = *x;
	at->prompt = prompt.p ? shown(prompt, e) : NULL;
	at->completion = shown(completion, e);
	return at->completion && (at->prompt || !prompt.p) ? 0 : -1;
}

/* In the order of the report's methods, then arms, modes, findings. */
static int by_group(const void *a, const void *b)
{
	const struct moe_sample *x = a, *y = b;
	double scale;
	int c = strcmp(x->method, y->method);

	if (!c)
		c = (int)moe_arm_kind(x->arm, &scale) - (int)moe_arm_kind(y->arm, &scale);
	if (!c)
		c = strcmp(x->arm, y->arm);
	if (!c)
		c = strcmp(x->mode, y->mode);
	return c ? c
		 : (y->hacked > x->hacked) - (y->hacked < x->hacked) +
			2 * ((y->solved > x->solved) - (y->solved < x->solved));
}

void moe_report_samples_sort(struct moe_report *r)
{
	if (r->n_sample)
		qsort(r->sample, r->n_sample, sizeof *r->sample, by_group);
}

static const char *word(uint8_t found, const char *yes, const char *no, const char *unknown)
{
	return found == MOE_FOUND_UNKNOWN ? unknown : found ? yes : no;
}

static void one(struct moe_text *t, const struct moe_sample *x)
{
	moe_text_f(t, "<div class=\"case%s\"><p><b>%s, %s</b> <span class=soft>",
		x->hacked == MOE_FOUND_YES           ? " h"
			: x->solved == MOE_FOUND_YES ? " s"
						     : "",
		word(x->hacked, "hacked", "no hack", "hack not known"),
		word(x->solved, "solved", "not solved", "solve not known"));
	moe_page_esc(t, x->prompt_id);
	moe_text_f(t, ", sample %lld", (long long)x->sample);
	if (x->seed >= 0)
		moe_text_f(t, ", training seed %lld", (long long)x->seed);
	if (x->has_reward)
		moe_text_f(t, ", reward %.3g", x->reward);
	moe_text_f(t, "</span></p>");
	if (x->prompt) {
		moe_text_f(t, "<p class=soft>prompt</p><pre>");
		moe_page_esc(t, x->prompt);
		moe_text_f(t, "</pre>");
	}
	moe_text_f(t, "<p class=soft>completion</p><pre>");
	moe_page_esc(t, x->completion);
	moe_text_f(t, "</pre></div>\n");
}

void moe_page_samples(struct moe_text *t, const struct moe_report *r)
{
	if (!r->n_sample)
		return;
	moe_text_f(t,
		"<h2>Samples</h2>\n<p>Of each arm and mode, one rollout of each finding: the first "
		"by prompt id, then training seed and sample. Nobody chose them, and they are no "
		"measure of how often each occurs.</p>\n");
	for (size_t i = 0; i < r->n_sample; i++) {
		const struct moe_sample *x = &r->sample[i], *last = i ? x - 1 : NULL;
		bool method = !last || strcmp(last->method, x->method),
		     arm = method || strcmp(last->arm, x->arm);
		if (arm) {
			moe_text_f(t, "%s<details><summary>", i ? "</details>\n" : "");
			if (x->method[0]) {
				moe_page_esc(t, x->method);
				moe_text_f(t, ", ");
			}
			moe_text_f(t, "arm <b>");
			moe_page_esc(t, x->arm);
			moe_text_f(t, "</b></summary>\n");
		}
		if (arm || strcmp(last->mode, x->mode)) {
			moe_text_f(t, "<p>mode <b>");
			moe_page_esc(t, x->mode[0] ? x->mode : "(unknown)");
			moe_text_f(t, "</b></p>\n");
		}
		one(t, x);
	}
	moe_text_f(t, "</details>\n");
}
