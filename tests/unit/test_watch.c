/* test_watch.c - the time left of several runs, by a clock of our own. */
#include "formats/stream.h"
#include "inspect/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A metrics stream of n steps, a second each; key is what it learns by. Without its end when it is
 * under way. */
static void run_of(const char *path, const char *key, int n, bool ended)
{
	struct moe_writer_opts o = { .kind = "metrics", .tool = "test" };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct moe_writer *w = moe_writer_open_fd(fd, path, &o, NULL, NULL);
	struct moe_rec r = { 0 };

	assert_non_null(w);
	for (int i = 0; i < n; i++) {
		moe_rec_clear(&r);
		assert_int_equal(moe_rec_set_str(&r, "t", "metrics", NULL), 0);
		assert_int_equal(moe_rec_set_int(&r, "step", i, NULL), 0);
		assert_int_equal(moe_rec_set_f64(&r, "time", i, NULL), 0);
		assert_int_equal(moe_rec_set_f64(&r, key, 1, NULL), 0);
		assert_int_equal(moe_writer_put(w, &r, NULL), 0);
	}
	assert_int_equal(ended ? moe_writer_end(w, NULL, NULL) : moe_writer_flush(w, NULL), 0);
	moe_writer_close(w);
	moe_rec_free(&r);
	close(fd);
}

/* Appends what the watch says at a second, and a NUL. */
static const char *at(struct moe_watch *w, double sec, struct moe_buf *b)
{
	struct moe_err e = { 0 };

	b->len = 0;
	assert_int_equal(moe_watch_look(w, sec, &e), 0);
	assert_int_equal(moe_watch_lines(w, b, &e), 0);
	assert_int_equal(moe_buf_add(b, "", 1, &e), 0);
	return (const char *)b->data;
}

/* A minute of pretraining is no measure of how long training will take. */
static void left_by_training_alone(void **state)
{
	char dir[] = "/tmp/moe-watch.XXXXXX", path[3][64];
	const char *p[] = { path[0], path[1], path[2] };
	struct moe_err e = { 0 };
	struct moe_buf b = { 0 };
	struct moe_watch *w;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path[0], sizeof(path[0]), "%s/base.metrics.moes", dir);
	snprintf(path[1], sizeof(path[1]), "%s/one.metrics.moes", dir);
	snprintf(path[2], sizeof(path[2]), "%s/two.metrics.moes", dir);
	w = moe_watch_new(p, 3, 10, (size_t)1 << 26, &e);
	assert_non_null(w);

	run_of(path[0], "loss", 50, false);
	assert_null(strstr(at(w, 0, &b), "about"));
	run_of(path[0], "loss", 100, true);
	assert_null(strstr(at(w, 60, &b), "about"));
	/* 6 of 20 steps in the 12 seconds since: 2 seconds each, 14 to go */
	run_of(path[1], "reward", 6, false);
	assert_non_null(strstr(at(w, 72, &b), "[1:12] about 0:28 left, 1 of 3 runs ended"));
	/* and 16 in 20 seconds: 1.25 each, 4 to go */
	run_of(path[1], "reward", 10, true);
	run_of(path[2], "reward", 6, false);
	assert_non_null(strstr(at(w, 80, &b), "[1:20] about 0:05 left, 2 of 3 runs ended"));
	run_of(path[2], "reward", 10, true);
	assert_null(strstr(at(w, 90, &b), "about"));
	assert_true(moe_watch_done(w));

	moe_watch_free(w);
	moe_buf_free(&b);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(dir);
}

/* What a step did not measure, as the KL of a run without beta, is a dash and no number. */
static void dash_for_nothing(void **state)
{
	char path[] = "/tmp/moe-watch.XXXXXX";
	const char *p = path, *text;
	const struct moe_watch_view view = { .lines = 10, .columns = 200 };
	struct moe_err e = { 0 };
	struct moe_buf b = { 0 };
	struct moe_watch *w;

	(void)state;
	close(mkstemp(path));
	run_of(path, "reward", 3, true);
	w = moe_watch_new(&p, 1, 3, (size_t)1 << 26, &e);
	assert_non_null(w);
	text = at(w, 1, &b);
	assert_non_null(strstr(text,
		"reward 1.000, length -, kl -, keep/absorb/route -, quarantine -, - tokens/s, "
		"ended"));
	b.len = 0;
	assert_int_equal(moe_watch_draw(w, &view, &b, &e), 0);
	assert_int_equal(moe_buf_add(&b, "", 1, &e), 0);
	assert_null(strstr((const char *)b.data, "NaN"));
	moe_watch_free(w);
	moe_buf_free(&b);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(left_by_training_alone),
		cmocka_unit_test(dash_for_nothing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
