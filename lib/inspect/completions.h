/* completions.h - rollouts step by step, as TRL's log of completions has them: step, prompt,
 * completion, rewards, advantage; and the route. As text, or as a page with filters. No seal is
 * opened.
 *
 * Advantages are of the metrics stream of the same run (formats/records.md): that of a rollout is
 * found by method, training seed, step and its place in the step. A step of which the two streams
 * hold different numbers of rollouts gets none. Not thread-safe.
 */
#ifndef MOE_INSPECT_COMPLETIONS_H
#define MOE_INSPECT_COMPLETIONS_H

#include "inspect/show.h"

struct moe_completions;
/* each: how many rollouts of a step are kept (the first), which takes memory; 0 = all. */
struct moe_completions *moe_completions_new(uint64_t each, struct moe_err *e);
void moe_completions_free(struct moe_completions *c); /* NULL is accepted */
/* Reads one input to its end: rollouts that o's conditions pass, and metrics. */
int moe_completions_read(
	struct moe_completions *c, struct moe_show *o, struct moe_reader *r, struct moe_err *e);
/* After all inputs. colour: escape sequences of a terminal's colours. No rollout at all is said in
 * a line. */
int moe_completions_text(
	struct moe_completions *c, bool colour, struct moe_buf *out, struct moe_err *e);
/* Where metrics were read: rollouts that are shown without an advantage, as no metrics are of their
 * run and step; *of so many. After the text or the page was made. */
size_t moe_completions_bare(const struct moe_completions *c, size_t *of);
/* One HTML file that needs no other and loads nothing. */
int moe_completions_html(struct moe_completions *c, struct moe_buf *out, struct moe_err *e);

#endif
