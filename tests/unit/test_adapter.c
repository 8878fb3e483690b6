/* test_adapter.c - adapters through a stream and back, damaged streams, plans, ablations, arrays in
 * records. */
#include "formats/list.h"
#include "moe/ablate.h"
#include "moe/adapter_priv.h"
#include "moe/layout.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/tiny.h"

static const struct moe_config config = TINY_CONFIG(2);

static void make(struct moe_adapter *a)
{
	struct moe_model m = { .config = config, .digest = "ba5e" };
	uint64_t shape[2] = { 3, 2 };
	struct moe_score_tensor *t;
	struct moe_err e;

	*a = (struct moe_adapter){ 0 };
	a->x.scale = 2;
	assert_int_equal(moe_layout_expert(&a->x, "shared:1", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "clean:4", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "quarantine:2:hacks", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "quarantine:2", &e), 0);
	assert_int_equal(moe_layout_targets(&a->x, "q,v,down", &e), 0);
	assert_int_equal(moe_layout_make(a, &m, moe_methods[0], 4, &e), 0);
	for (size_t i = 0; i < a->x.n_param; i++)
		a->x.param[i] = (moe_real)moe_rng_normal(moe_rng_key(1, "test"), i, 0);
	t = moe_adapter_add_tensor(a, "score.weight", 2, shape, &e);
	assert_non_null(t);
	for (int i = 0; i < 6; i++)
		t->data[i] = (float)i / 3;
	assert_int_equal(moe_rec_set_f64(&a->score, "bias", 0.25, &e), 0);
	assert_int_equal(moe_decision_table_set(&a->plan, "absorb.clean=0.5/0", &e), 0);
	a->step = 17;
}

static int file_of(struct moe_adapter *a, int n)
{
	struct moe_writer_opts o = {
		.kind = "adapter", .tool = "test", .labels = MOE_LABELS_SYNTHETIC
	};
	FILE *f = tmpfile();
	int fd = dup(fileno(f));
	struct moe_writer *w;
	struct moe_err e;

	fclose(f);
	w = moe_writer_open_fd(fd, "test", &o, NULL, &e);
	assert_non_null(w);
	for (int i = 0; i < n; i++)
		assert_int_equal(moe_adapter_write(w, a, &e), 0);
	assert_int_equal(moe_writer_end(w, NULL, &e), 0);
	moe_writer_close(w);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int read_one(int fd, bool no_digest, struct moe_adapter *b, struct moe_err *e)
{
	struct moe_reader *r = moe_reader_open_fd(
		fd, "test", &(struct moe_reader_opts){ .no_digest = no_digest }, e);
	int got;

	assert_non_null(r);
	got = moe_adapter_read(r, false, b, e);
	moe_reader_close(r);
	return got;
}

static void test_round_trip(void **state)
{
	struct moe_adapter a, b = { 0 }, c = { 0 };
	struct moe_reader *r;
	struct moe_err e;
	int fd;

	(void)state;
	make(&a);
	fd = file_of(&a, 2);
	r = moe_reader_open_fd(fd, "test", NULL, &e);
	assert_non_null(r);
	assert_int_equal(moe_adapter_read(r, true, &b, &e), 1);
	assert_int_equal(moe_adapter_read(r, true, &c, &e), 1);
	assert_int_equal(moe_adapter_read(r, true, &c, &e), 0);
	moe_reader_close(r);
	close(fd);
	assert_int_equal(b.x.n_param, a.x.n_param);
	assert_memory_equal(b.x.param, a.x.param, a.x.n_param * sizeof(moe_real));
	assert_int_equal(b.x.E, 4);
	assert_string_equal(b.x.name[2], "hacks");
	assert_string_equal(b.x.name[3], "quarantine1");
	assert_string_equal(b.base, "ba5e");
	assert_true(b.plan.gate[MOE_ABSORB][MOE_BANK_CLEAN] == 0.5 &&
		b.plan.mask[MOE_ABSORB][MOE_BANK_CLEAN] == 0);
	assert_true(b.plan.gate[MOE_KEEP][MOE_BANK_QUARANTINE] == 0 && b.step == 17);
	assert_true(moe_adapter_tensor(&b, "score.weight")->data[5] == 5.0f / 3);
	assert_string_equal(a.digest, b.digest);
	assert_int_equal(moe_adapter_copy(&c, &b, &e), 0);
	assert_int_equal(moe_adapter_digest(&c, &e), 0);
	assert_string_equal(a.digest, c.digest);
	moe_adapter_free(&a);
	moe_adapter_free(&b);
	moe_adapter_free(&c);
}

/* What the digest covers, and what it leaves out. */
static void test_digest(void **state)
{
	struct moe_adapter a;
	char was[65];
	struct moe_err e;

	(void)state;
	make(&a);
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	memcpy(was, a.digest, sizeof(was));
	a.step++;
	a.train_seed++;
	strcpy(a.arm, "other");
	assert_int_equal(moe_lineage_add(&a, "abc", "def", 0, NULL, &e), 0);
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	assert_string_equal(a.digest, was);
	a.x.alive[3] = 0;
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	assert_string_not_equal(a.digest, was);
	a.x.alive[3] = 1;
	a.plan.mask[MOE_ROUTE][MOE_BANK_CLEAN] = 0.5;
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	assert_string_not_equal(a.digest, was);
	a.x.param[7] = NAN;
	assert_int_equal(moe_adapter_digest(&a, &e), -1);
	assert_int_equal(e.code, MOE_NUMERIC);
	moe_adapter_free(&a);
}

/* A changed byte anywhere is found by the arm's own digest or by a check, also without the stream's
 * checksum. */
static void test_damage(void **state)
{
	struct moe_adapter a, b = { 0 };
	struct moe_err e;
	off_t size;
	int fd, found = 0, tried = 0;

	(void)state;
	make(&a);
	fd = file_of(&a, 1);
	size = lseek(fd, 0, SEEK_END);
	for (off_t at = 400; at < size - 200; at += 97) {
		unsigned char c, d;

		assert_int_equal(pread(fd, &c, 1, at), 1);
		d = c ^ 4;
		assert_int_equal(pwrite(fd, &d, 1, at), 1);
		lseek(fd, 0, SEEK_SET);
		found += read_one(fd, true, &b, &e) == -1;
		tried++;
		assert_int_equal(pwrite(fd, &c, 1, at), 1);
	}
	close(fd);
	assert_true(tried > 50);
	assert_int_equal(found, tried);
	moe_adapter_free(&a);
	moe_adapter_free(&b);
}

static void test_check(void **state)
{
	struct moe_adapter a;
	struct moe_config c = config;
	struct moe_err e;

	(void)state;
	make(&a);
	assert_int_equal(moe_adapter_check(&a, &c, "ba5e", false, &e), 0);
	assert_int_equal(moe_adapter_check(&a, &c, "0123", false, &e), -1);
	assert_int_equal(moe_adapter_check(&a, &c, "0123", true, &e), 0);
	c.F++;
	assert_int_equal(moe_adapter_check(&a, &c, "ba5e", true, &e), -1);
	moe_adapter_free(&a);
}

static void test_plan(void **state)
{
	static const char *const bad[] = { "", "keep", "keep.clean", "keep.clean=", "keep.clean=1",
		"keep.clean=1/", "keep.clean=1/x", "keep.hack=1/1", "kept.clean=1/1",
		"sample.clean=1/1", "keep.clean=nan/1", "keep.clean=1/1 " };
	struct moe_decision_table p;
	struct moe_err e;

	(void)state;
	moe_decision_table_ones(&p);
	assert_int_equal(moe_decision_table_set(&p, "route.shared=0.25/0", &e), 0);
	assert_true(p.gate[MOE_ROUTE][MOE_BANK_SHARED] == 0.25 &&
		p.mask[MOE_ROUTE][MOE_BANK_SHARED] == 0);
	assert_int_equal(moe_decision_table_set(&p, "sample.quarantine=0", &e), 0);
	assert_true(p.sample[MOE_BANK_QUARANTINE] == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (moe_decision_table_set(&p, bad[i], &e) == 0)
			fail_msg("'%s' was taken for a plan entry", bad[i]);
}

/* What is on of slot r of cell c: alive times the presence of the expert that owns it. */
static double on(const struct moe_experts *x, size_t c, int r)
{
	int e = 0;

	while (e + 1 < x->E && r >= x->first[e + 1])
		e++;
	return (double)x->alive[c * (size_t)x->R + (size_t)r] * x->present[e];
}

/* Frobenius norm of what x lacks of `whole`, s B diag(what was on - what is on) A, the long way. */
static double removed_norm(const struct moe_experts *whole, const struct moe_experts *x)
{
	double sum = 0;

	for (size_t c = 0; c < (size_t)x->config.L * MOE_LINEARS; c++) {
		int d_in, d_out;

		if (!x->target[c % MOE_LINEARS])
			continue;
		moe_linear_shape(&x->config, (enum moe_linear)(c % MOE_LINEARS), &d_in, &d_out);
		for (int o = 0; o < d_out; o++)
			for (int i = 0; i < d_in; i++) {
				double v = 0;

				for (int r = 0; r < x->R; r++)
					v += (double)x->param[moe_view_of(
								      x, (size_t)(c), MOE_ROLE_B)
								      ->off +
						     (size_t)(o * x->R + r)] *
						(on(whole, c, r) - on(x, c, r)) *
						(double)x->param[moe_view_of(
									 x, (size_t)(c), MOE_ROLE_A)
									 ->off +
							(size_t)(r * d_in + i)];
				sum += v * v * x->scale * x->scale;
			}
	}
	return sqrt(sum);
}

static void test_ablate(void **state)
{
	struct moe_adapter a, q = { 0 }, r = { 0 };
	double target, ratio;
	struct moe_err e;
	char **name;
	size_t n;

	(void)state;
	make(&a);
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	assert_int_equal(moe_ablate_names("on,quarantine-off,random-off:3,scale:clean=0,0.5,base",
				 &name, &n, &e),
		0);
	assert_int_equal(n, 8);
	assert_string_equal(name[4], "random-off-3");
	assert_string_equal(name[6], "scale:clean=0.5");
	assert_int_equal(moe_ablate_make(&q, &a, name[0], 1, NULL, &e), 0);
	assert_int_equal(moe_adapter_digest(&q, &e), 0);
	assert_string_equal(q.digest, a.digest);
	assert_int_equal(moe_ablate_make(&q, &a, name[1], 1, NULL, &e), 0);
	assert_memory_equal(q.x.param, a.x.param, a.x.n_param * sizeof(moe_real));
	target = removed_norm(&a.x, &q.x);
	for (int k = 2; k < 5; k++) {
		assert_int_equal(moe_ablate_make(&r, &a, name[k], 1, NULL, &e), 0);
		assert_true(fabs(removed_norm(&a.x, &r.x) / target - 1) < 1e-5);
		assert_true(moe_rec_f64(&r.match, "ratio", &ratio) &&
			fabs(ratio - removed_norm(&a.x, &r.x) / target) < 1e-6);
		assert_memory_not_equal(
			r.x.alive, q.x.alive, 14 * (size_t)a.x.R * sizeof(moe_real));
	}
	assert_int_equal(moe_ablate_make(&r, &a, name[6], 1, NULL, &e), 0);
	assert_true(on(&r.x, 0, 1) == 0.5 && on(&r.x, 0, 0) == 1 && on(&r.x, 0, 5) == 1);
	assert_memory_equal(r.x.alive, a.x.alive, 14 * (size_t)a.x.R * sizeof(moe_real));
	assert_int_equal(moe_ablate_make(&r, &a, name[7], 1, NULL, &e), 0);
	assert_true(moe_experts_off(&r.x) && !moe_experts_off(&a.x));
	/* of an arm in which some is off already: what is dead stays so, and what is left of the
	 * quarantine is the measure */
	for (size_t i = 0; i < 14 * (size_t)a.x.R; i++)
		a.x.alive[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? 0.5f : 1;
	assert_int_equal(moe_ablate_make(&q, &a, name[1], 1, NULL, &e), 0);
	target = removed_norm(&a.x, &q.x);
	for (int k = 2; k < 5; k++) {
		assert_int_equal(moe_ablate_make(&r, &a, name[k], 1, NULL, &e), 0);
		assert_true(fabs(removed_norm(&a.x, &r.x) / target - 1) < 1e-5);
		for (size_t i = 0; i < 14 * (size_t)a.x.R; i += 3)
			assert_true(r.x.alive[i] == 0);
	}
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
	assert_int_equal(moe_ablate_names("on,quarantine_off", &name, &n, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
	moe_adapter_free(&a);
	moe_adapter_free(&q);
	moe_adapter_free(&r);
}

/* Nothing is cut off a long command line or a long line of ancestors. */
static void test_lineage(void **state)
{
	enum { LONG = 200 };
	struct moe_adapter a;
	struct moe_str s;
	struct moe_list l;
	char *argv[LONG], hex[65];
	struct moe_err e;

	(void)state;
	make(&a);
	for (int i = 0; i < LONG; i++)
		argv[i] = (char *)(uintptr_t) "word";
	for (int i = 0; i < LONG; i++) {
		snprintf(hex, sizeof(hex), "%064d", i);
		assert_int_equal(moe_lineage_add(&a, hex, NULL, LONG, argv, &e), 0);
	}
	assert_int_equal(moe_rec_array_len(&a.lineage, "argv"), LONG);
	assert_true(moe_list_open(&a.lineage, "parents", &l));
	for (int i = 0; i < LONG; i++) {
		snprintf(hex, sizeof(hex), "%064d", i);
		assert_true(moe_list_next_str(&l, &s) && moe_str_eq(s, hex));
	}
	assert_false(moe_list_next_str(&l, &s));
	moe_adapter_free(&a);
}

static void test_lists(void **state)
{
	const uint64_t big[20] = { 0, 127, 128, 255, 256, 65535, 65536, 4294967295u, 4294967296u,
		UINT64_MAX };
	static const uint8_t whole[] = { 0x94, 0xe0, 0xd0, 0x80, 0xd2, 0xff, 0xf0, 0xbd, 0xc0,
		5 }; /* -32, -128, -1000000, 5 */
	const double f[3] = { -0.5, 1e300, 3 };
	struct moe_rec r = { 0 }, m[2] = { 0 }, out = { 0 };
	struct moe_list l;
	uint64_t u[20];
	double d[20];
	int64_t v;
	size_t n;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_rec_set_u64s(&r, "u", big, 20, &e), 0);
	assert_int_equal(moe_rec_u64s(&r, "u", u, 20, &n, &e), 0);
	assert_int_equal(n, 20);
	assert_memory_equal(u, big, sizeof(big));
	assert_int_equal(moe_rec_u64s(&r, "u", u, 19, &n, &e), -1);
	assert_int_equal(moe_rec_set_f64s(&r, "f", f, 3, &e), 0);
	assert_int_equal(moe_rec_f64s(&r, "f", d, 3, &n, &e), 0);
	assert_memory_equal(d, f, sizeof(f));
	assert_int_equal(moe_rec_set_raw(&r, "w", whole, sizeof(whole), &e), 0);
	assert_int_equal(moe_rec_f64s(&r, "w", d, 20, &n, &e), 0);
	assert_true(n == 4 && d[0] == -32 && d[1] == -128 && d[2] == -1000000 && d[3] == 5);
	assert_int_equal(moe_rec_u64s(&r, "f", u, 20, &n, &e), -1);
	assert_int_equal(moe_rec_set_int(&m[0], "k", 7, &e), 0);
	assert_int_equal(
		moe_rec_set_str(&m[1], "text", "a longer value that is skipped over", &e), 0);
	assert_int_equal(moe_rec_set_maps(&r, "m", (struct moe_rec[]){ m[1], m[0] }, 2, &e), 0);
	assert_true(moe_list_open(&r, "m", &l));
	assert_true(moe_list_next_map(&l, &out, &e) == 1 && moe_list_next_map(&l, &out, &e) == 1);
	assert_true(moe_rec_int(&out, "k", &v) && v == 7);
	assert_int_equal(moe_list_next_map(&l, &out, &e), 0);
	assert_true(moe_list_open(&r, "f", &l));
	assert_int_equal(moe_list_next_map(&l, &out, &e), -1);
	moe_rec_free(&r);
	moe_rec_free(&m[0]);
	moe_rec_free(&m[1]);
	moe_rec_free(&out);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* A layout may declare gigabytes of experts in 1 kB: reading it takes the memory of what arrives.
 */
static void check_declared(int F, int L, int rank)
{
	struct moe_adapter a;
	struct moe_rec layout = { 0 };
	struct rusage before, after;
	struct moe_err e;

	make(&a);
	a.x.config.F = F;
	a.x.config.L = L;
	a.x.rank[0] = rank;
	assert_int_equal(moe_adapter_layout(&a, &layout, &e), 0);
	moe_adapter_free(&a);
	a = (struct moe_adapter){ 0 };
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(moe_adapter_from_layout(&layout, &a, &e), 0);
	getrusage(RUSAGE_SELF, &after);
	assert_true(a.x.n_param + (size_t)L * MOE_LINEARS * (size_t)a.x.R > (size_t)10 << 20);
	assert_true(after.ru_maxrss - before.ru_maxrss <
		8192); /* kB; all of it would be more than 40 MB */
	moe_rec_free(&layout);
	moe_adapter_free(&a);
}

static void test_declared(void **state)
{
	(void)state;
	if (getenv("MOE_UNDER")) /* memcheck touches all that is allocated */
		skip();
	check_declared(1 << 20, 2, 2); /* wide matrices */
	check_declared(1, 4096, 400);  /* many ranks */
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_ablate),
		cmocka_unit_test(test_lineage),
		cmocka_unit_test(test_lists),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		cmocka_unit_test(test_declared),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
