/* report_files.c - conditions and registrations of moe-report. The report itself is
 * lib/stat's. */
#include "cmd/report_files.h"

#include "formats/input.h"
#include "stat/report.h"

void moe_read_uat(struct moe_uat *u, const char *path, struct moe_buf *text)
{
	struct moe_buf own = { 0 }, *b = text ? text : &own;
	struct moe_err e;
	struct moe_input *in = moe_input_open(path, &e);

	moe_uat_default(u);
	if (!in || moe_input_next(in, &e) < 0 || moe_input_slurp(in, b, 1 << 20, &e) ||
		moe_uat_parse(u, b->len ? (char *)b->data : "", b->len, path, &e))
		moe_die(&e);
	moe_input_close(in);
	moe_buf_free(&own);
}

void moe_write_registration(const char *uat, int n, char **path)
{
	static struct moe_report r;
	struct moe_uat u;
	struct moe_buf text = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_out out;
	struct moe_err e;
	char date[MOE_DATE_TEXT];

	moe_read_uat(&u, uat, &text);
	for (int i = 0; i < n; i++) /* what has been run so far */
		if (moe_report_load(&r, path[i], moe_common.max_mem, &e))
			moe_die(&e);
	if (moe_register(&rec, &u, text.len ? (char *)text.data : "", text.len, moe_date_now(date),
		    &r.obs, &e))
		moe_die(&e);
	moe_out_stream(&out, "registration", MOE_LABELS_NONE, NULL);
	if (moe_writer_put(out.w, &rec, &e))
		moe_die(&e);
	moe_out_finish(&out);
	moe_rec_free(&rec);
	moe_buf_free(&text);
	moe_report_free(&r);
}
