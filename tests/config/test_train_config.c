/* The YAML config: defaults, every kind of refusal with its sentence, --set. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/key_table.h"
#include "train_config_texts.h"

/* The sentence with which `text` is refused. */
static const char *refusal(const char *text, const char *const *sets, size_t set_count)
{
    static struct bt_diag diag;
    struct bt_train_config *config = NULL;
    diag.text[0] = 0;
    const enum bt_err err = bt_train_config_parse(text, strlen(text), "run.yaml", sets, set_count, &config, &diag);
    if (err != BT_EUSAGE)
        fail_msg("error %d in place of a refusal of:\n%s", (int)err, text);
    assert_null(config);
    return diag.text;
}

static void defaults_are_those_of_the_interface(void **state)
{
    (void)state;
    struct bt_train_config *c = parse(minimal, NULL, 0);
    char *text = bt_train_config_print(c);
    assert_string_equal(
        text, "name: run\n"
              "output_dir: runs\n"
              "seed: 42\n"
              "stages: [stage1, stage2]\n"
              "\n"
              "model:\n"
              "  path: models/tiny\n"
              "  config: null\n"
              "\n"
              "data:\n"
              "  train:\n"
              "    - {path: data/train.bin, weight: 1.0, format: llmc, key: null, separator: null, chat_format: null}\n"
              "  validation: []\n"
              "  max_seq_length: 512\n"
              "  packing: true\n"
              "  separators: {before: null, after: null}\n"
              "  shuffle: true\n"
              "stage0: null\n"
              "\n"
              "stage1:\n"
              "  insert_subln: true\n"
              "  subln_init: calibrated\n"
              "  exclude_layers: []\n"
              "  calibration_tokens: 16384\n"
              "stage1_9: null\n"
              "\n"
              "stage2:\n"
              "  weights: ternary\n"
              "  activations: int8\n"
              "  lambda_warmup: {enabled: true, warmup_steps: 500, schedule: linear, min: 0.0, max: 1.0}\n"
              "  max_steps: 1000\n"
              "  total_tokens: null\n"
              "  batch_size: 8\n"
              "  gradient_accumulation_steps: 1\n"
              "  gradient_clipping: 1.0\n"
              "  zclip: {enabled: false, z_threshold: 3.0, ema_decay: 0.99, warmup_steps: 25}\n"
              "  max_skipped_updates: 20\n"
              "  early_stopping: {enabled: false, patience: 5, min_delta: 0.0}\n"
              "  optimizer: {type: adamw, lr: 0.0001, betas: [0.9, 0.95], eps: 1.0e-08, weight_decay: 0.1, "
              "muon: {lr: 0.02, momentum: 0.95, nesterov: true, steps: 5}}\n"
              "  scheduler: {type: wsd, warmup_steps: 50, decay_ratio: 0.2, decay_type: linear, "
              "min_lr_ratio: 0.0}\n"
              "  activation_checkpointing: false\n"
              "  data: null\n"
              "stage3: null\n"
              "\n"
              "checkpoint:\n"
              "  save_interval: 200\n"
              "  keep_last_n: 3\n"
              "  keep_best: false\n"
              "\n"
              "logging:\n"
              "  log_interval: 10\n"
              "  eval_interval: 100\n"
              "  eval_tokens: 65536\n"
              "  telemetry_interval: 100\n"
              "  sample_interval: 0\n"
              "\n"
              "compute:\n"
              "  threads: 0\n"
              "  matmul: auto\n"
              "  gradient: auto\n"
              "  kernels: auto\n");
    bt_free(text);
    bt_train_config_destroy(c);
}

static void every_key_arrives(void **state)
{
    (void)state;
    setenv("TEST_RUNS", "/tmp/runs", 1);
    setenv("TEST_DATA", "/tmp/data", 1);
    struct bt_train_config *c = parse(full, NULL, 0);
    assert_string_equal(c->name, "full-1");
    assert_string_equal(c->output_dir, "/tmp/runs/there");
    assert_true(c->seed == UINT64_MAX);
    assert_int_equal(c->stage_count, 3);
    assert_int_equal(c->stages[0], BT_STAGE0);
    assert_int_equal(c->stages[2], BT_STAGE2);
    assert_null(c->model_path);
    assert_string_equal(c->model_config, "models/a b/config.json");
    assert_true(c->has_data);
    assert_int_equal(c->data.train_count, 3);
    assert_string_equal(c->data.train[0].path, "data/train-*.bin");
    assert_true(c->data.train[0].weight == 3.0);
    assert_int_equal(c->data.train[0].format, BT_CFG_NANOGPT);
    assert_string_equal(c->data.train[1].path, "/tmp/data/more.bin");
    assert_true(c->data.train[1].weight == 0.25);
    assert_int_equal(c->data.train[1].format, BT_CFG_LLMC);
    assert_null(c->data.train[1].key);
    assert_int_equal(c->data.train[2].format, BT_CFG_JSONL);
    assert_string_equal(c->data.train[2].key, "story");
    assert_int_equal(c->data.validation[0].format, BT_CFG_TEXT);
    assert_string_equal(c->data.validation[0].separator, "<|endoftext|>");
    assert_int_equal(c->data.validation_count, 1);
    assert_int_equal(c->data.max_seq_length, 256);
    assert_false(c->data.packing);
    assert_false(c->data.shuffle);
    assert_int_equal(c->data.separator_before, 0);
    assert_int_equal(c->data.separator_after, -1);
    assert_false(c->stage1.insert_subln);
    assert_int_equal(c->stage1.subln_init, BT_SUBLN_ONES);
    assert_int_equal(c->stage1.exclude_count, 2);
    assert_string_equal(c->stage1.exclude_layers[1], "*.o_proj");
    assert_int_equal(c->stage1.calibration_tokens, 1);
    assert_true(c->checkpoint.keep_best);
    assert_int_equal(c->logging.log_interval, 1);
    assert_int_equal(c->compute.kernels, BT_KERNELS_AVX2);
    bt_train_config_destroy(c);
}

static void values_are_found_by_their_path(void **state)
{
    static const struct {
        const char *path, *value; /* NULL: there is no such key */
    } cases[] = {
        {"seed", "42"},
        {"stage2.optimizer.lr", "0.0001"},
        {"stage2.lambda_warmup", "{enabled: true, warmup_steps: 500, schedule: linear, min: 0.0, max: 1.0}"},
        {"data.train.0.path", "data/train.bin"},
        {"data.train.1.path", NULL},
        {"data.train.x.path", NULL},
        {"data.train.0", NULL},
        {"stage3.losses.logits.weight", "null"},
        {"stage2.optimizer.lr.x", NULL},
        {"stage2.optimizers", NULL},
        {"stage2.optim", NULL},
        {"", NULL},
    };
    (void)state;
    struct bt_train_config *c = parse(minimal, NULL, 0);
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_text_buf out = {0};
        assert_int_equal(bt_key_print_at(&out, bt_config_keys, c, cases[i].path), cases[i].value != NULL);
        char *text = bt_text_take(&out);
        if (cases[i].value)
            assert_string_equal(text, cases[i].value);
        bt_free(text);
    }
    bt_train_config_destroy(c);
}

static void stages_take_their_own_keys(void **state)
{
    (void)state;
    setenv("TEST_RUNS", "/tmp/runs", 1);
    setenv("TEST_DATA", "/tmp/data", 1);
    struct bt_train_config *c = parse(full, NULL, 0);
    assert_int_equal(c->stage0.weights, BT_WEIGHTS_NONE);
    assert_int_equal(c->stage0.activations, BT_ACTIVATIONS_NONE);
    assert_false(c->stage0.lambda_warmup.enabled);
    assert_int_equal(c->stage0.max_steps, 400);
    assert_int_equal(c->stage0.batch_size, 8);
    const struct bt_cfg_train_stage *s = &c->stage2;
    assert_int_equal(s->weights, BT_WEIGHTS_NONE);
    assert_int_equal(s->lambda_warmup.schedule, BT_CURVE_COSINE);
    assert_int_equal(s->max_steps, 0);
    assert_int_equal(s->total_tokens, 1000000000);
    assert_int_equal(s->batch_size, 3);
    assert_int_equal(s->gradient_accumulation_steps, 7);
    assert_true(s->gradient_clipping == 0.0);
    assert_true(s->optimizer.lr == 1e-3); /* by way of the anchor */
    assert_true(s->optimizer.beta1 == 0.0 && s->optimizer.beta2 == 0.999);
    assert_true(s->zclip.z_threshold == 2.5);
    assert_int_equal(s->early_stopping.patience, 2);
    assert_true(s->has_data);
    assert_int_equal(s->data.max_seq_length, 128);
    assert_int_equal(s->data.separator_before, 0); /* from `data` */
    assert_int_equal(s->data.separator_after, 7);
    assert_int_equal(s->data.train_count, 1);
    assert_string_equal(s->data.train[0].path, "other.bin");
    assert_int_equal(s->data.validation_count, 1); /* from `data` */
    assert_string_equal(s->data.validation[0].path, "data/validation.txt");
    const struct bt_cfg_losses *l = &c->stage1_9.losses;
    assert_int_equal(c->stage1_9.optimizer.type, BT_OPTIMIZER_MUON);
    assert_true(c->stage1_9.optimizer.muon.lr == 0.5 && !c->stage1_9.optimizer.muon.nesterov);
    assert_string_equal(c->stage1_9.teacher.path, "models/teacher");
    assert_false(l->cross_entropy.present || l->logits.present);
    assert_true(l->hidden.weight.kind == BT_WEIGHT_SCHEDULE && l->hidden.weight.final == 0.25);
    assert_int_equal(l->hidden.type, BT_CFG_HIDDEN_INNER_PRODUCT);
    assert_true(l->hidden.layer_weights.name == BT_LAYERS_LIST && l->hidden.layer_weights.count == 3);
    assert_true(l->hidden.layer_weights.list[2] == 2.5);
    assert_true(l->relation.weight.kind == BT_WEIGHT_BALANCE && l->relation.weight.at == 3);
    assert_true(l->relation.form == BT_RELATION_ALGORITHM && l->relation.layer == 2 && l->relation.split_heads == 4);
    assert_string_equal(c->stage3.teacher.cache, "/tmp/runs/cache");
    assert_true(c->stage3.losses.logits.tau_squared && c->stage3.losses.logits.temperature == 2.0);
    assert_true(c->stage3.losses.cross_entropy.weight.constant == 0.5);
    assert_ptr_equal(bt_train_config_data(c, BT_STAGE2), &s->data);
    assert_ptr_equal(bt_train_config_data(c, BT_STAGE3), &c->data);
    assert_ptr_equal(bt_train_config_data(c, BT_STAGE0), &c->data);
    assert_ptr_equal(bt_train_config_data(c, BT_STAGE1), &c->data);
    bt_train_config_destroy(c);
}

/* Lines after `minimal`, and the sentence that they deserve. */
static void bad_lines_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *lines, *sentence;
    } cases[] = {
        {"sed: 1\n", "run.yaml:8:1: unknown key \"sed\"; did you mean \"seed\"?"},
        {"  optimzer: {lr: 1}\n", "run.yaml:8:3: unknown key \"stage2.optimzer\"; did you mean \"optimizer\"?"},
        {"  optimizer: {rl: 1}\n", "run.yaml:8:15: unknown key \"stage2.optimizer.rl\"; did you mean \"lr\"?"},
        {"compute: {zebra: 1}\n", "run.yaml:8:11: unknown key \"compute.zebra\"; the keys here are: threads, matmul, "
                                  "gradient, kernels"},
        {"stage0: {max_steps: 100, weights: ternary}\n",
         "run.yaml:8:26: unknown key \"stage0.weights\"; the keys here are: max_steps, total_tokens, batch_size, "
         "gradient_accumulation_steps, gradient_clipping, zclip, max_skipped_updates, early_stopping, optimizer, "
         "scheduler, activation_checkpointing, data"},
        {"name: twice\n", "run.yaml:8:1: duplicate key \"name\", first given at line 1, column 1"},
        {"  optimizer: {lr: abc}\n",
         "run.yaml:8:19: stage2.optimizer.lr: found the string \"abc\", expected a number above 0"},
        {"  optimizer: {lr: \"1e-4\"}\n",
         "run.yaml:8:19: stage2.optimizer.lr: found the string \"1e-4\", expected a number above 0"},
        {"  optimizer: {lr: 0}\n", "run.yaml:8:19: stage2.optimizer.lr: found the number 0, expected a number above 0"},
        {"  optimizer: {lr: .inf}\n",
         "run.yaml:8:19: stage2.optimizer.lr: found the string \".inf\", expected a number above 0"},
        {"  optimizer: {lr: 1e999}\n",
         "run.yaml:8:19: stage2.optimizer.lr: found the number 1e999, expected a number above 0"},
        {"  optimizer: {betas: [0.9, 1.0]}\n",
         "run.yaml:8:28: stage2.optimizer.betas[1]: found the number 1.0, expected a "
         "number of at least 0 and below 1"},
        {"  optimizer: {betas: [0.9]}\n",
         "run.yaml:8:22: stage2.optimizer.betas: found a list of 1, expected a list of two numbers"},
        {"  optimizer: {eps: 0}\n",
         "run.yaml:8:20: stage2.optimizer.eps: found the number 0, expected a number of at least "
         "1e-30 and at most 1"},
        {"  optimizer: [lr]\n", "run.yaml:8:14: stage2.optimizer: found a list of 1, expected a mapping"},
        {"  optimizer: {muon: {steps: 0}}\n",
         "run.yaml:8:29: stage2.optimizer.muon.steps: found the number 0, expected an integer from 1 to 100"},
        {"  optimizer: {type: sgd}\n",
         "run.yaml:8:21: stage2.optimizer.type: found the string \"sgd\", expected one of adamw, muon"},
        {"  batch_size: 1e3\n",
         "run.yaml:8:15: stage2.batch_size: found the number 1e3, expected an integer from 1 to 1048576"},
        {"  batch_size: 0\n",
         "run.yaml:8:15: stage2.batch_size: found the number 0, expected an integer from 1 to 1048576"},
        {"  batch_size: 99999999999999999999\n",
         "run.yaml:8:15: stage2.batch_size: found the number 99999999999999999999, "
         "expected an integer from 1 to 1048576"},
        {"  batch_size: 1_000\n",
         "run.yaml:8:15: stage2.batch_size: found the string \"1_000\", expected an integer from 1 to 1048576"},
        {"  batch_size: 010\n",
         "run.yaml:8:15: stage2.batch_size: found the string \"010\", expected an integer from 1 to 1048576"},
        {"seed: -1\n", "run.yaml:8:7: seed: found the number -1, expected an integer from 0 to 18446744073709551615"},
        {"stage1: {insert_subln: yes}\n",
         "run.yaml:8:24: stage1.insert_subln: found the string \"yes\", expected true or false"},
        {"stage1: {subln_init: one}\n",
         "run.yaml:8:22: stage1.subln_init: found the string \"one\", expected one of ones, calibrated"},
        {"stage1: {exclude_layers: 'a'}\n",
         "run.yaml:8:26: stage1.exclude_layers: found the string \"a\", expected a list"},
        {"stage1: {exclude_layers: [1]}\n",
         "run.yaml:8:27: stage1.exclude_layers[0]: found the number 1, expected a string "
         "(put it in quotes if it is one)"},
        {"output_dir: 7\n",
         "run.yaml:8:13: output_dir: found the number 7, expected a string (put it in quotes if it is one)"},
        {"output_dir: ''\n", "run.yaml:8:13: output_dir: found an empty string"},
        {"output_dir: ${NOT_SET_ANYWHERE}/x\n",
         "run.yaml:8:13: output_dir: the environment variable \"NOT_SET_ANYWHERE\" is not set"},
        {"output_dir: ${1X}\n",
         "run.yaml:8:13: output_dir: found \"${\" that is not followed by a name and \"}\" (\"$${\" "
         "stands for \"${\" itself)"},
        {"stages: []\n", "run.yaml:8:9: stages: found an empty list, expected a list of at least one stage"},
        {"stages: [stage2, stage1]\n",
         "run.yaml:8:18: stages[1]: \"stage1\" cannot come after \"stage2\"; the order of "
         "stages is stage0, stage1, stage1_9, stage2, stage3, each at most once"},
        {"stages: [stage2, stage2]\n",
         "run.yaml:8:18: stages[1]: \"stage2\" cannot come after \"stage2\"; the order of "
         "stages is stage0, stage1, stage1_9, stage2, stage3, each at most once"},
        {"stages: [stage4]\n",
         "run.yaml:8:10: stages[0]: found the string \"stage4\", expected one of stage0, stage1, stage1_9, stage2, "
         "stage3"},
        {"stages: [stage1_9]\n", "run.yaml:8:1: missing section \"stage1_9\", which \"stages\" asks for"},
        {"stages: [stage0, stage1]\n", "run.yaml:8:1: missing section \"stage0\", which \"stages\" asks for"},
        {"stage3: {}\n", "run.yaml:8:1: stage3: missing \"max_steps\" or \"total_tokens\""},
        {"  losses: {}\n", "run.yaml:8:3: unknown key \"stage2.losses\"; the keys here are: weights, activations, "
                           "lambda_warmup, max_steps, total_tokens, batch_size, gradient_accumulation_steps, "
                           "gradient_clipping, zclip, max_skipped_updates, early_stopping, optimizer, scheduler, "
                           "activation_checkpointing, data"},
        {"  zclip: {z_threshold: 0}\n",
         "run.yaml:8:24: stage2.zclip.z_threshold: found the number 0, expected a number above 0"},
        {"  early_stopping: {enabled: true}\n",
         "run.yaml:8:3: stage2.early_stopping: missing \"data.validation\", which it looks at"},
        {"  early_stopping: {enabled: true}\n  data: {validation: [{path: v.bin}]}\nlogging: {eval_interval: 0}\n",
         "run.yaml:8:3: stage2.early_stopping: logging.eval_interval is 0, so there would be nothing to look at before "
         "the end"},
        {"compute: {matmul: bf16}\n",
         "run.yaml:8:19: compute.matmul: found the string \"bf16\", expected one of auto, float32, int8"},
        {"  total_tokens: 5\n",
         "run.yaml:8:3: stage2: found both \"max_steps\" and \"total_tokens\", expected exactly one of the two"},
        {"  lambda_warmup: {min: 0.5, max: 0.25}\n",
         "run.yaml:8:19: stage2.lambda_warmup.min: found 0.5, expected at most \"max\", which is 0.25"},
        {"  lambda_warmup: {warmup_steps: 1000}\n",
         "run.yaml:8:19: stage2.lambda_warmup.warmup_steps: the warm-up of 1000 updates does not end before the stage, "
         "which has 1000"},
        {"  scheduler: {type: cosine, warmup_steps: 1000}\n",
         "run.yaml:8:29: stage2.scheduler.warmup_steps: the warm-up of 1000 updates does not end before the stage, "
         "which "
         "has 1000"},
        {"  scheduler: {warmup_steps: 801}\n",
         "run.yaml:8:15: stage2.scheduler.warmup_steps: the warm-up of 801 updates "
         "runs into the decay, which begins after update 800 of 1000"},
        {"  scheduler: {decay_ratio: 0.0005}\n", "run.yaml:8:15: stage2.scheduler.decay_ratio: 0.0005 of 1000 updates "
                                                 "is no update; type wsd needs at least one "
                                                 "(type constant has no decay)"},
        {"stage0: {batch_size: 1}\n", "run.yaml:8:1: stage0: missing \"max_steps\" or \"total_tokens\""},
        {"stage1: {a: [}\n", NULL},
        {"? [a, b]\n: c\n", "run.yaml:8:3: a key must be plain text, not a list or a mapping"},
        {"seed: !!int 5\n", "run.yaml:8:7: tags (!...) are not supported"},
        {"output_dir: \"a\\0b\"\n", "run.yaml:8:13: a NUL byte cannot be part of a text"},
        {"output_dir: *nowhere\n", "run.yaml:8:13: there is no anchor \"&nowhere\" before this alias"},
        {"---\nname: b\n", "run.yaml:8:1: a second document starts here, expected only one"},
        {"logging: &l {log_interval: 1, x: *l}\n", "run.yaml:8:34: the alias \"*l\" stands inside of what it names"},
        {"logging: {<<: 3}\n", "run.yaml:8:15: \"<<\" takes a mapping or a list of mappings"},
        {"logging: {<<: [3]}\n", "run.yaml:8:16: \"<<\" takes mappings only"},
        {"\"se\\ned\": 1\n", NULL},
    };
    (void)state;
    unsetenv("NOT_SET_ANYWHERE");
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const char *text = refusal(test_format("%s%s", minimal, cases[i].lines), NULL, 0);
        if (cases[i].sentence && strcmp(text, cases[i].sentence))
            fail_msg("%s\n  got  %s\n  want %s", cases[i].lines, text, cases[i].sentence);
        assert_null(strchr(text, '\n'));
    }
}

/* Keys of a stage 3 of 100 updates, and the sentence that they deserve. */
static void bad_losses_are_refused(void **state)
{
    static const struct {
        const char *keys, *sentence;
    } cases[] = {
        {"",
         "stage3.losses: found no term, expected at least one of cross_entropy, logits, hidden, attention_relation"},
        {"losses: {logit: {}}", "unknown key \"stage3.losses.logit\"; did you mean \"logits\"?"},
        {"losses: {cross_entropy: {weight: -1}}",
         "stage3.losses.cross_entropy.weight: found the number -1, expected a number of at least 0"},
        {"losses: {cross_entropy: {weight: [1]}}",
         "stage3.losses.cross_entropy.weight: found a list of 1, expected a number, {initial, final, type, "
         "warmup_steps} or {balance, at}"},
        {"losses: {cross_entropy: {weight: {initial: 1}}}",
         "missing required key \"stage3.losses.cross_entropy.weight.final\""},
        {"losses: {cross_entropy: {weight: {initial: 1, at: 2}}}",
         "unknown key \"stage3.losses.cross_entropy.weight.initial\"; the keys here are: balance, at"},
        {"losses: {cross_entropy: {weight: {initial: 1, final: 0, warmup_steps: 99}}}",
         "stage3.losses.cross_entropy.weight: after a warm-up of 99 updates the weight has no time to move in a stage "
         "of 100"},
        {"losses: {cross_entropy: {weight: {balance: 1}}}",
         "stage3.losses.cross_entropy.weight: the other terms are balanced against it, so it takes a number or a "
         "schedule"},
        {"losses: {logits: {weight: {balance: 0}}}",
         "stage3.losses.logits.weight.balance: found the number 0, expected a number above 0"},
        {"losses: {logits: {weight: {balance: 1, at: 100}}}",
         "stage3.losses.logits.weight: the weight would be found at update 100, but the stage has 100"},
        {"losses: {logits: {temperature: 0}}",
         "stage3.losses.logits.temperature: found the number 0, expected a number of at least 0.01 and at most 1e+06"},
        {"losses: {hidden: {type: cosine}}",
         "stage3.losses.hidden.type: found the string \"cosine\", expected one of mse, mse_normalized, inner_product"},
        {"losses: {hidden: {layer_weights: []}}", "stage3.losses.hidden.layer_weights: found an empty list, expected "
                                                  "one of uniform, progressive, exponential or "
                                                  "a list of numbers"},
        {"losses: {hidden: {layer_weights: [1, -1]}}",
         "stage3.losses.hidden.layer_weights[1]: found the number -1, expected a number of at least 0"},
        {"losses: {hidden: {layer_weights: linear}}",
         "stage3.losses.hidden.layer_weights: found the string \"linear\", expected one of uniform, progressive, "
         "exponential"},
        {"losses: {attention_relation: {form: paper}}",
         "stage3.losses.attention_relation.form: found the string \"paper\", expected one of equation, algorithm"},
        {"losses: {attention_relation: {split_heads: 0}}",
         "stage3.losses.attention_relation.split_heads: found the number 0, expected an integer from 1 to 1048576"},
        {"losses: {hidden: {}}, teacher: {cache: c}",
         "stage3.teacher.cache: it holds logits alone; hidden needs the teacher itself"},
        {"losses: {logits: {}, attention_relation: {}}, teacher: {cache: c}",
         "stage3.teacher.cache: it holds logits alone; attention_relation needs the teacher itself"},
        {"losses: {logits: {}}, teacher: {cache_top_k: 2000}",
         "stage3.teacher.cache_top_k: found the number 2000, expected an integer from 1 to 1024"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const char *text = test_format("name: run\nmodel: {path: m}\ndata: {train: [{path: p}]}\nstages: [stage1, "
                                       "stage3]\nstage3: {max_steps: 100, lambda_warmup: {enabled: false}, %s}\n",
                                       cases[i].keys);
        const char *got = refusal(text, NULL, 0);
        if (!strstr(got, cases[i].sentence))
            fail_msg("%s\ngot:  %s\nwant: %s", cases[i].keys, got, cases[i].sentence);
    }
}

static void a_stage_without_stage1_names_its_teacher(void **state)
{
    static const char head[] = "name: run\nmodel: {path: m}\ndata: {train: [{path: p}]}\nstages: [stage3]\n";
    static const char stage[] = "stage3: {max_steps: 100, lambda_warmup: {enabled: false}, losses: {%s}%s}\n";
    const char *text = test_format("%s%s", head, test_format(stage, "logits: {}", ""));
    (void)state;
    assert_non_null(strstr(refusal(text, NULL, 0), "stage3.teacher: missing \"path\"; only a stage1 that starts from a "
                                                   "model folder leaves a teacher"));
    bt_train_config_destroy(parse(test_format("%s%s", head, test_format(stage, "cross_entropy: {}", "")), NULL, 0));
    text = test_format("%s%s", head, test_format(stage, "logits: {}", ", teacher: {path: t}"));
    bt_train_config_destroy(parse(text, NULL, 0));
}

static void terms_take_their_defaults(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "stage3={max_steps: 100, lambda_warmup: {enabled: false}, losses: {logits: {}, hidden: {}, "
        "attention_relation: {}}}"};
    struct bt_train_config *c = parse(minimal, sets, 1);
    const struct bt_cfg_losses *l = &c->stage3.losses;
    assert_false(l->cross_entropy.present);
    assert_true(l->logits.present && l->logits.weight.kind == BT_WEIGHT_CONSTANT && l->logits.weight.constant == 10.0);
    assert_true(l->logits.temperature == 5.0 && !l->logits.tau_squared);
    assert_true(l->hidden.weight.kind == BT_WEIGHT_SCHEDULE && l->hidden.weight.initial == 0.5 &&
                l->hidden.weight.final == 0.0 && l->hidden.weight.type == BT_CURVE_COSINE);
    assert_int_equal(l->hidden.type, BT_CFG_HIDDEN_MSE_NORMALIZED);
    assert_int_equal(l->hidden.layer_weights.name, BT_LAYERS_PROGRESSIVE);
    assert_true(l->relation.weight.kind == BT_WEIGHT_BALANCE && l->relation.weight.balance == 0.5 &&
                l->relation.weight.at == 10);
    assert_int_equal(l->relation.form, BT_RELATION_EQUATION);
    assert_true(l->relation.layer == -1 && l->relation.split_heads == 8 && l->relation.temperature == 1.0);
    assert_null(c->stage3.teacher.path);
    assert_int_equal(c->stage3.teacher.cache_top_k, 64);
    bt_train_config_destroy(c);
}

static void bad_files_are_refused(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "run.yaml: this file is empty, expected a config"},
        {"# nothing\n", "run.yaml: this file is empty, expected a config"},
        {"---\n", "run.yaml:2:1: expected a mapping of keys to values"},
        {"[1, 2]\n", "run.yaml:1:1: expected a mapping of keys to values"},
        {"{}\n", "run.yaml: missing required key \"name\""},
        {"name: ~\n", "run.yaml: missing required key \"name\""},
        {"name: a/b\nmodel: {path: m}\n", "run.yaml:1:1: name: found \"a/b\", expected the plain name of a folder"},
        {"name: ..\nmodel: {path: m}\n", "run.yaml:1:1: name: found \"..\", expected the plain name of a folder"},
        {"name: a\n", "run.yaml: model: missing \"path\" (a model folder) or \"config\" (a config.json)"},
        {"name: a\nmodel: {}\n",
         "run.yaml:2:1: model: missing \"path\" (a model folder) or \"config\" (a config.json)"},
        {"name: a\nmodel: {path: m, config: c}\n",
         "run.yaml:2:18: model: found both \"path\" and \"config\", expected exactly one of the two"},
        {"name: a\nmodel: {path: m}\n", "run.yaml: missing section \"stage2\", which \"stages\" asks for"},
        {"name: a\nmodel: {path: m}\nstages: [stage1]\n",
         "run.yaml: missing \"data.train\" with at least one source, which stage1 needs (subln_init: calibrated)"},
        {"name: a\nmodel: {path: m}\nstages: [stage2]\nstage2: {max_steps: 1000}\ndata: {train: []}\n",
         "run.yaml:5:8: missing \"data.train\" with at least one source, which stage2 needs"},
        {"name: a\nmodel: {path: m}\ndata:\n  train:\n    - {weight: 2}\n",
         "run.yaml:5:7: missing required key \"data.train[0].path\""},
        {"name: a\nmodel: {path: m}\ndata:\n  train: [x.bin]\n",
         "run.yaml:4:11: data.train[0]: found the string \"x.bin\", expected a mapping"},
        {"name: a\nmodel: {path: m}\ndata: {train: [{path: p, weight: 0}]}\n",
         "run.yaml:3:34: data.train[0].weight: found the number 0, expected a number above 0"},
        {"name: a\nmodel: {path: m}\nstages: [stage1]\ndata: {train: [{path: p, key: text}]}\n",
         "run.yaml:4:8: data.train[0].key: only format: jsonl has keys; remove it, or set the format"},
        {"name: a\nmodel: {path: m}\nstages: [stage1]\ndata: {train: [{path: p, chat_format: llama3}]}\n",
         "run.yaml:4:8: data.train[0].chat_format: only format: jsonl has examples; remove it, or set the format"},
        {"name: a\nmodel: {path: m}\nstages: [stage1]\ndata: {train: [{path: p, format: jsonl, key: a, chat_format: "
         "b}]}\n",
         "run.yaml:4:8: data.train[0].chat_format: with a key the lines are texts, not examples; remove one of the "
         "two"},
        {"name: a\nmodel: {path: m}\nstages: [stage1]\ndata:\n  train: [{path: q}]\n"
         "  validation: [{path: q}, {path: p, format: jsonl, separator: a}]\n",
         "run.yaml:6:3: data.validation[1].separator: only format: text has lines that separate; remove it, or set the "
         "format"},
        {"name: a\nmodel: {path: m}\nstages: [stage1]\ndata: {train: [{path: p, format: text, separator: "
         "\"a\\nb\"}]}\n",
         "run.yaml:4:8: data.train[0].separator: expected the text of one line"},
        {"name: a\nmodel: {path: m}\ndata: {train: [{path: p, format: bin}]}\n",
         "run.yaml:3:34: data.train[0].format: found the string \"bin\", expected one of llmc, nanogpt, text, jsonl"},
        {"name: \xff\n", "run.yaml: byte 6: this is not UTF-8 text: invalid leading UTF-8 octet"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        assert_string_equal(refusal(cases[i].text, NULL, 0), cases[i].sentence);
}

static void what_is_not_run_need_not_be_whole(void **state)
{
    (void)state;
    bt_train_config_destroy(
        parse("name: a\nmodel: {path: m}\nstages: [stage1]\nstage1: {subln_init: ones}\n", NULL, 0));
    bt_train_config_destroy(
        parse("name: a\nmodel: {path: m}\nstages: [stage1]\nstage1: {insert_subln: false}\n", NULL, 0));
    bt_train_config_destroy(parse("name: a\nmodel: {path: m}\nstages: [stage2]\n"
                                  "stage2: {max_steps: 1000, data: {train: [{path: p}]}}\n",
                                  NULL, 0));
    /* The float twin of a run keeps the keys of the warm-up, which nothing reads. */
    bt_train_config_destroy(parse("name: a\nmodel: {path: m}\nstages: [stage2]\n"
                                  "data: {train: [{path: p}]}\n"
                                  "stage2: {max_steps: 100, weights: none, activations: none}\n",
                                  NULL, 0));
}

static void set_changes_any_key(void **state)
{
    static const char *const sets[] = {
        "stage2.optimizer.lr=3e-4",
        "seed=7",
        "data.train.0.path=b.bin",
        "stages=[stage2]",
        "model.path=",
        "model.config=c.json",
        "compute={threads: 3}",
        "stage0.max_steps=200",
        "logging.log_interval=1",
        "stage2.data.packing=false",
        "name=\"12\"",
    };
    (void)state;
    struct bt_train_config *c = parse(minimal, sets, BT_ARRAY_LEN(sets));
    assert_true(c->stage2.optimizer.lr == 3e-4);
    assert_true(c->stage2.optimizer.eps == 1e-8);
    assert_int_equal(c->seed, 7);
    assert_string_equal(c->name, "12");
    assert_string_equal(c->data.train[0].path, "b.bin");
    assert_int_equal(c->stage_count, 1);
    assert_null(c->model_path);
    assert_string_equal(c->model_config, "c.json");
    assert_int_equal(c->compute.threads, 3);
    assert_true(c->stage0.present);
    assert_int_equal(c->logging.log_interval, 1);
    assert_true(c->stage2.has_data);
    assert_false(c->stage2.data.packing);
    assert_true(c->data.packing);
    bt_train_config_destroy(c);
}

static void a_bad_set_is_named(void **state)
{
    static const struct {
        const char *set, *sentence;
    } cases[] = {
        {"stage2.optimizer.lr=abc", "--set stage2.optimizer.lr=abc: stage2.optimizer.lr: found the string \"abc\", "
                                    "expected a number above 0"},
        {"stage2.optimzer.lr=1",
         "--set stage2.optimzer.lr=1: unknown key \"stage2.optimzer\"; did you mean \"optimizer\"?"},
        {"seed", "--set seed: expected key.path=value"},
        {"=1", "--set =1: expected key.path=value"},
        {"a..b=1", "--set a..b=1: the path has an empty part"},
        {"name.x=1", "--set name.x=1: there is no \"x\" in the string \"run\""},
        {"data.train.1.path=b",
         "--set data.train.1.path=b: \"1\" is not one of the 1 items of the list, counted from 0"},
        {"data.train.path=b",
         "--set data.train.path=b: \"path\" is not one of the 1 items of the list, counted from 0"},
        {"seed=[1", "--set seed=[1: this is not valid YAML: did not find expected ',' or ']' while parsing a flow "
                    "sequence"},
        {"stage2.scheduler.warmup_steps=1000", "--set stage2.scheduler.warmup_steps=1000: "
                                               "stage2.scheduler.warmup_steps: the warm-up of 1000 updates does not "
                                               "end before the stage, which has 1000"},
        {"model.config=c.json",
         "--set model.config=c.json: model: found both \"path\" and \"config\", expected exactly "
         "one of the two"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        assert_string_equal(refusal(minimal, &cases[i].set, 1), cases[i].sentence);
}

/* An alias is a copy: what is set at one place does not move the other. */
static void set_changes_one_place_of_an_alias(void **state)
{
    static const char text[] = "name: a\nmodel: {path: m}\nstages: [stage2]\ndata: {train: [{path: p}]}\n"
                               "stage0: &s {max_steps: 1000, optimizer: {lr: 0.5}}\nstage2: *s\n";
    const char *set = "stage2.optimizer.lr=0.25";
    (void)state;
    struct bt_train_config *c = parse(text, &set, 1);
    assert_true(c->stage0.optimizer.lr == 0.5);
    assert_true(c->stage2.optimizer.lr == 0.25);
    bt_train_config_destroy(c);
}

static void aliases_of_aliases_are_bounded(void **state)
{
    char text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    (void)state;
    for (int i = 1; i < 10; i++) {
        size_t used = strlen(text);
        used += (size_t)snprintf(text + used, sizeof text - used, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s*a%d", j ? ", " : "", i - 1);
        snprintf(text + used, sizeof text - used, "]\n");
    }
    assert_string_equal(refusal(text, NULL, 0),
                        "run.yaml:4:45: more than 10000 values, counting what aliases stand for");
    memset(text, '[', 1000);
    text[1000] = 0;
    assert_string_equal(refusal(text, NULL, 0), "run.yaml:1:65: lists and mappings nest too deeply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_interface),
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(values_are_found_by_their_path),
        cmocka_unit_test(stages_take_their_own_keys),
        cmocka_unit_test(bad_lines_are_refused_with_their_place),
        cmocka_unit_test(bad_losses_are_refused),
        cmocka_unit_test(a_stage_without_stage1_names_its_teacher),
        cmocka_unit_test(terms_take_their_defaults),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(what_is_not_run_need_not_be_whole),
        cmocka_unit_test(set_changes_any_key),
        cmocka_unit_test(a_bad_set_is_named),
        cmocka_unit_test(set_changes_one_place_of_an_alias),
        cmocka_unit_test(aliases_of_aliases_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
