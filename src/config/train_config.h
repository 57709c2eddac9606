/* config/train_config.h - the resolved YAML config of bitnet-train as plain structs (docs/config.md).
 *
 * One table of keys (key_table.c) drives parsing, checking, defaults, --set, --print-config and the comparison on
 * resume. Strings are owned by the config. */
#ifndef BT_CONFIG_TRAIN_CONFIG_H
#define BT_CONFIG_TRAIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum bt_stage_id { BT_STAGE0, BT_STAGE1, BT_STAGE1_9, BT_STAGE2, BT_STAGE3, BT_STAGE_COUNT };
const char *bt_stage_name(enum bt_stage_id stage);   /* "stage0" ... "stage1_9" */
enum bt_stage_id bt_stage_by_name(const char *name); /* BT_STAGE_COUNT: NULL, or no stage has it */

enum bt_cfg_data_format { BT_CFG_LLMC, BT_CFG_NANOGPT, BT_CFG_TEXT, BT_CFG_JSONL };
enum bt_cfg_weights { BT_WEIGHTS_TERNARY, BT_WEIGHTS_NONE };
enum bt_cfg_activations { BT_ACTIVATIONS_INT8, BT_ACTIVATIONS_NONE };
enum bt_cfg_curve { BT_CURVE_LINEAR, BT_CURVE_COSINE };
enum bt_cfg_scheduler { BT_SCHEDULE_CONSTANT, BT_SCHEDULE_LINEAR, BT_SCHEDULE_COSINE, BT_SCHEDULE_WSD };
enum bt_cfg_subln { BT_SUBLN_ONES, BT_SUBLN_CALIBRATED };
enum bt_cfg_matmul { BT_MATMUL_AUTO, BT_MATMUL_FLOAT32, BT_MATMUL_INT8 };
enum bt_cfg_gradient { BT_GRADIENT_AUTO, BT_GRADIENT_FLOAT32, BT_GRADIENT_INT16 };
enum bt_cfg_optimizer_type { BT_OPTIMIZER_ADAMW, BT_OPTIMIZER_MUON };
enum bt_cfg_kernels { BT_KERNELS_AUTO, BT_KERNELS_PORTABLE, BT_KERNELS_AVX2, BT_KERNELS_AVX512, BT_KERNELS_ONEDNN };
enum bt_cfg_kernels bt_kernels_by_name(const char *name); /* BT_KERNELS_AUTO: NULL, or no such word */

#define BT_THREADS_MAX   4096 /* of compute.threads */
#define BT_CACHE_TOP_MAX 1024 /* of teacher.cache_top_k */

struct bt_cfg_source {
    char *path;    /* file or glob */
    double weight; /* share of the tokens, > 0 */
    enum bt_cfg_data_format format;
    char *key;         /* of a text in a line of jsonl; NULL: "text", and examples are told by their keys */
    char *separator;   /* the line of a text that ends a document; NULL: a file is one document */
    char *chat_format; /* of examples in jsonl; NULL: that of the model's chat template */
};

struct bt_cfg_data {
    struct bt_cfg_source *train;
    size_t train_count;
    struct bt_cfg_source *validation;
    size_t validation_count;
    int64_t max_seq_length;
    bool packing;
    int64_t separator_before, separator_after; /* token id, or -1: the model's own default */
    bool shuffle;
};

struct bt_cfg_lambda_warmup {
    bool enabled;
    int64_t warmup_steps;
    enum bt_cfg_curve schedule;
    double min, max;
};

struct bt_cfg_muon {
    double lr, momentum;
    bool nesterov;
    int64_t steps; /* of the Newton-Schulz iteration */
};

struct bt_cfg_optimizer {
    enum bt_cfg_optimizer_type type;
    double lr, beta1, beta2, eps, weight_decay; /* AdamW's, of every tensor that Muon does not take */
    struct bt_cfg_muon muon;
};

struct bt_cfg_zclip {
    bool enabled;
    double z_threshold, ema_decay;
    int64_t warmup_steps;
};

struct bt_cfg_early_stopping {
    bool enabled;
    int64_t patience;
    double min_delta;
};

struct bt_cfg_scheduler_keys {
    enum bt_cfg_scheduler type;
    int64_t warmup_steps;
    double decay_ratio;
    enum bt_cfg_curve decay_type;
    double min_lr_ratio;
};

enum bt_cfg_weight_kind { BT_WEIGHT_CONSTANT, BT_WEIGHT_SCHEDULE, BT_WEIGHT_BALANCE };

struct bt_cfg_term_weight { /* of one term of the loss (docs/numerics.md section 8) */
    enum bt_cfg_weight_kind kind;
    double constant;
    double initial, final;  /* schedule */
    enum bt_cfg_curve type; /* schedule */
    int64_t warmup_steps;   /* schedule */
    double balance;         /* balance */
    int64_t at;             /* balance */
};

enum bt_cfg_layer_weights { BT_LAYERS_UNIFORM, BT_LAYERS_PROGRESSIVE, BT_LAYERS_EXPONENTIAL, BT_LAYERS_LIST };
enum bt_cfg_hidden { BT_CFG_HIDDEN_MSE, BT_CFG_HIDDEN_MSE_NORMALIZED, BT_CFG_HIDDEN_INNER_PRODUCT };
enum bt_cfg_relation { BT_RELATION_EQUATION, BT_RELATION_ALGORITHM };

struct bt_cfg_name_or_list { /* one of several names, or numbers */
    unsigned name;           /* the number of names: the list is meant */
    double *list;
    size_t count;
};

struct bt_cfg_losses { /* a term that is not present takes no part */
    struct {
        bool present;
        struct bt_cfg_term_weight weight;
    } cross_entropy;
    struct {
        bool present;
        struct bt_cfg_term_weight weight;
        double temperature;
        bool tau_squared;
    } logits;
    struct {
        bool present;
        struct bt_cfg_term_weight weight;
        enum bt_cfg_hidden type;
        struct bt_cfg_name_or_list layer_weights; /* enum bt_cfg_layer_weights */
    } hidden;
    struct {
        bool present;
        struct bt_cfg_term_weight weight;
        enum bt_cfg_relation form;
        int64_t layer, split_heads;
        double temperature;
    } relation;
};

struct bt_cfg_teacher {
    char *path;  /* NULL: the model that stage 1 started from */
    char *cache; /* folder, or NULL: no cache */
    int64_t cache_top_k;
};

struct bt_cfg_train_stage {              /* all but stage1 */
    bool present;                        /* the config has this section */
    enum bt_cfg_weights weights;         /* stage0: always none */
    enum bt_cfg_activations activations; /* stage0: always none */
    struct bt_cfg_lambda_warmup lambda_warmup;
    int64_t max_steps, total_tokens; /* exactly one is > 0 in a checked config; 0: null */
    int64_t batch_size, gradient_accumulation_steps;
    double gradient_clipping; /* 0: off */
    struct bt_cfg_zclip zclip;
    int64_t max_skipped_updates;
    struct bt_cfg_early_stopping early_stopping;
    struct bt_cfg_optimizer optimizer;
    struct bt_cfg_scheduler_keys scheduler;
    bool activation_checkpointing;
    struct bt_cfg_teacher teacher; /* stage1_9 and stage3 */
    struct bt_cfg_losses losses;   /* the same */
    bool has_data;                 /* the stage has a `data` of its own; then: */
    struct bt_cfg_data data;       /* keys of `data` merged with those the stage replaces */
};

struct bt_cfg_stage1 {
    bool insert_subln;
    enum bt_cfg_subln subln_init;
    char **exclude_layers;
    size_t exclude_count;
    int64_t calibration_tokens;
};

struct bt_train_config {
    char *name, *output_dir;
    uint64_t seed;
    enum bt_stage_id stages[BT_STAGE_COUNT];
    size_t stage_count;
    char *model_path, *model_config; /* exactly one is not NULL */
    struct bt_cfg_data data;
    bool has_data;
    struct bt_cfg_train_stage stage0, stage1_9, stage2, stage3;
    struct bt_cfg_stage1 stage1;
    struct {
        int64_t save_interval, keep_last_n;
        bool keep_best;
    } checkpoint;
    struct {
        int64_t log_interval, eval_interval, eval_tokens, telemetry_interval, sample_interval;
    } logging;
    struct {
        int64_t threads; /* 0: all */
        enum bt_cfg_matmul matmul;
        enum bt_cfg_gradient gradient;
        enum bt_cfg_kernels kernels;
    } compute;
    struct bt_train_config *written; /* the same with every ${NAME} as it was typed: what is printed and compared */
};

/* Parses text (named `what` in errors), applies the `--set` assignments ("key.path=value", value parsed as YAML),
 * checks every key and every bound. BT_EUSAGE with line, column and the nearest valid name; for a --set the argument is
 * named instead of the place. ${NAME} is expanded in the config but not in what is printed. */
enum bt_err bt_train_config_parse(const char *text, size_t size, const char *what, const char *const *sets,
                                  size_t set_count, struct bt_train_config **ret_config, struct bt_diag *diag);
enum bt_err bt_train_config_read(const char *path, const char *const *sets, size_t set_count,
                                 struct bt_train_config **ret_config, struct bt_diag *diag);
void bt_train_config_destroy(struct bt_train_config *config); /* takes NULL */

/* The section of a stage that trains; NULL for stage 1. Borrowed. */
const struct bt_cfg_train_stage *bt_train_config_stage(const struct bt_train_config *config, enum bt_stage_id stage);
/* Does the stage learn from a teacher (stages 1.9 and 3)? */
bool bt_stage_distils(enum bt_stage_id stage);
/* The data that a stage runs on: its own, or that of the config. Borrowed. */
const struct bt_cfg_data *bt_train_config_data(const struct bt_train_config *config, enum bt_stage_id stage);

/* Every key with its value, as YAML that runs the same. Free with bt_free; NULL when memory is out. */
char *bt_train_config_print(const struct bt_train_config *config);

/* Resume: the first key that differs between two configs and may not (all but compute.threads, logging, checkpoint).
 * Writes its path and both values as text (each for bt_free), or three times NULL when there is none. `old_text` is a
 * printed config, as found in a run folder; ${NAME} is compared as typed, so the variable need not be set. */
enum bt_err bt_train_config_difference(const struct bt_train_config *config, const char *old_text, const char *what,
                                       char **ret_key, char **ret_old, char **ret_new, struct bt_diag *diag);

#endif
