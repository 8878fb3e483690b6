/* pin_methods.c - prints rows of the method table; it knows none of them by name. */
#include "cmd/pin_methods.h"

#include "cmd/opt.h"

static void add_settings(struct moe_buf *b, const struct moe_setting *t)
{
	struct moe_err e;
	char def[32];

	for (size_t i = 0; i < moe_setting_count(t); i++) {
		moe_setting_text(&t[i], t[i].def, def);
		if (t[i].words && *t[i].words == '=') {
			if (moe_buf_addf(b, &e, "  --set %s=TEXT\t%s (", t[i].name, t[i].help))
				moe_die(&e);
			for (const char *p = t[i].words + 1; *p; p++)
				if (*p == '\n' ? moe_buf_add(b, "\\n", 2, &e)
					       : moe_buf_add(b, p, 1, &e))
					moe_die(&e);
			if (moe_buf_add(b, ")\n", 2, &e))
				moe_die(&e);
			continue;
		}
		if (moe_setting_is_number(&t[i])
				? moe_buf_addf(b, &e, "  --set %s=%s\t%g to %g: %s\n", t[i].name,
					  def, t[i].min, t[i].max, t[i].help)
				: moe_buf_addf(b, &e, "  --set %s=%s\t%s: %s\n", t[i].name, def,
					  t[i].words, t[i].help))
			moe_die(&e);
	}
}

void pin_print_methods(void)
{
	struct moe_buf b = { 0 };
	struct moe_out out;
	struct moe_err e;

	for (size_t i = 0; moe_methods[i]; i++) {
		const struct moe_method *m = moe_methods[i];

		if (moe_buf_addf(&b, &e,
			    "%s\t%s\n  cites\t%s\n  supports\t%s\n  presence\t%s\n"
			    "  causal\t%s\n  cheats\t%s\n  pairs\t%s\n  placebo\t%s\n",
			    m->name, m->purpose, m->cites, m->supports, m->presence,
			    m->not_causal ? "no" : "yes",
			    m->cheats ? "yes: decides by sealed labels" : "no",
			    m->pins                  ? "read by moe-pin and in each training step"
				    : m->needs_pairs ? "read by moe-pin"
						     : "not needed",
			    m->placebo ? m->placebo : "none"))
			moe_die(&e);
		add_settings(&b, m->settings);
	}
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
}

void pin_report(const struct moe_method *m, const struct moe_adapter *a, size_t n_pair)
{
	struct moe_said s = { 0 };

	if (m->report)
		m->report(a, n_pair, &s);
	for (int i = 0; i < s.n; i++) {
		if (s.line[i].warn)
			moe_warn("%s", s.line[i].text);
		else
			moe_info("%s", s.line[i].text);
	}
}

const char *pin_method_name(const char *method, const char *placebo_of)
{
	const struct moe_method *m;
	struct moe_err e;

	if (!placebo_of)
		return method ? method : moe_methods[0]->name;
	if (method)
		moe_usage_error("--method and --placebo-of exclude each other");
	m = moe_method_find(placebo_of, &e);
	if (!m)
		moe_usage_error("%s", e.msg);
	if (!m->placebo)
		moe_usage_error("the method '%s' has no placebo", placebo_of);
	return m->placebo;
}

void pin_check_pairs(const struct moe_reader *r, const char *method, bool allow_oracle)
{
	static const char *const placebo[] = { "shuffled", "neutral" };
	enum moe_labels labels = moe_reader_labels(r);
	struct moe_err e;

	if (labels == MOE_LABELS_ORACLE && !allow_oracle) {
		moe_fail(&e, MOE_DATA,
			"the pairs carry the labels 'oracle': something that made them opened "
			"sealed findings of rollouts, and pairs are written by hand; "
			"--allow-oracle takes them all the same, and the adapter is marked");
		moe_die(&e);
	}
	if (labels == MOE_LABELS_UNKNOWN)
		moe_warn("whether sealed findings chose these pairs is not known (labels "
			 "'unknown'): a text without its header line was made a stream");
	for (size_t i = 0; i < sizeof(placebo) / sizeof(*placebo); i++) {
		bool is = false;

		if (moe_rec_bool(moe_reader_header(r), placebo[i], &is) && is)
			moe_warn("these pairs are a placebo (%s), but the adapter's method is "
				 "called '%s' and so will its results be: the ordinary pairs with "
				 "--method %s-%s make one that says so",
				placebo[i], method, method, placebo[i]);
	}
}
