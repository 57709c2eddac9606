#include "config/key_table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STEPS_MAX  1000000000 /* updates, rows and the like: far beyond any run, far from any overflow */
#define TOKENS_MAX INT64_C(1000000000000000)
#define LENGTH_MAX 1048576
#define REAL_MAX   BT_KEY_REAL_MAX

/* clang-format off */
#define INT(n, at, def, lo, hi, f) \
    {.name = n, .type = BT_KEY_INT, .offset = at, .value = def, .min = lo, .max = hi, .flags = f}
#define INT_OR_NULL(n, at, null, lo, hi) \
    {.name = n, .type = BT_KEY_INT, .offset = at, .null_value = null, .min = lo, .max = hi, .flags = NULLABLE}
#define REAL(n, at, def, lo, hi, f) \
    {.name = n, .type = BT_KEY_REAL, .offset = at, .value = def, .low = lo, .high = hi, .flags = f}
#define REAL_PAIR(n, at, def, lo, hi, f) \
    {.name = n, .type = BT_KEY_REAL_PAIR, .offset = at, .value = def, .low = lo, .high = hi, .flags = f}
#define BOOL(n, at, def, f)       {.name = n, .type = BT_KEY_BOOL, .offset = at, .value = def, .flags = f}
#define STRING(n, at, def, f)     {.name = n, .type = BT_KEY_STRING, .offset = at, .value = def, .flags = f}
#define ENUM(n, at, def, list, not_yet) \
    {.name = n, .type = BT_KEY_ENUM, .offset = at, .value = def, .names = list, .unbuilt = not_yet}
#define SOURCES(n, at, count) \
    {.name = n, .type = BT_KEY_LIST, .offset = at, .count_offset = count, .value = "[]", \
     .keys = source_keys, .item_size = sizeof(struct bt_cfg_source)}
#define SECTION(n, at, k, f)      {.name = n, .type = BT_KEY_SECTION, .offset = at, .keys = k, .flags = f}
#define SECTION_OR_NULL(n, at, present, k, f) \
    {.name = n, .type = BT_KEY_SECTION, .offset = at, .present_offset = present, .keys = k, .flags = NULLABLE | (f)}
#define WEIGHT(n, at, def) \
    {.name = n, .type = BT_KEY_WEIGHT, .offset = at, .value = def, .low = 0.0, .high = REAL_MAX}
#define NAME_OR_REALS(n, at, def, list) \
    {.name = n, .type = BT_KEY_NAME_OR_REALS, .offset = at, .value = def, .low = 0.0, .high = REAL_MAX, .names = list}
#define END                       {.name = NULL}

#define NULLABLE   BT_KEY_NULLABLE
#define MAY_CHANGE BT_KEY_MAY_CHANGE
#define FLOW       BT_KEY_FLOW
#define ABOVE_LOW  BT_KEY_ABOVE_LOW
#define BELOW_HIGH BT_KEY_BELOW_HIGH
/* clang-format on */

static const char *const stage_names[] = {
    [BT_STAGE0] = "stage0", [BT_STAGE1] = "stage1", [BT_STAGE1_9] = "stage1_9",
    [BT_STAGE2] = "stage2", [BT_STAGE3] = "stage3", [BT_STAGE_COUNT] = NULL,
};
static const char *const format_names[] = {
    [BT_CFG_LLMC] = "llmc", [BT_CFG_NANOGPT] = "nanogpt", [BT_CFG_TEXT] = "text", [BT_CFG_JSONL] = "jsonl", NULL};
static const char *const weights_names[] = {[BT_WEIGHTS_TERNARY] = "ternary", [BT_WEIGHTS_NONE] = "none", NULL};
static const char *const activations_names[] = {[BT_ACTIVATIONS_INT8] = "int8", [BT_ACTIVATIONS_NONE] = "none", NULL};
static const char *const curve_names[] = {[BT_CURVE_LINEAR] = "linear", [BT_CURVE_COSINE] = "cosine", NULL};
static const char *const subln_names[] = {[BT_SUBLN_ONES] = "ones", [BT_SUBLN_CALIBRATED] = "calibrated", NULL};
static const char *const optimizer_names[] = {[BT_OPTIMIZER_ADAMW] = "adamw", [BT_OPTIMIZER_MUON] = "muon", NULL};
static const char *const layer_weights_names[] = {[BT_LAYERS_UNIFORM] = "uniform",
                                                  [BT_LAYERS_PROGRESSIVE] = "progressive",
                                                  [BT_LAYERS_EXPONENTIAL] = "exponential",
                                                  [BT_LAYERS_LIST] = NULL};
static const char *const hidden_names[] = {[BT_CFG_HIDDEN_MSE] = "mse",
                                           [BT_CFG_HIDDEN_MSE_NORMALIZED] = "mse_normalized",
                                           [BT_CFG_HIDDEN_INNER_PRODUCT] = "inner_product",
                                           NULL};
static const char *const relation_names[] = {
    [BT_RELATION_EQUATION] = "equation", [BT_RELATION_ALGORITHM] = "algorithm", NULL};
static const char *const schedule_names[] = {[BT_SCHEDULE_CONSTANT] = "constant",
                                             [BT_SCHEDULE_LINEAR] = "linear",
                                             [BT_SCHEDULE_COSINE] = "cosine",
                                             [BT_SCHEDULE_WSD] = "wsd",
                                             NULL};
static const char *const matmul_names[] = {
    [BT_MATMUL_AUTO] = "auto", [BT_MATMUL_FLOAT32] = "float32", [BT_MATMUL_INT8] = "int8", NULL};
static const char *const gradient_names[] = {
    [BT_GRADIENT_AUTO] = "auto", [BT_GRADIENT_FLOAT32] = "float32", [BT_GRADIENT_INT16] = "int16", NULL};
static const char *const kernels_names[] = {
    [BT_KERNELS_AUTO] = "auto",     [BT_KERNELS_PORTABLE] = "portable", [BT_KERNELS_AVX2] = "avx2",
    [BT_KERNELS_AVX512] = "avx512", [BT_KERNELS_ONEDNN] = "onednn",     NULL};

const char *bt_stage_name(enum bt_stage_id stage)
{
    return stage_names[stage];
}

enum bt_stage_id bt_stage_by_name(const char *name)
{
    enum bt_stage_id stage = BT_STAGE0;
    while (stage < BT_STAGE_COUNT && (!name || strcmp(name, stage_names[stage]) != 0))
        stage++;
    return stage;
}

enum bt_cfg_kernels bt_kernels_by_name(const char *name)
{
    for (int i = 0; name && kernels_names[i]; i++)
        if (!strcmp(name, kernels_names[i]))
            return (enum bt_cfg_kernels)i;
    return BT_KERNELS_AUTO;
}

#define AT(field) offsetof(struct bt_cfg_source, field)
static const struct bt_key source_keys[] = {
    STRING("path", AT(path), NULL, BT_KEY_REQUIRED),
    REAL("weight", AT(weight), "1.0", 0.0, REAL_MAX, ABOVE_LOW),
    ENUM("format", AT(format), "llmc", format_names, 0),
    STRING("key", AT(key), NULL, NULLABLE),
    STRING("separator", AT(separator), NULL, NULLABLE),
    STRING("chat_format", AT(chat_format), NULL, NULLABLE),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_data, field)
static const struct bt_key separator_keys[] = {
    INT_OR_NULL("before", AT(separator_before), -1, 0, INT32_MAX),
    INT_OR_NULL("after", AT(separator_after), -1, 0, INT32_MAX),
    END,
};
static const struct bt_key data_keys[] = {
    SOURCES("train", AT(train), AT(train_count)),
    SOURCES("validation", AT(validation), AT(validation_count)),
    INT("max_seq_length", AT(max_seq_length), "512", 1, LENGTH_MAX, 0),
    BOOL("packing", AT(packing), "true", 0),
    SECTION("separators", 0, separator_keys, FLOW),
    BOOL("shuffle", AT(shuffle), "true", 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_stage1, field)
static const struct bt_key stage1_keys[] = {
    BOOL("insert_subln", AT(insert_subln), "true", 0),
    ENUM("subln_init", AT(subln_init), "calibrated", subln_names, 0),
    {.name = "exclude_layers",
     .type = BT_KEY_STRINGS,
     .offset = AT(exclude_layers),
     .count_offset = AT(exclude_count),
     .value = "[]"},
    INT("calibration_tokens", AT(calibration_tokens), "16384", 1, TOKENS_MAX, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_lambda_warmup, field)
static const struct bt_key lambda_warmup_keys[] = {
    BOOL("enabled", AT(enabled), "true", 0),
    INT("warmup_steps", AT(warmup_steps), "500", 0, STEPS_MAX, 0),
    ENUM("schedule", AT(schedule), "linear", curve_names, 0),
    REAL("min", AT(min), "0.0", 0.0, 1.0, 0),
    REAL("max", AT(max), "1.0", 0.0, 1.0, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_zclip, field)
static const struct bt_key zclip_keys[] = {
    BOOL("enabled", AT(enabled), "false", 0),
    REAL("z_threshold", AT(z_threshold), "3.0", 0.0, REAL_MAX, ABOVE_LOW),
    REAL("ema_decay", AT(ema_decay), "0.99", 0.0, 1.0, BELOW_HIGH),
    INT("warmup_steps", AT(warmup_steps), "25", 0, STEPS_MAX, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_early_stopping, field)
static const struct bt_key early_stopping_keys[] = {
    BOOL("enabled", AT(enabled), "false", 0),
    INT("patience", AT(patience), "5", 1, STEPS_MAX, 0),
    REAL("min_delta", AT(min_delta), "0.0", 0.0, REAL_MAX, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_muon, field)
static const struct bt_key muon_keys[] = {
    REAL("lr", AT(lr), "0.02", 0.0, REAL_MAX, ABOVE_LOW),
    REAL("momentum", AT(momentum), "0.95", 0.0, 1.0, BELOW_HIGH),
    BOOL("nesterov", AT(nesterov), "true", 0),
    INT("steps", AT(steps), "5", 1, 100, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_optimizer, field)
static_assert(AT(beta2) == AT(beta1) + sizeof(double), "betas is read as a pair");
static const struct bt_key optimizer_keys[] = {
    ENUM("type", AT(type), "adamw", optimizer_names, 0),
    REAL("lr", AT(lr), "1.0e-4", 0.0, REAL_MAX, ABOVE_LOW),
    REAL_PAIR("betas", AT(beta1), "[0.9, 0.95]", 0.0, 1.0, BELOW_HIGH),
    REAL("eps", AT(eps), "1.0e-8", 1e-30, 1.0, 0),
    REAL("weight_decay", AT(weight_decay), "0.1", 0.0, REAL_MAX, 0),
    SECTION("muon", AT(muon), muon_keys, FLOW),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_scheduler_keys, field)
static const struct bt_key scheduler_keys[] = {
    ENUM("type", AT(type), "wsd", schedule_names, 0),
    INT("warmup_steps", AT(warmup_steps), "50", 0, STEPS_MAX, 0),
    REAL("decay_ratio", AT(decay_ratio), "0.2", 0.0, 1.0, 0),
    ENUM("decay_type", AT(decay_type), "linear", curve_names, 0),
    REAL("min_lr_ratio", AT(min_lr_ratio), "0.0", 0.0, 1.0, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_term_weight, field)
const struct bt_key bt_weight_schedule_keys[] = {
    REAL("initial", AT(initial), NULL, 0.0, REAL_MAX, BT_KEY_REQUIRED),
    REAL("final", AT(final), NULL, 0.0, REAL_MAX, BT_KEY_REQUIRED),
    ENUM("type", AT(type), "linear", curve_names, 0),
    INT("warmup_steps", AT(warmup_steps), "0", 0, STEPS_MAX, 0),
    END,
};
const struct bt_key bt_weight_balance_keys[] = {
    REAL("balance", AT(balance), NULL, 0.0, REAL_MAX, ABOVE_LOW | BT_KEY_REQUIRED),
    INT("at", AT(at), "10", 1, STEPS_MAX, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_losses, field)
static const struct bt_key cross_entropy_keys[] = {
    WEIGHT("weight", AT(cross_entropy.weight), "1.0"),
    END,
};
static const struct bt_key logits_keys[] = {
    WEIGHT("weight", AT(logits.weight), "10.0"),
    REAL("temperature", AT(logits.temperature), "5.0", 0.01, 1e6, 0),
    BOOL("tau_squared", AT(logits.tau_squared), "false", 0),
    END,
};
static const struct bt_key hidden_keys[] = {
    WEIGHT("weight", AT(hidden.weight), "{initial: 0.5, final: 0.0, type: cosine}"),
    ENUM("type", AT(hidden.type), "mse_normalized", hidden_names, 0),
    NAME_OR_REALS("layer_weights", AT(hidden.layer_weights), "progressive", layer_weights_names),
    END,
};
static const struct bt_key relation_keys[] = {
    WEIGHT("weight", AT(relation.weight), "{balance: 0.5}"),
    ENUM("form", AT(relation.form), "equation", relation_names, 0),
    INT("layer", AT(relation.layer), "-1", -LENGTH_MAX, LENGTH_MAX, 0),
    INT("split_heads", AT(relation.split_heads), "8", 1, LENGTH_MAX, 0),
    REAL("temperature", AT(relation.temperature), "1.0", 0.01, 1e6, 0),
    END,
};
static const struct bt_key losses_keys[] = {
    SECTION_OR_NULL("cross_entropy", 0, AT(cross_entropy.present), cross_entropy_keys, FLOW),
    SECTION_OR_NULL("logits", 0, AT(logits.present), logits_keys, FLOW),
    SECTION_OR_NULL("hidden", 0, AT(hidden.present), hidden_keys, FLOW),
    SECTION_OR_NULL("attention_relation", 0, AT(relation.present), relation_keys, FLOW),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_teacher, field)
static const struct bt_key teacher_keys[] = {
    STRING("path", AT(path), NULL, NULLABLE),
    STRING("cache", AT(cache), NULL, NULLABLE),
    INT("cache_top_k", AT(cache_top_k), "64", 1, BT_CACHE_TOP_MAX, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_cfg_train_stage, field)
enum { QUANTISATION_KEYS = 3 }; /* the first keys of stage 2, which stage 0 does not have */
/* clang-format off */
#define TRAIN_STAGE_KEYS \
    ENUM("weights", AT(weights), "ternary", weights_names, 0), \
    ENUM("activations", AT(activations), "int8", activations_names, 0), \
    SECTION("lambda_warmup", AT(lambda_warmup), lambda_warmup_keys, FLOW), \
    INT_OR_NULL("max_steps", AT(max_steps), 0, 1, STEPS_MAX), \
    INT_OR_NULL("total_tokens", AT(total_tokens), 0, 1, TOKENS_MAX), \
    INT("batch_size", AT(batch_size), "8", 1, LENGTH_MAX, 0), \
    INT("gradient_accumulation_steps", AT(gradient_accumulation_steps), "1", 1, LENGTH_MAX, 0), \
    REAL("gradient_clipping", AT(gradient_clipping), "1.0", 0.0, REAL_MAX, 0), \
    SECTION("zclip", AT(zclip), zclip_keys, FLOW), \
    INT("max_skipped_updates", AT(max_skipped_updates), "20", 1, STEPS_MAX, 0), \
    SECTION("early_stopping", AT(early_stopping), early_stopping_keys, FLOW), \
    SECTION("optimizer", AT(optimizer), optimizer_keys, FLOW), \
    SECTION("scheduler", AT(scheduler), scheduler_keys, FLOW), \
    BOOL("activation_checkpointing", AT(activation_checkpointing), "false", 0), \
    SECTION_OR_NULL("data", AT(data), AT(has_data), data_keys, BT_KEY_OVERLAY),
/* clang-format on */
static const struct bt_key train_stage_keys[] = {TRAIN_STAGE_KEYS END};
static const struct bt_key distil_stage_keys[] = {
    TRAIN_STAGE_KEYS SECTION("teacher", AT(teacher), teacher_keys, FLOW),
    SECTION("losses", AT(losses), losses_keys, 0),
    END,
};
#undef AT

#define AT(field) offsetof(struct bt_train_config, field)
static const struct bt_key model_keys[] = {
    STRING("path", AT(model_path), NULL, NULLABLE),
    STRING("config", AT(model_config), NULL, NULLABLE),
    END,
};
static const struct bt_key checkpoint_keys[] = {
    INT("save_interval", AT(checkpoint.save_interval), "200", 0, STEPS_MAX, 0),
    INT("keep_last_n", AT(checkpoint.keep_last_n), "3", 1, STEPS_MAX, 0),
    BOOL("keep_best", AT(checkpoint.keep_best), "false", 0),
    END,
};
static const struct bt_key logging_keys[] = {
    INT("log_interval", AT(logging.log_interval), "10", 1, STEPS_MAX, 0),
    INT("eval_interval", AT(logging.eval_interval), "100", 0, STEPS_MAX, 0),
    INT("eval_tokens", AT(logging.eval_tokens), "65536", 0, TOKENS_MAX, 0),
    INT("telemetry_interval", AT(logging.telemetry_interval), "100", 0, STEPS_MAX, 0),
    INT("sample_interval", AT(logging.sample_interval), "0", 0, STEPS_MAX, 0),
    END,
};
static const struct bt_key compute_keys[] = {
    INT("threads", AT(compute.threads), "0", 0, BT_THREADS_MAX, MAY_CHANGE),
    ENUM("matmul", AT(compute.matmul), "auto", matmul_names, 0),
    ENUM("gradient", AT(compute.gradient), "auto", gradient_names, 0),
    ENUM("kernels", AT(compute.kernels), "auto", kernels_names, 0),
    END,
};
const struct bt_key bt_config_keys[] = {
    STRING("name", AT(name), NULL, BT_KEY_REQUIRED),
    STRING("output_dir", AT(output_dir), "runs", 0),
    {.name = "seed", .type = BT_KEY_SEED, .offset = AT(seed), .value = "42"},
    {.name = "stages",
     .type = BT_KEY_STAGES,
     .offset = AT(stages),
     .count_offset = AT(stage_count),
     .value = "[stage1, stage2]",
     .names = stage_names},
    SECTION("model", 0, model_keys, 0),
    SECTION_OR_NULL("data", AT(data), AT(has_data), data_keys, 0),
    SECTION_OR_NULL("stage0", AT(stage0), AT(stage0.present), train_stage_keys + QUANTISATION_KEYS, 0),
    SECTION("stage1", AT(stage1), stage1_keys, 0),
    SECTION_OR_NULL("stage1_9", AT(stage1_9), AT(stage1_9.present), distil_stage_keys, 0),
    SECTION_OR_NULL("stage2", AT(stage2), AT(stage2.present), train_stage_keys, 0),
    SECTION_OR_NULL("stage3", AT(stage3), AT(stage3.present), distil_stage_keys, 0),
    SECTION("checkpoint", 0, checkpoint_keys, MAY_CHANGE),
    SECTION("logging", 0, logging_keys, MAY_CHANGE),
    SECTION("compute", 0, compute_keys, 0),
    END,
};
#undef AT

static size_t write_path(const struct bt_key_path *path, char *out, size_t size)
{
    size_t used = path->up ? write_path(path->up, out, size) : 0;
    if (used >= size)
        return size;
    if (path->name)
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "." : "", path->name);
    else
        used += (size_t)snprintf(out + used, size - used, "[%zu]", path->index);
    return used;
}

struct bt_key_name bt_key_path_name(const struct bt_key_path *path)
{
    struct bt_key_name name = {""};
    if (path)
        write_path(path, name.text, sizeof name.text);
    return name;
}

bool bt_key_is_present(const struct bt_key *section, const void *base)
{
    if (!(section->flags & BT_KEY_NULLABLE))
        return true;
    return *(const bool *)((const char *)base + section->present_offset);
}
