/* train_trl.c - reads a GRPOConfig; what its numbers do is lib/rl's. */
#include "cmd/train_trl.h"

#include "cmd/opt.h"
#include "formats/file.h"
#include "formats/json.h"
#include "formats/yaml.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* What is not one number of the options by itself. */
struct rest {
	int64_t accumulation, per_generation, generation_batch, per_device, max_steps;
	double warmup, cap;
	const char *schedule;
	bool vllm, correct;
};

enum kind {
	NUMBER,   /* double */
	MAYBE,    /* double, null = none (0) */
	COUNT,    /* int, at least 1 */
	SWITCH,   /* bool */
	REST,     /* of struct rest, by hand */
	SAMPLER,  /* moe-rollout's */
	LOST,     /* can not be honoured, unless the value does nothing */
	HARMLESS, /* says nothing about the numbers of a step */
};
#define O(x) offsetof(struct moe_train_opts, x)
#define L(x) O(loss.x)

static const struct field {
	const char *name;
	enum kind kind;
	size_t at;
	double min, max;  /* of a number */
	const char *idle; /* LOST: values that do nothing here, beside null and false */
	const char *why;  /* LOST */
} fields[] = {
	{ "epsilon", NUMBER, L(eps_low), 0, 1, 0, 0 },
	{ "epsilon_high", REST, 0, 0, 0, 0, 0 },
	{ "delta", MAYBE, L(delta), 0, 1e9, 0, 0 },
	{ "beta", NUMBER, L(beta), 0, 1e6, 0, 0 },
	{ "use_bias_correction_kl", SWITCH, L(kl_bias), 0, 0, 0, 0 },
	{ "sapo_temperature_pos", NUMBER, L(tau_pos), 1e-9, 1e9, 0, 0 },
	{ "sapo_temperature_neg", NUMBER, L(tau_neg), 1e-9, 1e9, 0, 0 },
	{ "vespo_k_pos", NUMBER, L(k_pos), 0, 1e6, 0, 0 },
	{ "vespo_lambda_pos", NUMBER, L(lambda_pos), 0, 1e6, 0, 0 },
	{ "vespo_k_neg", NUMBER, L(k_neg), 0, 1e6, 0, 0 },
	{ "vespo_lambda_neg", NUMBER, L(lambda_neg), 0, 1e6, 0, 0 },
	{ "off_policy_mask_threshold", MAYBE, L(off_policy), 0, 1e9, 0, 0 },
	{ "mask_truncated_completions", SWITCH, L(mask_truncated), 0, 0, 0, 0 },
	{ "top_entropy_quantile", NUMBER, L(top_entropy), 0, 1, 0, 0 },
	{ "entropy_coef", NUMBER, L(entropy_coef), -1e6, 1e6, 0, 0 },
	{ "use_adaptive_entropy", SWITCH, L(adaptive), 0, 0, 0, 0 },
	{ "entropy_coef_min", NUMBER, L(entropy_min), -1e6, 1e6, 0, 0 },
	{ "entropy_coef_max", NUMBER, L(entropy_max), -1e6, 1e6, 0, 0 },
	{ "entropy_coef_delta", NUMBER, L(entropy_step), 0, 1e6, 0, 0 },
	{ "entropy_target", NUMBER, L(entropy_target), 0, 1e6, 0, 0 },
	{ "learning_rate", NUMBER, O(lr), 0, 1e30, 0, 0 },
	{ "adam_beta1", NUMBER, O(beta1), 0, 0.999999, 0, 0 },
	{ "adam_beta2", NUMBER, O(beta2), 0, 0.99999999, 0, 0 },
	{ "adam_epsilon", NUMBER, O(eps), 0, 1, 0, 0 },
	{ "max_grad_norm", MAYBE, O(clip), 0, 1e9, 0, 0 },
	{ "num_iterations", COUNT, O(iterations), 1, 1e6, 0, 0 },
	{ "loss_type", REST, 0, 0, 0, 0, 0 },
	{ "importance_sampling_level", REST, 0, 0, 0, 0, 0 },
	{ "scale_rewards", REST, 0, 0, 0, 0, 0 },
	{ "multi_objective_aggregation", REST, 0, 0, 0, 0, 0 },
	{ "reward_weights", REST, 0, 0, 0, 0, 0 },
	{ "max_completion_length", REST, 0, 0, 0, 0, 0 },
	{ "gradient_accumulation_steps", REST, 0, 0, 0, 0, 0 },
	{ "steps_per_generation", REST, 0, 0, 0, 0, 0 },
	{ "generation_batch_size", REST, 0, 0, 0, 0, 0 },
	{ "per_device_train_batch_size", REST, 0, 0, 0, 0, 0 },
	{ "max_steps", REST, 0, 0, 0, 0, 0 },
	{ "lr_scheduler_type", REST, 0, 0, 0, 0, 0 },
	{ "warmup_steps", REST, 0, 0, 0, 0, 0 },
	{ "warmup_ratio", REST, 0, 0, 0, 0, 0 },
	{ "use_vllm", REST, 0, 0, 0, 0, 0 },
	{ "vllm_importance_sampling_correction", REST, 0, 0, 0, 0, 0 },
	{ "vllm_importance_sampling_mode", REST, 0, 0, 0, 0, 0 },
	{ "vllm_importance_sampling_clip_max", REST, 0, 0, 0, 0, 0 },
	{ "vllm_importance_sampling_clip_min", REST, 0, 0, 0, 0, 0 },
	{ "vllm_importance_sampling_cap", REST, 0, 0, 0, 0, 0 },
	{ "temperature", SAMPLER, 0, 0, 0, 0, 0 },
	{ "top_p", SAMPLER, 0, 0, 0, 0, 0 },
	{ "top_k", SAMPLER, 0, 0, 0, 0, 0 },
	{ "min_p", SAMPLER, 0, 0, 0, 0, 0 },
	{ "num_generations", SAMPLER, 0, 0, 0, 0, 0 },
	{ "generation_kwargs", LOST, 0, 0, 0, "", "moe-rollout samples" },
	{ "repetition_penalty", LOST, 0, 0, 0, "1.0 1", "moe-rollout samples without" },
	{ "max_tool_calling_iterations", LOST, 0, 0, 0, "", "there are no tools" },
	{ "weight_decay", REST, 0, 0, 0, 0, 0 },
	{ "num_train_epochs", HARMLESS, 0, 0, 0, 0, 0 },
	{ "lr_scheduler_kwargs", LOST, 0, 0, 0, "", "schedules have no arguments" },
	{ "optim", LOST, 0, 0, 0, "adamw_torch adamw_torch_fused adamw_hf", "AdamW alone is here" },
	{ "optim_args", LOST, 0, 0, 0, "", "AdamW alone is here" },
	{ "optim_target_modules", LOST, 0, 0, 0, "", "the adapter says what learns" },
	{ "label_smoothing_factor", LOST, 0, 0, 0, "0 0.0", "TRL's loss has none either" },
	{ "neftune_noise_alpha", LOST, 0, 0, 0, "", "no noise is added" },
	{ "bf16", LOST, 0, 0, 0, "", "arithmetic is float32" },
	{ "fp16", LOST, 0, 0, 0, "", "arithmetic is float32" },
	{ "seed", LOST, 0, 0, 0, "", "--seed" },
	{ "data_seed", LOST, 0, 0, 0, "", "rollouts train in the order they come" },
	{ "shuffle_dataset", LOST, 0, 0, 0, "", "rollouts train in the order they come" },
	{ "sync_ref_model", LOST, 0, 0, 0, "", "the reference is the base" },
	{ "router_aux_loss_coef", LOST, 0, 0, 0, "0 0.0", "moe-pin --set balance" },
	{ "auto_find_batch_size", LOST, 0, 0, 0, "", "there is one batch, of any size" },
	{ "trust_remote_code", LOST, 0, 0, 0, "", "no code is loaded" },
	{ "model_init_kwargs", LOST, 0, 0, 0, "", "-m DIR" },
	{ "deepspeed", LOST, 0, 0, 0, "", "one process trains" },
	{ "fsdp", LOST, 0, 0, 0, "", "one process trains" },
	{ "parallelism_config", LOST, 0, 0, 0, "", "one process trains" },
	{ "resume_from_checkpoint", LOST, 0, 0, 0, "", "--resume" },
	{ 0 },
};

/* The other fields there are, with which a step has nothing to do. */
static const char harmless[] =
	" output_dir average_tokens_across_devices bf16_full_eval fp16_full_eval tf32 "
	"activation_checkpointing activation_checkpointing_kwargs gradient_checkpointing "
	"gradient_checkpointing_kwargs torch_compile torch_compile_backend torch_compile_mode "
	"use_liger_kernel liger_kernel_config use_cache torch_empty_cache_steps logging_strategy "
	"logging_steps logging_first_step log_on_each_node logging_nan_inf_filter "
	"include_num_input_tokens_seen log_level log_level_replica disable_tqdm report_to run_name "
	"project trackio_space_id trackio_bucket_id trackio_static_space_id eval_strategy "
	"eval_steps eval_delay per_device_eval_batch_size prediction_loss_only eval_on_start "
	"eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics "
	"batch_eval_metrics save_only_model save_strategy save_steps save_on_each_node "
	"save_total_limit enable_jit_checkpoint push_to_hub hub_token hub_private_repo "
	"hub_model_id hub_strategy hub_always_push hub_revision load_best_model_at_end "
	"metric_for_best_model greater_is_better ignore_data_skip "
	"restore_callback_states_from_checkpoint full_determinism use_cpu accelerator_config "
	"dataloader_drop_last dataloader_num_workers dataloader_pin_memory "
	"dataloader_persistent_workers dataloader_prefetch_factor "
	"dataloader_multiprocessing_context dataloader_in_order remove_unused_columns label_names "
	"train_sampling_strategy length_column_name ddp_find_unused_parameters ddp_bucket_cap_mb "
	"ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout fsdp_config debug "
	"skip_memory_metrics do_train do_eval do_predict local_rank disable_dropout "
	"cast_lm_head_to_fp32 num_generations_eval ds3_gather_for_generation pad_to_multiple_of "
	"chat_template_kwargs cache_implementation vllm_mode vllm_model_impl "
	"vllm_enable_sleep_mode vllm_structured_outputs_regex vllm_server_base_url "
	"vllm_server_host vllm_server_port vllm_server_timeout vllm_group_port "
	"vllm_gpu_memory_utilization vllm_max_model_length vllm_tensor_parallel_size "
	"ref_model_mixup_alpha ref_model_sync_steps log_completions log_multimodal "
	"num_completions_to_print log_unique_prompts log_completions_hub_repo "
	"use_transformers_continuous_batching transformers_continuous_batching_config "
	"use_transformers_paged ";

static const char *file;

static void die(const char *name, const char *want)
{
	struct moe_err e;

	moe_fail(&e, MOE_DATA, "%s: %s: %s was expected", file, name, want);
	moe_die(&e);
}

static double number(const char *name, const struct moe_json *j, double min, double max)
{
	char want[96];
	double v = 0;

	snprintf(want, sizeof(want), "a number from %g to %g", min, max);
	if (!moe_json_f64(j, &v) || !(v >= min && v <= max))
		die(name, want);
	return v;
}

/* A word of the file's; valid as long as the document. */
static const char *word(const char *name, const struct moe_json *j)
{
	struct moe_str s = moe_json_str(j);

	if (!s.p)
		die(name, "a word");
	return s.p;
}

static void weights(const struct moe_json *j, struct moe_reward_opts *r)
{
	size_t n = moe_json_len(j);

	if (moe_json_kind(j) == MOE_J_NULL)
		return;
	if (moe_json_kind(j) != MOE_J_ARRAY || n == 0 || n > MOE_REWARDS_MAX)
		die("reward_weights", "a list of 1 to 16 numbers");
	r->weighted = true;
	r->n = (int)n;
	for (size_t i = 0; i < n; i++)
		r->weight[i] = number("reward_weights", moe_json_at(j, i), -1e9, 1e9);
}

static bool truth(const char *name, const struct moe_json *j)
{
	bool v = false;

	if (!moe_json_bool(j, &v))
		die(name, "true or false");
	return v;
}

/* Objectives: true when the field is one of these. */
static bool objective(const char *name, const struct moe_json *j, struct moe_train_opts *o)
{
	struct moe_err e;
	bool v;
	int rc = 0;

	if (!strcmp(name, "loss_type"))
		rc = moe_loss_type_parse(word(name, j), &o->loss.type, &e);
	else if (!strcmp(name, "importance_sampling_level"))
		rc = moe_level_parse(word(name, j), &o->loss.level, &e);
	else if (!strcmp(name, "scale_rewards"))
		rc = moe_json_bool(j, &v) ? (o->adv.scale = v ? MOE_ADV_GROUP : MOE_ADV_NONE, 0)
					  : moe_adv_scale_parse(word(name, j), &o->adv.scale, &e);
	else if (!strcmp(name, "vllm_importance_sampling_mode"))
		rc = moe_correction_parse(word(name, j), &o->loss.correction, &e);
	else if (!strcmp(name, "epsilon_high"))
		o->loss.eps_high = moe_json_kind(j) == MOE_J_NULL ? NAN : number(name, j, 0, 1e9);
	else if (!strcmp(name, "max_completion_length"))
		o->max_completion = moe_json_kind(j) == MOE_J_NULL
			? 0
			: (size_t)number(name, j, 1, 1e9);
	else if (!strcmp(name, "reward_weights"))
		weights(j, &o->reward);
	else if (!strcmp(name, "multi_objective_aggregation")) {
		o->reward.normalise = !strcmp(word(name, j), "normalize_then_sum");
		if (!o->reward.normalise && strcmp(word(name, j), "sum_then_normalize") != 0)
			die(name, "sum_then_normalize or normalize_then_sum");
	} else if (!strcmp(name, "vllm_importance_sampling_clip_min"))
		o->loss.c_min = moe_json_kind(j) == MOE_J_NULL ? 0 : number(name, j, 0, 1e9);
	else if (!strcmp(name, "vllm_importance_sampling_clip_max"))
		o->loss.c_max = moe_json_kind(j) == MOE_J_NULL ? INFINITY : number(name, j, 0, 1e9);
	else
		return false;
	if (rc)
		die(name, strstr(e.msg, ": ") ? strstr(e.msg, ": ") + 2 : e.msg);
	return true;
}

static void by_hand(
	const char *name, const struct moe_json *j, struct moe_train_opts *o, struct rest *r)
{
	const struct {
		const char *name;
		int64_t *to;
	} counts[] = { { "gradient_accumulation_steps", &r->accumulation },
		{ "steps_per_generation", &r->per_generation },
		{ "generation_batch_size", &r->generation_batch },
		{ "per_device_train_batch_size", &r->per_device } };
	bool none = moe_json_kind(j) == MOE_J_NULL;

	if (objective(name, j, o))
		return;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		if (!strcmp(name, counts[i].name)) {
			*counts[i].to = none ? 0 : (int64_t)number(name, j, 1, 1e9);
			return;
		}
	if (!strcmp(name, "max_steps"))
		r->max_steps = (int64_t)number(name, j, -1, 1e12);
	else if (!strcmp(name, "lr_scheduler_type"))
		r->schedule = word(name, j);
	else if (!strcmp(name, "use_vllm"))
		r->vllm = truth(name, j);
	else if (!strcmp(name, "vllm_importance_sampling_correction"))
		r->correct = truth(name, j);
	else if (none)
		return;
	else if (!strcmp(name, "warmup_steps") || !strcmp(name, "warmup_ratio"))
		r->warmup = fmax(r->warmup, number(name, j, 0, 1e12));
	else if (!strcmp(name, "vllm_importance_sampling_cap"))
		r->cap = number(name, j, 0, 1e9);
	else if (!strcmp(name, "weight_decay"))
		o->decay = number(name, j, 0, 1e6);
}

/* Is the value null, false, 0, or one that the list has? */
static bool idle(const struct moe_json *j, const char *list)
{
	struct moe_str s = moe_json_str(j);
	char text[64] = "";
	bool b = true;
	double v;

	if (moe_json_kind(j) == MOE_J_NULL || (moe_json_bool(j, &b) && !b))
		return true;
	if (s.p && s.n == 0)
		return true;
	if (s.p)
		snprintf(text, sizeof(text), "%.*s", (int)s.n, s.p);
	else if (moe_json_f64(j, &v))
		snprintf(text, sizeof(text), "%g", v);
	for (const char *p = list, *at; text[0] && (at = strstr(p, text)); p = at + 1) {
		char before = at == list ? ' ' : at[-1], after = at[strlen(text)];

		if (before == ' ' && (after == ' ' || !after))
			return true;
	}
	return moe_json_kind(j) == MOE_J_OBJECT && moe_json_len(j) == 0;
}

static bool is_harmless(const char *name)
{
	const char *p = harmless;
	size_t n = strlen(name);

	while (n && (p = strstr(p, name)) && !(p[-1] == ' ' && p[n] == ' '))
		p++;
	return n && p;
}

static void list_add(char list[1024], const char *name, const char *why)
{
	size_t n = strlen(list);

	snprintf(list + n, 1024 - n, "%s%s%s%s%s", n ? ", " : "", name, why ? " (" : "",
		why ? why : "", why ? ")" : "");
}

/* One member of the file. */
static void take(const char *name, const struct moe_json *j, struct moe_train_opts *o,
	struct rest *r, char sampler[1024], char lost[1024])
{
	const struct field *f = fields;
	char *to = (char *)o;

	while (f->name && strcmp(f->name, name) != 0)
		f++;
	if (!f->name && !is_harmless(name)) {
		struct moe_err e;

		moe_fail(&e, MOE_DATA, "%s: '%.60s' is no field of GRPOConfig (TRL 1.16)", file,
			name);
		moe_die(&e);
	}
	if (!f->name)
		return;
	if (f->kind == NUMBER)
		*(double *)(to + f->at) = number(name, j, f->min, f->max);
	else if (f->kind == MAYBE)
		*(double *)(to + f->at) = moe_json_kind(j) == MOE_J_NULL
			? 0
			: number(name, j, f->min, f->max);
	else if (f->kind == COUNT)
		*(int *)(to + f->at) = (int)number(name, j, f->min, f->max);
	else if (f->kind == SWITCH)
		*(bool *)(to + f->at) = truth(name, j);
	else if (f->kind == REST)
		by_hand(name, j, o, r);
	else if (f->kind == SAMPLER && moe_json_kind(j) != MOE_J_NULL)
		list_add(sampler, name, NULL);
	else if (f->kind == LOST && !idle(j, f->idle))
		list_add(lost, name, f->why);
}

/* A generation is per_generation micro-batches, an update accumulation of them: of one generation,
 * or all of several. */
static void cut_updates(const struct rest *r, struct moe_train_opts *o, char lost[1024])
{
	int64_t a = r->accumulation, s = r->per_generation;

	if (!s && r->generation_batch)
		s = r->generation_batch / r->per_device;
	s = s ? s : a;
	o->micro = (int)(a < s ? a : s);
	if (s % a == 0)
		o->updates = (int)(s / a);
	else if (a % s == 0)
		o->accumulate = (int)(a / s);
	else {
		o->micro = 1;
		list_add(lost, "steps_per_generation",
			"neither it nor gradient_accumulation_steps divides the other");
	}
	if (o->accumulate > 1 && o->iterations > 1)
		list_add(lost, "num_iterations",
			"an update takes several generations: they are gone through once");
	o->iterations = o->accumulate > 1 ? 1 : o->iterations;
}

static void schedule(const struct rest *r, struct moe_train_opts *o, char lost[1024])
{
	struct moe_err e;

	o->warm_from_zero = true;
	o->total = r->max_steps > 0 ? (uint64_t)r->max_steps : 0;
	o->warmup = (uint64_t)(r->warmup < 1 ? ceil(r->warmup * (double)o->total) : r->warmup);
	if (!strcmp(r->schedule, "constant_with_warmup"))
		o->schedule = MOE_CONSTANT;
	else if (moe_schedule_parse(r->schedule, &o->schedule, &e))
		list_add(lost, "lr_scheduler_type", "constant, linear and cosine are here");
	if (!strcmp(r->schedule, "constant"))
		o->warmup = 0; /* as transformers has it */
}

static void settle(struct rest *r, struct moe_train_opts *o, char lost[1024])
{
	if (isnan(o->loss.eps_high))
		o->loss.eps_high = o->loss.eps_low;
	if (r->cap >= 0)
		o->loss.c_max = r->cap;
	o->loss.ratio = r->vllm && r->correct ? MOE_RATIO_MIN : MOE_RATIO_NONE;
	o->adv.over_batch = o->reward.normalise;
	o->adv.gaps = o->reward.weighted || o->reward.normalise;
	cut_updates(r, o, lost);
	schedule(r, o, lost);
	if (o->decay > 0)
		list_add(lost, "weight_decay", "it pulls toward the adapter as given, not to 0");
}

/* TRL's defaults, where they are not ours. */
static void defaults(struct moe_train_opts *o, struct rest *r)
{
	struct moe_loss_opts *l = &o->loss;

	*l = (struct moe_loss_opts)MOE_LOSS_DEFAULTS;
	l->type = MOE_DAPO;
	l->eps_high = NAN; /* as epsilon */
	l->kl_bias = true;
	l->correction = MOE_SEQUENCE_MASK;
	l->c_max = 3;
	o->adv.scale = MOE_ADV_GROUP;
	o->max_completion = 512;
	o->lr = 1e-6;
	o->beta2 = 0.999;
	*r = (struct rest){ .accumulation = 1,
		.per_device = 8,
		.max_steps = -1,
		.cap = -1,
		.schedule = "linear",
		.correct = true };
}

void train_trl_config(const char *path, struct moe_train_opts *o)
{
	char sampler[1024] = "", lost[1024] = "";
	struct moe_buf text = { 0 }, json = { 0 };
	const struct moe_json *root, *value;
	const void *cursor = NULL;
	struct moe_json_doc *doc = NULL;
	const char *name;
	size_t at = 0;
	struct rest r;
	struct moe_err e;

	file = path;
	if (moe_file_read(path, &text, 1 << 20, &e))
		moe_die(&e);
	while (at < text.len && isspace(text.data[at]))
		at++;
	if (at < text.len && text.data[at] == '{')
		doc = moe_json_parse_exact((const char *)text.data, text.len, path, &e);
	else if (!moe_yaml_to_json((const char *)text.data, text.len, path, &json, &e))
		doc = moe_json_parse_exact((const char *)json.data, json.len, path, &e);
	if (!doc)
		moe_die(&e);
	defaults(o, &r);
	root = moe_json_root(doc);
	while (moe_json_next(root, &cursor, &name, &value))
		take(name, value, o, &r, sampler, lost);
	settle(&r, o, lost);
	if (sampler[0])
		moe_info("%s: these are moe-rollout's, not of this program: %s", path, sampler);
	if (lost[0])
		moe_warn("%s: these fields are not honoured: %s", path, lost);
	moe_json_free(doc);
	moe_buf_free(&text);
	moe_buf_free(&json);
}
