/* What each stage leaves behind: model folders, conversion.json, the records of metrics.jsonl, checkpoints and
 * summary.json, as the user reads them. */
#include "train_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/safetensors.h"
#include "io/shard.h"

static struct train_world world;

static int nothing_yet(void **state)
{
    (void)state;
    world.loud = false;
    world_remove(&world, "runs");
    return 0;
}

/* ---- records ---- */

/* The records of one kind of one stage, as a list; json_decref. */
static json_t *records(const char *run, const char *stage, const char *event)
{
    struct bt_diag diag = {""};
    json_t *list = json_array(), *record = NULL;
    char *lines = world_text(&world, test_format("%s/metrics.jsonl", run));
    for (const char *line = lines, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        TEST_OK(bt_json_parse(line, (size_t)(end - line), "metrics.jsonl", &record, &diag), diag);
        if (!strcmp(json_string_value(json_object_get(record, "stage")), stage) &&
            !strcmp(json_string_value(json_object_get(record, "event")), event))
            json_array_append(list, record);
        json_decref(record);
    }
    free(lines);
    return list;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("\"%s\" is missing or no number", key);
    return json_number_value(value);
}

static bool is_null(const json_t *object, const char *key)
{
    return json_is_null(json_object_get(object, key));
}

/* "2 4 6": the steps of the records. */
static const char *steps_of(const char *stage, const char *event)
{
    const char *text = "";
    json_t *list = records("runs/a", stage, event);
    for (size_t i = 0; i < json_array_size(list); i++)
        text = test_format("%s%s%.0f", text, i ? " " : "", number(json_array_get(list, i), "step"));
    json_decref(list);
    return text;
}

static void expect_steps(const char *train, const char *eval, const char *checkpoint)
{
    assert_string_equal(steps_of("stage2", "train"), train);
    assert_string_equal(steps_of("stage2", "eval"), eval);
    assert_string_equal(steps_of("stage2", "checkpoint"), checkpoint);
    assert_string_equal(steps_of("stage2", "start"), "0");
    assert_string_equal(steps_of("stage2", "end"), "8");
}

static void test_intervals(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=logging={log_interval: 3, eval_interval: 4, eval_tokens: 0}",
                   "--set=checkpoint={save_interval: 5}");
    world_expect(&world, 0);
    expect_steps("3 6 8", "0 4 8", "5 8");
    nothing_yet(NULL);
    WORLD_RUN_WITH(&world, "--set=logging={eval_interval: 0}", "--set=checkpoint={save_interval: 0}");
    world_expect(&world, 0);
    expect_steps("8", "0 8", "8"); /* log_interval is 10 by default, the last update is always told */
    nothing_yet(NULL);
    WORLD_RUN_WITH(&world, "--set=data.validation=[]", "--set=checkpoint={save_interval: 100}",
                   "--set=logging={log_interval: 1}");
    world_expect(&world, 0);
    expect_steps("1 2 3 4 5 6 7 8", "", "8");
}

/* Steps count from 1, tokens and labels go on counting, learning rate and lambda are those the update used. */
static void test_train_records(void **state)
{
    static const double lambda[] = {0, 1.0 / 3, 2.0 / 3, 1, 1, 1, 1, 1};
    static const double lr[] = {1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0.5e-3, 0}; /* wsd: the last fifth falls */
    double tokens = 0;
    (void)state;
    world_run(&world);
    world_expect(&world, 0);
    json_t *list = records("runs/a", "stage2", "train");
    assert_int_equal(json_array_size(list), 8);
    for (size_t i = 0; i < 8; i++) {
        const json_t *r = json_array_get(list, i);
        assert_true(number(r, "step") == (double)i + 1);
        assert_true(fabs(number(r, "lambda") - lambda[i]) < 1e-12);
        assert_true(fabs(number(r, "lr") - lr[i]) < 1e-12);
        assert_true(number(r, "loss") > 3 && number(r, "loss") < 5);
        assert_true(number(r, "grad_norm") > 0);
        assert_true(number(r, "tokens") > tokens && number(r, "tokens") <= tokens + 2 * 16);
        assert_true(number(r, "labels") <= number(r, "tokens"));
        assert_true(number(r, "tokens_per_second") > 0 && number(r, "elapsed_s") >= 0);
        assert_true(number(r, "skipped_updates") == 0);
        assert_true(fabs(number(r, "padding") - (1 - (number(r, "tokens") - tokens) / (2 * 16))) < 1e-12);
        assert_null(json_object_get(r, "sources")); /* there is but one */
        tokens = number(r, "tokens");
    }
    json_decref(list);
    json_t *start = records("runs/a", "stage2", "start");
    assert_true(number(json_array_get(start, 0), "parameters") == 17568 + 2 * (32 + 48));
    assert_true(is_null(json_array_get(start, 0), "resumed_from"));
    json_decref(start);
    json_t *evals = records("runs/a", "stage2", "eval");
    for (size_t i = 0; i < json_array_size(evals); i++) {
        const json_t *r = json_array_get(evals, i);
        assert_true(fabs(number(r, "perplexity") - exp(number(r, "loss"))) < 1e-9 * number(r, "perplexity"));
        assert_true(number(r, "tokens") >= 64 && number(r, "tokens") < 64 + 16); /* rounded up to rows */
        assert_true(fabs(number(r, "lambda") - (i ? lambda[2 * i - 1] : 0)) < 1e-12);
    }
    json_decref(evals);
}

/* ---- conversion ---- */

static json_t *conversion(const char *run)
{
    return world_json(&world, test_format("%s/stage1/conversion.json", run));
}

static const char *names_in(const json_t *report, const char *key)
{
    const char *text = "";
    const json_t *list = json_object_get(report, key);
    assert_true(json_is_array(list));
    for (size_t i = 0; i < json_array_size(list); i++)
        text = test_format("%s%s%s", text, i ? " " : "", json_string_value(json_array_get(list, i)));
    return text;
}

static void test_conversion(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=logging.eval_tokens=0");
    world_expect(&world, 0);
    json_t *report = conversion("runs/a"), *before = records("runs/a", "stage0", "eval"),
           *after = records("runs/a", "stage2", "eval");
    /* Before: what stage 0 ended with. At lambda 0: what stage 2 began with. Same rows, other batches. */
    assert_true(fabs(number(report, "loss_before") - number(json_array_get(before, 3), "loss")) < 1e-6);
    assert_true(fabs(number(report, "loss_lambda_0") - number(json_array_get(after, 0), "loss")) < 1e-6);
    assert_true(fabs(number(report, "loss_lambda_0") - number(report, "loss_before")) < 0.1);
    assert_true(number(report, "loss_lambda_1") > 3 && number(report, "loss_lambda_1") < 5);
    assert_int_equal(json_array_size(json_object_get(report, "changed")), 2 * 7);
    assert_string_equal(names_in(report, "left_out"), "");
    assert_string_equal(names_in(report, "added"),
                        "model.layers.0.self_attn.attn_sub_norm.weight model.layers.0.mlp.ffn_sub_norm.weight "
                        "model.layers.1.self_attn.attn_sub_norm.weight model.layers.1.mlp.ffn_sub_norm.weight");
    assert_string_equal(json_string_value(json_object_get(report, "subln_init")), "calibrated");
    assert_true(number(json_object_get(report, "gains"), "tokens") == 128);
    json_decref(report);
    json_decref(before);
    json_decref(after);
}

/* A tensor of a model, as floats of the caller. */
static size_t tensor(const char *folder, const char *name, float *out, size_t room)
{
    struct bt_diag diag = {""};
    struct bt_safetensors *file = NULL;
    TEST_OK(bt_safetensors_open_model(world_path(&world, folder), &file, &diag), diag);
    const struct bt_tensor_view *view = bt_safetensors_find(file, name);
    if (!view) {
        bt_safetensors_close(file);
        return 0;
    }
    const size_t count = view->bytes / sizeof(float);
    assert_true(count <= room);
    TEST_OK(bt_tensor_to_f32(view, out, &diag), diag);
    bt_safetensors_close(file);
    return count;
}

/* Gains of 1 need no data at all, and then there is no loss to tell. */
static void test_stage1_alone_without_data(void **state)
{
    float gains[64];
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage1]", "--set=data=null", "--set=stage1.subln_init=ones");
    world_expect(&world, 0);
    json_t *report = conversion("runs/a");
    assert_true(is_null(report, "loss_before") && is_null(report, "loss_lambda_0") && is_null(report, "loss_lambda_1"));
    assert_true(is_null(report, "gains"));
    assert_string_equal(json_string_value(json_object_get(report, "subln_init")), "ones");
    json_decref(report);
    assert_int_equal(tensor("runs/a/stage1/model", "model.layers.1.mlp.ffn_sub_norm.weight", gains, 64), 48);
    for (size_t i = 0; i < 48; i++)
        assert_true(gains[i] == 1.0f);
}

static void test_excluded_layers(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stage1.exclude_layers=[\"model.layers.0.self_attn.*\", \"*.down_proj\"]");
    world_expect(&world, 0);
    json_t *report = conversion("runs/a");
    assert_int_equal(json_array_size(json_object_get(report, "changed")), 2 * 7 - 6);
    assert_string_equal(names_in(report, "left_out"),
                        "model.layers.0.self_attn.q_proj.weight model.layers.0.self_attn.k_proj.weight "
                        "model.layers.0.self_attn.v_proj.weight model.layers.0.self_attn.o_proj.weight "
                        "model.layers.0.mlp.down_proj.weight model.layers.1.mlp.down_proj.weight");
    json_decref(report);
    char *config = world_text(&world, "runs/a/stage2/model/config.json"); /* the finished model still says so */
    assert_non_null(strstr(config, "*.down_proj"));
    free(config);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stage1.exclude_layers=[\"model.layers.7.*\"]");
    world_expect_error(&world, 2, "exclude_layers: \"model.layers.7.*\" matches no linear layer");
}

/* Stage 1 of a BitNet model passes it through, to the byte. */
static void test_a_bitnet_model_passes_through(void **state)
{
    static const char *const stages[] = {"stage1", "stage2"};
    (void)state;
    world_run(&world);
    world_expect(&world, 0);
    for (size_t i = 0; i < 2; i++) {
        char *from = strdup(world_hash(&world, test_format("runs/a/%s/model/model.safetensors", stages[i])));
        world.loud = true;
        WORLD_RUN_WITH(&world, test_format("--set=name=%s", stages[i]), "--set=stages=[stage1]",
                       test_format("--set=model={path: runs/a/%s/model}", stages[i]));
        world_expect(&world, 0);
        assert_non_null(strstr(world.output.err, "is a BitNet model already and passes through unchanged"));
        char *to = strdup(world_hash(&world, test_format("runs/%s/stage1/model/model.safetensors", stages[i])));
        assert_string_equal(from, to);
        json_t *report = conversion(test_format("runs/%s", stages[i]));
        assert_true(json_is_true(json_object_get(report, "passed_through")));
        assert_string_equal(names_in(report, "changed"), "");
        assert_string_equal(names_in(report, "added"), "");
        json_decref(report);
        free(from);
        free(to);
    }
    char *config = world_text(&world, "runs/a/stage2/model/config.json");
    char *passed = world_text(&world, "runs/stage2/stage1/model/config.json");
    assert_string_equal(config, passed);
    free(config);
    free(passed);
}

static void test_without_sub_norms(void **state)
{
    float gains[64];
    (void)state;
    world.loud = true;
    WORLD_RUN_WITH(&world, "--set=stage1.insert_subln=false");
    world_expect(&world, 0);
    assert_non_null(
        strstr(world.output.err, "stage2: the model has no SubLN norms; BitLinear is trained without them"));
    json_t *report = conversion("runs/a");
    assert_string_equal(names_in(report, "added"), "");
    assert_true(is_null(report, "subln_init"));
    json_decref(report);
    assert_int_equal(tensor("runs/a/stage2/model", "model.layers.0.mlp.ffn_sub_norm.weight", gains, 64), 0);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage0, stage2]");
    world_expect(&world, 0);
    assert_non_null(strstr(world.output.err, "stage2: the model has no SubLN norms"));
}

/* ---- stages 0 and 2 ---- */

/* The finished model is a folder to start from: with everything that came along, and what it was made for marked. */
static void test_model_folders(void **state)
{
    static const char *const stages[] = {"stage0", "stage1", "stage2"};
    (void)state;
    world_run(&world);
    world_expect(&world, 0);
    char *tokenizer = strdup(world_hash(&world, "tiny/tokenizer.json"));
    for (size_t i = 0; i < BT_ARRAY_LEN(stages); i++) {
        const char *folder = test_format("runs/a/%s/model", stages[i]);
        assert_string_equal(world_hash(&world, test_format("%s/tokenizer.json", folder)), tokenizer);
        json_t *config = world_json(&world, test_format("%s/config.json", folder));
        assert_true(number(config, "hidden_size") == 32);
        json_decref(config);
    }
    free(tokenizer);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage2]", "--set=model={path: runs/a/stage2/model}");
    world_expect(&world, 0);
}

/* A BitNet from random weights: stage 2 comes first. */
static void test_bitnet_from_scratch(void **state)
{
    (void)state;
    world_write(&world, "tiny/bitnet.json",
                "{\"architectures\": [\"BitNetForCausalLM\"], \"model_type\": \"bitnet\", \"hidden_size\": 32,\n"
                " \"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,\n"
                " \"num_key_value_heads\": 2, \"vocab_size\": 64, \"max_position_embeddings\": 64,\n"
                " \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"hidden_act\": \"relu2\",\n"
                " \"tie_word_embeddings\": true, \"bos_token_id\": 1, \"eos_token_id\": 1}\n");
    WORLD_RUN_WITH(&world, "--set=stages=[stage2]", "--set=model={config: tiny/bitnet.json}",
                   "--set=stage2.lambda_warmup.enabled=false");
    world_expect(&world, 0);
    json_t *list = records("runs/a", "stage2", "eval");
    assert_true(number(json_array_get(list, 0), "lambda") == 1.0);
    json_decref(list);
    float gains[64];
    assert_int_equal(tensor("runs/a/stage2/model", "model.layers.0.mlp.ffn_sub_norm.weight", gains, 64), 48);
}

static double last_loss(const char *run)
{
    json_t *list = records(run, "stage2", "end");
    const double loss = number(json_array_get(list, 0), "eval_loss");
    json_decref(list);
    return loss;
}

/* Each of the two quantisers can be left out; each changes what is computed. */
static void test_variants_of_quantisation(void **state)
{
    static const char *const variants[][2] = {
        {"ternary", "int8"}, {"ternary", "none"}, {"none", "int8"}, {"none", "none"}};
    double losses[4];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        WORLD_RUN_WITH(&world, test_format("--set=name=v%zu", i),
                       test_format("--set=stage2.weights=%s", variants[i][0]),
                       test_format("--set=stage2.activations=%s", variants[i][1]));
        world_expect(&world, 0);
        losses[i] = last_loss(test_format("runs/v%zu", i));
        json_t *start = records(test_format("runs/v%zu", i), "stage2", "start");
        assert_string_equal(json_string_value(json_object_get(json_array_get(start, 0), "weights")), variants[i][0]);
        json_decref(start);
        for (size_t j = 0; j < i; j++)
            assert_true(losses[i] != losses[j]);
    }
    /* The float twin needs no warm-up that ends. */
    WORLD_RUN_WITH(&world, "--set=name=twin", "--set=stage2.lambda_warmup.warmup_steps=100",
                   "--set=stage2.weights=none", "--set=stage2.activations=none");
    world_expect(&world, 0);
    assert_true(last_loss("runs/twin") == losses[3]);
}

static void test_total_tokens(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stage2.max_steps=null", "--set=stage2.total_tokens=200");
    world_expect(&world, 0);
    json_t *list = records("runs/a", "stage2", "train");
    const size_t count = json_array_size(list);
    assert_true(count >= 200 / 32 && number(json_array_get(list, count - 1), "tokens") >= 200);
    assert_true(number(json_array_get(list, count - 2), "tokens") < 200);
    json_decref(list);
    json_t *start = records("runs/a", "stage2", "start");
    assert_true(number(json_array_get(start, 0), "updates") == (double)count);
    json_decref(start);
}

/* With several sources each says how much of it was seen and what it lost. */
static void test_records_of_sources(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0]", "--set=data.validation=[]",
                   "--set=data.train=[{path: validation.bin, weight: 1}, {path: tr*.bin, weight: 3}]");
    world_expect(&world, 0);
    json_t *list = records("runs/a", "stage0", "train");
    assert_int_equal(json_array_size(list), 6);
    for (size_t i = 0; i < 6; i++) {
        const json_t *r = json_array_get(list, i), *sources = json_object_get(r, "sources");
        assert_int_equal(json_array_size(sources), 2);
        const json_t *small = json_array_get(sources, 0), *large = json_array_get(sources, 1);
        assert_string_equal(json_string_value(json_object_get(small, "path")), "validation.bin");
        assert_string_equal(json_string_value(json_object_get(large, "path")), "tr*.bin");
        assert_true(number(small, "tokens") + number(large, "tokens") == number(r, "tokens"));
        assert_true(i < 2 || number(large, "tokens") > number(small, "tokens"));
        const bool both = !is_null(small, "loss") && !is_null(large, "loss");
        assert_true(!both || fmin(number(small, "loss"), number(large, "loss")) <= number(r, "loss"));
        assert_true(!both || fmax(number(small, "loss"), number(large, "loss")) >= number(r, "loss"));
    }
    json_decref(list);
}

/* Every key of `data` may be another one in a stage; those that it does not give stay. */
static void test_keys_of_a_stages_data(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0, stage2]",
                   "--set=stage2.data={max_seq_length: 24, separators: {before: 7}, validation: [], shuffle: false}");
    world_expect(&world, 0);
    json_t *stage0 = records("runs/a", "stage0", "start"), *stage2 = records("runs/a", "stage2", "start");
    json_t *evals = records("runs/a", "stage2", "eval"), *first = records("runs/a", "stage0", "eval");
    assert_true(number(json_array_get(stage0, 0), "epoch_tokens") == 4000); /* of the same file */
    assert_true(number(json_array_get(stage2, 0), "epoch_tokens") == 4000);
    assert_true(number(json_array_get(stage0, 0), "rows") >= 250);
    assert_true(number(json_array_get(stage2, 0), "rows") < 190); /* of 24 tokens */
    assert_int_equal(json_array_size(evals), 0);
    assert_int_equal(json_array_size(first), 4);
    json_decref(first);
    json_decref(evals);
    json_decref(stage0);
    json_decref(stage2);
    nothing_yet(NULL);
    WORLD_RUN_WITH(&world, "--set=stages=[stage2]", "--set=stage2.data={separators: {before: 0, after: 0}}");
    world_expect_error(&world, 3, "no separator (before 0, after 0"); /* which do not occur */
    WORLD_RUN_WITH(&world, "--set=stages=[stage2]", "--set=stage2.data={max_length: 8}");
    world_expect_error(&world, 2, "max_seq_length");
}

static void test_data_of_a_stage(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stage2.data={train: [{path: validation.bin}], validation: [{path: train.bin}]}");
    world_expect(&world, 0);
    json_t *stage0 = records("runs/a", "stage0", "start"), *stage2 = records("runs/a", "stage2", "start");
    assert_true(number(json_array_get(stage0, 0), "epoch_tokens") == 4000);
    assert_true(number(json_array_get(stage2, 0), "epoch_tokens") == 600);
    json_decref(stage0);
    json_decref(stage2);
}

static const char *checkpoints_of_stage2(void)
{
    struct bt_diag diag = {""};
    const char *text = "";
    char **names;
    size_t count;
    TEST_OK(bt_dir_list(world_path(&world, "runs/a/stage2/checkpoints"), &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++)
        text = test_format("%s%s%s", text, i ? " " : "", names[i]);
    bt_names_free(names, count);
    return text;
}

/* Documents of one word: the more a model learns of them, the worse it becomes at any other text. */
static void write_monotony(const char *name)
{
    struct bt_diag diag = {""};
    int32_t tokens[600];
    for (size_t i = 0; i < BT_ARRAY_LEN(tokens); i++)
        tokens[i] = i % 20 ? 5 : 1;
    TEST_OK(bt_shard_write(world_path(&world, name), tokens, BT_ARRAY_LEN(tokens), 2, &diag), diag);
}

/* The best validation at full lambda comes early, and its checkpoint stays. */
static void test_kept_checkpoints(void **state)
{
    (void)state;
    write_monotony("monotony.bin");
    WORLD_RUN_WITH(&world, "--set=checkpoint={save_interval: 2, keep_last_n: 1, keep_best: true}",
                   "--set=stage2={max_steps: 12, batch_size: 2, lambda_warmup: {warmup_steps: 2}, "
                   "data: {train: [{path: monotony.bin}]}, optimizer: {lr: 1e-2}, "
                   "scheduler: {type: constant, warmup_steps: 0}}");
    world_expect(&world, 0);
    json_t *list = records("runs/a", "stage2", "eval"), *summary = world_json(&world, "runs/a/summary.json");
    const json_t *stage2 = json_object_get(json_object_get(summary, "stages"), "stage2");
    double best = INFINITY, best_step = 0;
    for (size_t i = 1; i < json_array_size(list); i++) {
        const json_t *r = json_array_get(list, i);
        if (number(r, "lambda") == 1.0 && number(r, "loss") < best) {
            best = number(r, "loss");
            best_step = number(r, "step");
        }
    }
    print_message("best after update %.0f\n", best_step);
    assert_true(best_step == 4); /* the first validation after the warm-up */
    assert_true(number(stage2, "best_eval_loss") == best);
    assert_true(number(stage2, "best_step") == best_step);
    assert_string_equal(checkpoints_of_stage2(), test_format("step-%08.0f step-00000012", best_step));
    json_decref(list);
    json_decref(summary);
    nothing_yet(NULL);
    WORLD_RUN_WITH(&world, "--set=checkpoint={save_interval: 1, keep_last_n: 3}");
    world_expect(&world, 0);
    assert_string_equal(checkpoints_of_stage2(), "step-00000006 step-00000007 step-00000008");
}

static void test_summary(void **state)
{
    static const char *const keys[] = {"steps",           "parameters", "loss",   "eval_loss", "perplexity",
                                       "best_eval_loss",  "tokens",     "labels", "best_step", "elapsed_s",
                                       "skipped_updates", "data_wait_s"};
    (void)state;
    world_run(&world);
    world_expect(&world, 0);
    json_t *summary = world_json(&world, "runs/a/summary.json");
    const json_t *stages = json_object_get(summary, "stages"), *stage2 = json_object_get(stages, "stage2");
    assert_string_equal(json_string_value(json_object_get(summary, "name")), "a");
    assert_true(json_is_string(json_object_get(summary, "version")));
    assert_int_equal(json_object_size(stages), 3);
    for (size_t i = 0; i < BT_ARRAY_LEN(keys); i++)
        number(stage2, keys[i]);
    json_t *list = records("runs/a", "stage2", "eval");
    assert_true(number(stage2, "eval_loss") == number(json_array_get(list, json_array_size(list) - 1), "loss"));
    assert_true(number(stage2, "steps") == 8);
    json_decref(list);
    json_decref(summary);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_intervals, nothing_yet),
        cmocka_unit_test_setup(test_train_records, nothing_yet),
        cmocka_unit_test_setup(test_conversion, nothing_yet),
        cmocka_unit_test_setup(test_stage1_alone_without_data, nothing_yet),
        cmocka_unit_test_setup(test_excluded_layers, nothing_yet),
        cmocka_unit_test_setup(test_a_bitnet_model_passes_through, nothing_yet),
        cmocka_unit_test_setup(test_without_sub_norms, nothing_yet),
        cmocka_unit_test_setup(test_model_folders, nothing_yet),
        cmocka_unit_test_setup(test_bitnet_from_scratch, nothing_yet),
        cmocka_unit_test_setup(test_variants_of_quantisation, nothing_yet),
        cmocka_unit_test_setup(test_total_tokens, nothing_yet),
        cmocka_unit_test_setup(test_data_of_a_stage, nothing_yet),
        cmocka_unit_test_setup(test_keys_of_a_stages_data, nothing_yet),
        cmocka_unit_test_setup(test_records_of_sources, nothing_yet),
        cmocka_unit_test_setup(test_kept_checkpoints, nothing_yet),
        cmocka_unit_test_setup(test_summary, nothing_yet),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
