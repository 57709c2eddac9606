/* tests/config/train_config_texts.h - configs that the tests of train_config begin from. Include support.h first. */
#ifndef BT_TESTS_CONFIG_TRAIN_CONFIG_TEXTS_H
#define BT_TESTS_CONFIG_TRAIN_CONFIG_TEXTS_H

#include <string.h>

#include "config/train_config.h"

/* As short as a config gets; the cases below append lines or assignments to it. */
static const char minimal[] = "name: run\n"
                              "model: {path: models/tiny}\n"
                              "data:\n"
                              "  train:\n"
                              "    - {path: data/train.bin}\n"
                              "stage2:\n"
                              "  max_steps: 1000\n";

/* Every key, none of them at its default. */
static const char full[] =
    "name: full-1\n"
    "output_dir: ${TEST_RUNS}/there\n"
    "seed: 18446744073709551615\n"
    "stages: [stage0, stage1, stage2]\n"
    "model: {path: null, config: 'models/a b/config.json'}\n"
    "data:\n"
    "  train:\n"
    "    - {path: \"data/train-*.bin\", weight: 3, format: nanogpt}\n"
    "    - path: ${TEST_DATA}/more.bin\n"
    "      weight: .25\n"
    "    - {path: data/more.jsonl.zst, format: jsonl, key: story}\n"
    "  validation: [{path: data/validation.txt, format: text, separator: <|endoftext|>}]\n"
    "  max_seq_length: 256\n"
    "  packing: false\n"
    "  separators: {before: 0, after: ~}\n"
    "  shuffle: false\n"
    "stage0: &training\n"
    "  max_steps: 400\n"
    "  optimizer: {lr: 1e-3, betas: [0, 0.999], eps: 1.0e-6, weight_decay: 0}\n"
    "  scheduler: {type: constant, warmup_steps: 0}\n"
    "stage1: {insert_subln: false, subln_init: ones, exclude_layers: ['model.layers.0.*', '*.o_proj'],\n"
    "         calibration_tokens: 1}\n"
    "stage2:\n"
    "  <<: *training\n"
    "  weights: none\n"
    "  activations: int8\n"
    "  lambda_warmup: {enabled: false, warmup_steps: 3, schedule: cosine, min: 0.25, max: 0.75}\n"
    "  max_steps: null\n"
    "  total_tokens: 1000000000\n"
    "  batch_size: 3\n"
    "  gradient_accumulation_steps: 7\n"
    "  gradient_clipping: 0\n"
    "  zclip: {z_threshold: 2.5, ema_decay: 0.9, warmup_steps: 1}\n"
    "  max_skipped_updates: 1\n"
    "  early_stopping: {patience: 2, min_delta: 0.001}\n"
    "  data: {max_seq_length: 128, separators: {after: 7}, train: [{path: other.bin}]}\n"
    "stage1_9:\n"
    "  <<: *training\n"
    "  lambda_warmup: {enabled: false}\n"
    "  optimizer: {type: muon, muon: {lr: 0.5, momentum: 0.25, nesterov: false, steps: 7}}\n"
    "  teacher: {path: models/teacher, cache_top_k: 16}\n"
    "  losses:\n"
    "    hidden: {weight: {initial: 1, final: 0.25, warmup_steps: 3}, type: inner_product, layer_weights: [1, 0, "
    "2.5]}\n"
    "    attention_relation: {weight: {balance: 0.75, at: 3}, form: algorithm, layer: 2, split_heads: 4, "
    "temperature: 0.5}\n"
    "stage3:\n"
    "  <<: *training\n"
    "  lambda_warmup: {enabled: false}\n"
    "  teacher: {path: models/teacher, cache: '${TEST_RUNS}/cache'}\n"
    "  losses: {cross_entropy: {weight: 0.5}, logits: {weight: {initial: 0, final: 2, type: cosine}, temperature: 2, "
    "tau_squared: true}}\n"
    "checkpoint: {save_interval: 0, keep_last_n: 1, keep_best: true}\n"
    "logging: {log_interval: 1, eval_interval: 0, eval_tokens: 0}\n"
    "compute: {threads: 2, matmul: float32, gradient: float32, kernels: avx2}\n";

static inline struct bt_train_config *parse(const char *text, const char *const *sets, size_t set_count)
{
    struct bt_train_config *config = NULL;
    struct bt_diag diag = {""};
    TEST_OK(bt_train_config_parse(text, strlen(text), "run.yaml", sets, set_count, &config, &diag), diag);
    return config;
}

#endif
