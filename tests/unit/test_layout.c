/* test_layout.c - what a layout says beyond plain experts: presence, deployment, routers, needs,
 * and keys of programs to come. Also over the vectors of formats/vectors/adapter, which this test
 * writes anew into $MOE_VECTORS when that is set. */
#include "formats/list.h"
#include "moe/ablate.h"
#include "moe/layout.h"
#include "moe/method.h"
#include "moe/peft.h"
#include "util/rng.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const struct moe_config
	config = { .V = 11, .D = 4, .L = 2, .H = 2, .K = 1, .hd = 2, .F = 6 };

/* A small adapter of a method: its router, when it has one, at its own placement. */
static void make(struct moe_adapter *a, const char *method)
{
	struct moe_model m = { .config = config, .digest = "ba5e" };
	const struct moe_method *row;
	struct moe_err e = { 0 };

	*a = (struct moe_adapter){ 0 };
	row = moe_method_find(method, &e);
	assert_non_null(row);
	assert_int_equal(moe_settings_default(row->settings, &a->settings, &e), 0);
	a->x.scale = 2;
	assert_int_equal(moe_layout_expert(&a->x, "shared:1", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "clean:2", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "clean:1:calm", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "quarantine:2:hacks", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "quarantine:1", &e), 0);
	assert_int_equal(moe_layout_targets(&a->x, "q,v,down", &e), 0);
	if (moe_layout_make(a, &m, row, 4, &e))
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < a->x.n_param; i++)
		a->x.param[i] = (moe_real)(float)moe_rng_normal(moe_rng_key(1, "test"), i, 0);
	a->step = 3;
}

static void write_to(const char *path, struct moe_adapter *a)
{
	struct moe_writer_opts o = { .kind = "adapter", .tool = "test" };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	struct moe_err e = { 0 };
	struct moe_writer *w;

	assert_true(fd >= 0);
	w = moe_writer_open_fd(fd, path, &o, NULL, &e);
	assert_non_null(w);
	if (moe_adapter_write(w, a, &e) || moe_writer_end(w, NULL, &e))
		fail_msg("%s", e.msg);
	moe_writer_close(w);
	close(fd);
}

/* The arm of a file: 0, or -1 and *e. */
static int read_from(const char *path, struct moe_adapter *a, struct moe_err *e)
{
	int fd = open(path, O_RDONLY), got;
	struct moe_reader *r;

	assert_true(fd >= 0);
	r = moe_reader_open_fd(fd, path, &(struct moe_reader_opts){ 0 }, e);
	got = r ? moe_adapter_read(r, false, a, e) : -1;
	if (r)
		moe_reader_close(r);
	close(fd);
	return got == 1 ? 0 : -1;
}

static char dir[64] = "/tmp/test_layout.XXXXXX";

static const char *file(const char *name)
{
	static char path[400];
	const char *to = getenv("MOE_VECTORS");

	snprintf(path, sizeof(path), "%s/%s", to ? to : dir, name);
	return path;
}

/* Writes the adapter, reads it back: equal digests, and the same once more. */
static void round_trip(struct moe_adapter *a, const char *name)
{
	struct moe_adapter b = { 0 };
	struct moe_err e = { 0 };
	char digest[65];

	write_to(file(name), a);
	memcpy(digest, a->digest, sizeof(digest));
	if (read_from(file(name), &b, &e))
		fail_msg("%s: %s", name, e.msg);
	assert_string_equal(b.digest, digest);
	assert_int_equal(moe_adapter_digest(&b, &e), 0);
	assert_string_equal(b.digest, digest);
	assert_int_equal(b.x.n_view, a->x.n_view);
	assert_memory_equal(b.x.param, a->x.param, a->x.n_param * sizeof(moe_real));
	assert_memory_equal(b.x.present, a->x.present, sizeof(double) * (size_t)a->x.E);
	assert_true(b.x.router == a->x.router && b.x.placement == a->x.placement &&
		b.x.deploy == a->x.deploy);
	assert_memory_equal(b.x.set, a->x.set, sizeof(a->x.set));
	moe_adapter_free(&b);
}

static void refused(struct moe_adapter *a, const char *name, const char *why)
{
	struct moe_adapter b = { 0 };
	struct moe_err e = { 0 };

	write_to(file(name), a);
	assert_int_equal(read_from(file(name), &b, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	if (!strstr(e.msg, why))
		fail_msg("%s: '%s' does not say '%s'", name, e.msg, why);
	moe_adapter_free(&b);
}

static void test_round_trips(void **state)
{
	struct moe_adapter a;
	struct moe_err e = { 0 };
	char name[64];

	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		make(&a, moe_methods[i]->name);
		snprintf(name, sizeof(name), "passed-%s.moes", moe_methods[i]->name);
		round_trip(&a, name);
		moe_adapter_free(&a);
	}
	make(&a, "vanilla");
	a.x.present[3] = 0.25;
	round_trip(&a, "passed-present.moes");
	/* keys that no program knows yet */
	assert_int_equal(moe_rec_set_str(&a.more, "mood", "calm", &e), 0);
	assert_int_equal(moe_rec_set_f64(&a.more, "zeal", 0.5, &e), 0);
	round_trip(&a, "passed-unknown-keys.moes");
	moe_adapter_free(&a);
	make(&a, "topk");
	a.x.deploy = MOE_DEPLOY_SHARED;
	round_trip(&a, "passed-deploy.moes");
	moe_adapter_free(&a);
}

/* Unknown keys are in the digest, and survive reading and ablation. */
static void test_unknown_keys(void **state)
{
	struct moe_adapter a, b = { 0 }, c = { 0 };
	struct moe_err e = { 0 };
	struct moe_str s;
	char plain[65];

	(void)state;
	make(&a, "vanilla");
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	memcpy(plain, a.digest, sizeof(plain));
	assert_int_equal(moe_rec_set_str(&a.more, "mood", "calm", &e), 0);
	write_to(file("passed-unknown-key.moes"), &a);
	assert_string_not_equal(a.digest, plain);
	assert_int_equal(read_from(file("passed-unknown-key.moes"), &b, &e), 0);
	assert_true(moe_rec_str(&b.more, "mood", &s) && moe_str_eq(s, "calm"));
	assert_int_equal(moe_ablate_make(&c, &b, "quarantine-off", 1, NULL, &e), 0);
	assert_true(moe_rec_str(&c.more, "mood", &s) && moe_str_eq(s, "calm"));
	moe_adapter_free(&a);
	moe_adapter_free(&b);
	moe_adapter_free(&c);
}

/* So are those of an expert, and they stay with it. */
static void test_unknown_expert_keys(void **state)
{
	struct moe_adapter a, b = { 0 }, c = { 0 };
	struct moe_rec hacks = { 0 }, got = { 0 };
	struct moe_err e = { 0 };
	struct moe_str s;
	char plain[65];

	(void)state;
	make(&a, "vanilla");
	assert_int_equal(moe_adapter_digest(&a, &e), 0);
	memcpy(plain, a.digest, sizeof(plain));
	assert_int_equal(moe_rec_set_str(&hacks, "colour", "red", &e), 0);
	assert_int_equal(moe_rec_set_map(&a.expert_more, "3", &hacks, &e), 0);
	write_to(file("passed-unknown-expert-key.moes"), &a);
	assert_string_not_equal(a.digest, plain);
	assert_int_equal(read_from(file("passed-unknown-expert-key.moes"), &b, &e), 0);
	assert_string_equal(b.digest, a.digest);
	assert_int_equal(moe_ablate_make(&c, &b, "quarantine-off", 1, NULL, &e), 0);
	assert_int_equal(c.expert_more.n_field, 1);
	assert_true(moe_rec_map(&c.expert_more, "3", &got) && moe_rec_str(&got, "colour", &s) &&
		moe_str_eq(s, "red"));
	moe_rec_free(&got);
	moe_rec_free(&hacks);
	moe_adapter_free(&a);
	moe_adapter_free(&b);
	moe_adapter_free(&c);
}

/* A key of `more` wins over none: so a test can write what no program of today writes. */
static void test_refusals(void **state)
{
	struct moe_adapter a;
	struct moe_err e = { 0 };
	struct moe_str future = { "telepathy", 9 };
	uint64_t shape[1] = { 2 };

	(void)state;
	make(&a, "vanilla");
	assert_int_equal(moe_rec_set_strs(&a.more, "needs", &future, 1, &e), 0);
	refused(&a, "failed-needs.moes", "needs 'telepathy'");
	assert_int_equal(moe_rec_set_str(&a.more, "needs", "router", &e), 0);
	refused(&a, "failed-needs-no-array.moes", "array of names");
	moe_rec_clear(&a.more);
	assert_int_equal(moe_rec_set_str(&a.more, "router", "me", &e), 0);
	refused(&a, "failed-router-no-map.moes", "'router' must be a map");
	moe_rec_clear(&a.more);
	assert_non_null(moe_adapter_add_tensor(&a, "router.0.weight", 1, shape, &e));
	refused(&a, "failed-tensor-unannounced.moes", "belongs neither to the experts");
	moe_adapter_free(&a);
	make(&a, "topk");
	snprintf(a.method, sizeof(a.method), "vanilla");
	refused(&a, "failed-router-of-vanilla.moes", "router of the method 'vanilla'");
	snprintf(a.method, sizeof(a.method), "foresight");
	refused(&a, "failed-router-of-unknown.moes", "router of the method 'foresight'");
	snprintf(a.method, sizeof(a.method), "topk");
	assert_int_equal(moe_rec_set_f64(&a.settings, "sway", 1, &e), 0);
	refused(&a, "failed-router-setting.moes", "setting that the method 'topk'");
	moe_adapter_free(&a);
	make(&a, "topk");
	a.x.placement = MOE_PER_TOKEN; /* fewer sites than it has tensors for */
	refused(&a, "failed-router-tensors.moes", "tensor 'router.1.weight'");
	moe_adapter_free(&a);
}

static void test_peft_refuses_routers(void **state)
{
	struct moe_adapter a;
	struct moe_err e = { 0 };

	(void)state;
	make(&a, "topk");
	assert_int_equal(moe_adapter_to_peft(&a, NULL, MOE_LABELS_NONE, file("peft"), &e), -1);
	assert_non_null(strstr(e.msg, "PEFT"));
	assert_int_equal(access(file("peft"), F_OK), -1);
	moe_adapter_free(&a);
}

/* experts-off: whole experts, as many ranks as the quarantine, never it, by chance of the seed. */
static void test_experts_off(void **state)
{
	struct moe_adapter a, r = { 0 };
	int64_t rank;
	double overlap, mass;
	struct moe_err e = { 0 };
	char **name;
	size_t n;

	(void)state;
	make(&a, "topk");
	assert_int_equal(
		moe_rec_set_f64s(&a.lineage, "load", (double[]){ 1, 0.5, 0.2, 0.2, 0.1 }, 5, &e),
		0);
	assert_int_equal(moe_ablate_names("experts-off:4,quarantine-off", &name, &n, &e), 0);
	assert_int_equal(n, 5);
	for (size_t i = 0; i < 4; i++) {
		int off = 0, quarantine = 0;

		assert_int_equal(moe_ablate_make(&r, &a, name[i], 1, NULL, &e), 0);
		for (int k = 0; k < r.x.E; k++) {
			assert_true(r.x.present[k] == 0 || r.x.present[k] == 1);
			off += r.x.present[k] == 0 ? r.x.rank[k] : 0;
			quarantine += r.x.present[k] == 0 && r.x.bank[k] == MOE_BANK_QUARANTINE;
		}
		assert_int_equal(off, 3);
		assert_true(quarantine < 2 && r.x.present[0] == 1);
		assert_memory_equal(r.x.alive, a.x.alive, 14 * (size_t)a.x.R * sizeof(moe_real));
		assert_true(moe_rec_int(&r.match, "rank", &rank) && rank == 3 &&
			moe_rec_f64(&r.match, "overlap", &overlap) && overlap < 1 &&
			moe_rec_f64(&r.match, "target_mass", &mass) && fabs(mass - 0.3) < 1e-12);
	}
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
	moe_adapter_free(&r);
	moe_adapter_free(&a);
}

/* formats/vectors/adapter: passed-* can be read, failed-* cannot. */
static void test_vectors(void **state)
{
	const char *top = getenv("TOP") ? getenv("TOP") : ".";
	char path[400];
	const struct dirent *f;
	int passed = 0, failed = 0;
	DIR *d;

	(void)state;
	snprintf(path, sizeof(path), "%s/formats/vectors/adapter", top);
	d = opendir(path);
	assert_non_null(d);
	while ((f = readdir(d))) {
		struct moe_adapter a = { 0 };
		struct moe_err e = { 0 };
		bool good = !strncmp(f->d_name, "passed-", 7);

		if (!good && strncmp(f->d_name, "failed-", 7) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/formats/vectors/adapter/%s", top, f->d_name);
		if (read_from(path, &a, &e) != (good ? 0 : -1))
			fail_msg("%s: %s", f->d_name, good ? e.msg : "was taken");
		moe_adapter_free(&a);
		passed += good;
		failed += !good;
	}
	closedir(d);
	assert_true(passed >= 5 && failed >= 5);
}

static int remove_files(void **state)
{
	DIR *d = opendir(dir);
	const struct dirent *f;

	(void)state;
	while (d && (f = readdir(d)))
		if (f->d_name[0] != '.')
			unlinkat(dirfd(d), f->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_unknown_expert_keys),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_peft_refuses_routers),
		cmocka_unit_test(test_experts_off),
		cmocka_unit_test(test_vectors),
	};

	return mkdtemp(dir) ? cmocka_run_group_tests(tests, NULL, remove_files) : 1;
}
