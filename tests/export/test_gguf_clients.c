/* llama.cpp itself on exported files: it computes what our own forward computes, cuts texts into the same tokens, and
 * has nearly the same perplexity with the types that quantise activations otherwise. And another program's parser reads
 * every file.
 *
 * argv: gguf_clients.mjs, bitnet-train. The packages are looked for in $BT_NODE_MODULES (tools/check sets
 * it for one of its builds); the test skips without them. One node process does all the work, because starting it is
 * most of the time. */
#include "export_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cpu.h"
#include "export/gguf.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/json.h"
#include "io/shard.h"
#include "nn/model.h"
#include "run_program.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

static const char *client, *train;

enum { GREEDY = 200, LOSS_TOKENS = 256, SEQ = GREEDY + 1 };

/* ---- our side ---- */

/* Logits (count, vocab) of one row of ids by the frozen model at lambda 1; free. */
static float *our_logits(const char *path, bool int8, const int32_t *ids, size_t count)
{
    struct bt_diag diag = {""};
    struct bt_export_model *model = export_world_open(path);
    const struct bt_params *params = &model->source->params;
    const struct bt_model_options options = {
        .rows = 1, .seq = count, .ternary_weights = model->ternary, .int8_activations = int8 && model->int8};
    struct bt_compute compute;
    struct bt_batch batch;
    struct bt_model *run = NULL;
    struct bt_arena measure = {0}, arena = {0};
    float *weights = bt_zalloc(params->total, sizeof *weights);
    float *logits = malloc(count * model->source->shape.vocab * sizeof *logits);
    assert_true(weights && logits);
    bt_compute_init(&compute, BT_CPU_AVX512);
    bt_batch_carve(&batch, &measure, 1, count);
    assert_true(bt_arena_init(&arena, measure.used));
    bt_batch_carve(&batch, &arena, 1, count);
    for (size_t i = 0; i < count; i++) {
        batch.ids[i] = ids[i];
        batch.labels[i] = BT_IGNORE_LABEL;
        batch.position[i] = (int32_t)i;
    }
    batch.tokens = count;
    TEST_OK(bt_export_frozen_masters(model, weights, &diag), diag);
    TEST_OK(bt_model_create(params, &options, weights, NULL, &compute, &run, &diag), diag);
    bt_model_prepare(run);
    bt_model_logits(run, &batch, 1.0f, logits);
    bt_model_destroy(run);
    bt_arena_finish(&arena);
    bt_free(weights);
    bt_export_close(model);
    return logits;
}

/* Mean of -log of the probability of each id but the first. */
static double our_loss(const char *path, bool int8, const int32_t *ids, size_t count, size_t vocab)
{
    double sum = 0;
    float *logits = our_logits(path, int8, ids, count);
    for (size_t i = 0; i + 1 < count; i++) {
        const float *row = logits + i * vocab;
        double most = -INFINITY, total = 0;
        for (size_t v = 0; v < vocab; v++)
            most = fmax(most, (double)row[v]);
        for (size_t v = 0; v < vocab; v++)
            total += exp((double)row[v] - most);
        sum += log(total) + most - (double)row[ids[i + 1]];
    }
    free(logits);
    return sum / (double)(count - 1);
}

/* The client's tokens are ours wherever our best logit is ahead of the others by more than 1e-2. Gives how many differ.
 */
static size_t check_greedy(const char *name, const char *path, const json_t *list, size_t vocab)
{
    int32_t ids[SEQ];
    size_t differ = 0;
    assert_int_equal(json_array_size(list), SEQ);
    for (size_t i = 0; i < SEQ; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    float *logits = our_logits(path, false, ids, SEQ);
    for (size_t i = 0; i + 1 < SEQ; i++) {
        const float *row = logits + i * vocab;
        size_t best = 0;
        for (size_t v = 1; v < vocab; v++)
            best = row[v] > row[best] ? v : best;
        if (best == (size_t)ids[i + 1])
            continue;
        differ++;
        if (!((double)row[best] - (double)row[ids[i + 1]] <= 1e-2))
            fail_msg("%s: token %zu: llama.cpp's is %d with our logit %g, our best is %zu with %g", name, i,
                     (int)ids[i + 1], (double)row[ids[i + 1]], best, (double)row[best]);
    }
    free(logits);
    return differ;
}

/* ---- the world: a folder, the jobs for the client, its answers ---- */

struct clients {
    char *dir, *node_modules;
    json_t *jobs, *answers; /* in the same order */
};

static const char *in_world(const struct clients *c, const char *name)
{
    return test_format("%s/%s", c->dir, name);
}

static void write_text(const char *path, const char *text)
{
    test_write_file(path, text, strlen(text));
}

static void copy(const char *from, const char *to)
{
    struct bt_diag diag = {""};
    TEST_OK(bt_file_copy(from, to, &diag), diag);
}

static void copy_tokenizer(const char *folder)
{
    copy(test_shared("data/models/stories260K/tokenizer.json"), test_format("%s/tokenizer.json", folder));
}

/* Runs bitnet-train in the folder of the world: what it leaves under runs/NAME is used by name. */
static void train_run(const struct clients *c, const char *name, const char *config)
{
    const char *path = in_world(c, test_format("%s.yaml", name));
    struct test_output output;
    const struct test_program program = {
        .argv = (const char *const[]){train, "--config", path, "--quiet", NULL}, .directory = c->dir, .timeout_s = 600};
    write_text(path, config);
    test_run(&program, &output);
    if (output.exit_code)
        fail_msg("%s: %s", name, output.err);
    test_output_free(&output);
}

/* Exports a folder of the world, and adds a job for the file. */
static json_t *add_export(struct clients *c, const char *model, const char *file, const char *type,
                          const char *embedding)
{
    const struct bt_gguf_options options = {.type = type, .embedding_type = embedding, .verify = true};
    struct bt_export_report report;
    struct bt_diag diag = {""};
    struct bt_export_model *source = export_world_open(in_world(c, model));
    TEST_OK(bt_export_gguf(source, &options, in_world(c, file), &report, &diag), diag);
    bt_export_close(source);
    json_t *job = json_pack("{s:s, s:s, s:b}", "file", in_world(c, file), "name", file, "parse", 1);
    assert_int_equal(json_array_append_new(c->jobs, job), 0);
    return job;
}

static void add_greedy(json_t *job, int32_t start)
{
    json_object_set_new(job, "greedy", json_pack("{s:[i], s:i}", "start", (int)start, "count", GREEDY));
}

static void add_loss(json_t *job, const int32_t *ids)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LOSS_TOKENS; i++)
        json_array_append_new(list, json_integer(ids[i]));
    json_object_set_new(job, "loss", list);
}

static void run_clients(struct clients *c)
{
    struct bt_diag diag = {""};
    struct test_output output;
    const char *request = in_world(c, "request.json"), *answer = in_world(c, "answer.json");
    const struct test_program program = {
        .argv = (const char *const[]){"/usr/bin/env", "node", client, c->node_modules, request, answer, NULL},
        .timeout_s = 600};
    TEST_OK(bt_json_write(request, c->jobs, &diag), diag);
    test_run(&program, &output);
    if (output.exit_code)
        fail_msg("node: exit code %d: %s", output.exit_code, output.err);
    test_output_free(&output);
    TEST_OK(bt_json_read(answer, &c->answers, &diag), diag);
    assert_int_equal(json_array_size(c->answers), json_array_size(c->jobs));
}

/* The answer for an exported file. */
static const json_t *answer_for(const struct clients *c, const char *file)
{
    for (size_t i = 0; i < json_array_size(c->jobs); i++)
        if (!strcmp(json_string_value(json_object_get(json_array_get(c->jobs, i), "name")), file))
            return json_array_get(c->answers, i);
    fail_msg("no job for %s", file);
    return NULL;
}

static const char *error_for(const struct clients *c, const char *file)
{
    return json_string_value(json_object_get(answer_for(c, file), "error"));
}

static const json_t *good_answer(const struct clients *c, const char *file)
{
    if (error_for(c, file))
        fail_msg("%s: %s", file, error_for(c, file));
    return answer_for(c, file);
}

/* ---- models ---- */

static const char *data_keys(void)
{
    const char *shards = test_shared("data/shards");
    return test_format("data:\n  train: [{path: \"%s/tinystories-stories260K-train.bin\"}]\n"
                       "  validation: [{path: \"%s/tinystories-stories260K-valid.bin\"}]\n"
                       "  max_seq_length: 128\nlogging: {eval_tokens: 1024, eval_interval: 0}\n",
                       shards, shards);
}

/* A BitNet model with rows that every ternary type fits, trained a little: its codes and activations are then not those
 * of a random one. */
static void make_bitnet(const struct clients *c)
{
    assert_int_equal(mkdir(in_world(c, "bitnet"), 0777), 0);
    copy_tokenizer(in_world(c, "bitnet"));
    write_text(
        in_world(c, "bitnet/config.json"),
        "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"vocab_size\": 512,"
        " \"hidden_size\": 256, \"intermediate_size\": 512, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
        " \"num_key_value_heads\": 2, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-05,"
        " \"rope_theta\": 10000.0, \"bos_token_id\": 1, \"eos_token_id\": 2}");
    train_run(c, "ternary",
              test_format("name: ternary\nstages: [stage2]\nmodel: {config: bitnet/config.json}\n%s"
                          "stage2: {max_steps: 60, batch_size: 8, lambda_warmup: {warmup_steps: 20},"
                          " optimizer: {lr: 3.0e-3}, scheduler: {warmup_steps: 5}}\n",
                          data_keys()));
}

static void make_stories(const struct clients *c)
{
    train_run(c, "stories",
              test_format("name: stories\nstages: [stage1, stage2]\nmodel: {path: \"%s\"}\n%s"
                          "stage2: {max_steps: 40, batch_size: 8, lambda_warmup: {warmup_steps: 20},"
                          " optimizer: {lr: 1.0e-3}, scheduler: {warmup_steps: 5}}\n",
                          test_shared("data/models/stories260K"), data_keys()));
}

/* Rows of 256 and 512, so that every type fits. */
#define PLAIN_SIZES                                                                                                    \
    "\"vocab_size\": 512, \"hidden_size\": 256, \"intermediate_size\": 512, \"num_hidden_layers\": 2,"                 \
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 512, \"rms_norm_eps\": "    \
    "1e-06, \"rope_theta\": 10000.0, \"initializer_range\": 0.05, \"bos_token_id\": 1, \"eos_token_id\": 2}"

/* Shapes without SubLN, random. */
static const struct plain {
    const char *name, *file, *head;
    bool ternary;
} plain[] = {
    {"qwen2-ternary", "qwen2-plain.gguf", "{\"model_type\": \"qwen2\", \"tie_word_embeddings\": true, ", true},
    {"qwen3", "qwen3-plain.gguf", "{\"model_type\": \"qwen3\", \"head_dim\": 128, \"tie_word_embeddings\": false, ",
     true},
    {"llama3", "llama3-plain.gguf",
     "{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": "
     "1.0,"
     " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64}, ",
     true},
    {"llama_biases", "llama_biases-plain.gguf",
     "{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, ", true},
    {"llama_linear", "llama_linear-plain.gguf",
     "{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0}, ", false},
    {"mistral", "mistral-plain.gguf", "{\"model_type\": \"mistral\", \"sliding_window\": null, ", true},
};

static void make_plain(const struct clients *c, const struct plain *p)
{
    struct bt_diag diag = {""};
    struct bt_loaded_model *model = NULL;
    const struct bt_hf_marks marks = {.present = p->ternary, .ternary = true, .int8 = true, .lambda = 1.0};
    const char *folder = in_world(c, p->name), *config = test_format("%s/config.json", folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    copy_tokenizer(folder);
    write_text(config, test_format("%s%s", p->head, PLAIN_SIZES));
    TEST_OK(bt_model_random(config, 7, &model, &diag), diag);
    for (size_t i = 0; i < model->params.count; i++) { /* gains and biases that can be told apart */
        const struct bt_param *param = &model->params.list[i];
        for (size_t j = 0; param->rank == 1 && j < param->count; j++)
            model->weights[param->offset + j] += 0.3f * sinf((float)(i * 31 + j));
    }
    TEST_OK(bt_model_write(folder, model->config, &model->params, model->weights, &marks, NULL, NULL, &diag), diag);
    bt_model_unload(model);
}

/* Stage 0 of a random Qwen2, whose biases learn to be something. */
static void make_qwen2(const struct clients *c)
{
    assert_int_equal(mkdir(in_world(c, "qwen2"), 0777), 0);
    copy_tokenizer(in_world(c, "qwen2"));
    write_text(in_world(c, "qwen2/config.json"),
               test_format("{\"model_type\": \"qwen2\", \"tie_word_embeddings\": true, %s", PLAIN_SIZES));
    train_run(
        c, "float",
        test_format("name: float\nstages: [stage0]\nmodel: {config: qwen2/config.json}\n%s"
                    "stage0: {max_steps: 10, batch_size: 8, optimizer: {lr: 3.0e-3}, scheduler: {warmup_steps: 2}}\n",
                    data_keys()));
}

/* ---- the embedded default: its shape, its tokenizer, its stories ---- */

#define OWN_TOKENIZER BT_SOURCE_DIR "/data/model/tokenizer.json"

/* Lists the ids of texts by our own tokenizer, one text after the other. */
struct own_encoder {
    struct bt_tokenizer *tokenizer;
    struct bt_tokenizer_scratch *scratch;
};

static void own_encoder_open(struct own_encoder *own)
{
    struct bt_diag diag = {""};
    TEST_OK(bt_tokenizer_open(OWN_TOKENIZER, &own->tokenizer, &diag), diag);
    TEST_OK(bt_tokenizer_scratch_create(own->tokenizer, &own->scratch, &diag), diag);
}

static void own_encoder_close(struct own_encoder *own)
{
    bt_tokenizer_scratch_destroy(own->scratch);
    bt_tokenizer_close(own->tokenizer);
}

static void own_encode(const struct own_encoder *own, const char *text, size_t size, struct bt_ids *ids)
{
    struct bt_diag diag = {""};
    TEST_OK(bt_tokenizer_encode(own->tokenizer, own->scratch, text, size, false, ids, &diag), diag);
}

/* Stories of the grammar as tools/quickstart has them, each with the line that ends it. */
static void write_stories(const struct bt_grammar *grammar, const char *path)
{
    enum { STORIES = 1000 };
    struct bt_diag diag = {""};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint64_t i = 0; i < STORIES; i++) {
        char *text;
        size_t size;
        TEST_OK(bt_grammar_generate(grammar, 1, i, &text, &size, &diag), diag);
        fprintf(file, "%.*s\n<|eos|>\n", (int)size, text);
        bt_free(text);
    }
    assert_int_equal(fclose(file), 0);
}

/* Stories that training does not see, BOS and EOS around each, up to LOSS_TOKENS ids. */
static void read_stories(const struct bt_grammar *grammar, int32_t *to)
{
    enum { BOS = 0, EOS = 1 };
    struct bt_diag diag = {""};
    struct own_encoder own;
    struct bt_ids ids = {0};
    size_t count = 0;
    own_encoder_open(&own);
    for (uint64_t i = 0; count < LOSS_TOKENS; i++) {
        char *text;
        size_t size;
        TEST_OK(bt_grammar_generate(grammar, 2, i, &text, &size, &diag), diag);
        ids.count = 0;
        own_encode(&own, text, size, &ids);
        bt_free(text);
        to[count++] = BOS;
        for (size_t k = 0; k <= ids.count && count < LOSS_TOKENS; k++)
            to[count++] = k < ids.count ? ids.at[k] : EOS;
    }
    bt_ids_finish(&ids);
    own_encoder_close(&own);
}

/* What tools/quickstart does, with fewer updates: from random weights to a ternary model. */
static void make_default(const struct clients *c, const struct bt_grammar *grammar)
{
    write_stories(grammar, in_world(c, "stories.txt"));
    train_run(c, "default",
              "name: default\nseed: 1\nstages: [stage0, stage1, stage2]\n"
              "model: {config: " BT_SOURCE_DIR "/data/model/config.json}\n"
              "data:\n  train: [{path: stories.txt, format: text, separator: '<|eos|>'}]\n"
              "  max_seq_length: 256\n  packing: false\n"
              "stage0: {max_steps: 40, batch_size: 4, optimizer: {lr: 4.0e-3}, scheduler: {warmup_steps: 5}}\n"
              "stage1: {calibration_tokens: 1024}\n"
              "stage2: {max_steps: 30, batch_size: 4, lambda_warmup: {warmup_steps: 10},"
              " optimizer: {lr: 4.0e-3}, scheduler: {warmup_steps: 5}}\n");
}

/* ---- vocabularies ---- */

/* A model that is all embedding, with the tokenizer of a family. */
static void make_vocabulary(struct clients *c, const char *family, const char *name, const char *rest)
{
    struct bt_diag diag = {""};
    struct bt_tokenizer *t = NULL;
    struct bt_loaded_model *model = NULL;
    const char *folder = in_world(c, name), *config = test_format("%s/config.json", folder);
    const char *tokenizer =
        strcmp(family, "own") ? test_shared(test_format("data/tokenizers/%s/tokenizer.json", family)) : OWN_TOKENIZER;
    assert_int_equal(mkdir(folder, 0777), 0);
    TEST_OK(bt_tokenizer_open(tokenizer, &t, &diag), diag);
    write_text(config,
               test_format("{\"model_type\": \"llama\", \"tie_word_embeddings\": true, \"vocab_size\": %d,"
                           " \"hidden_size\": 8, \"intermediate_size\": 8, \"num_hidden_layers\": 1,"
                           " \"num_attention_heads\": 1, \"num_key_value_heads\": 1, \"max_position_embeddings\": 64,"
                           " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, %s}",
                           (int)bt_tokenizer_vocab_size(t), rest));
    bt_tokenizer_close(t);
    TEST_OK(bt_model_random(config, 7, &model, &diag), diag);
    TEST_OK(bt_model_write(folder, model->config, &model->params, model->weights, NULL, NULL, NULL, &diag), diag);
    bt_model_unload(model);
    copy(tokenizer, test_format("%s/tokenizer.json", folder));
}

static json_t *read_rows(const char *golden)
{
    size_t size;
    json_t *rows = json_array();
    char *lines = (char *)test_read_file(golden, &size), *rest = lines, *line;
    while ((line = strsep(&rest, "\n")) && *line)
        json_array_append_new(rows, json_loads(line, JSON_ALLOW_NUL, NULL));
    free(lines);
    return rows;
}

static void add_texts(json_t *job, const json_t *rows)
{
    json_t *texts = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++)
        json_array_append(texts, json_object_get(json_array_get(rows, i), "text"));
    json_object_set_new(job, "tokenize", texts);
}

static size_t count_different(const json_t *answer, const json_t *rows, const char *name)
{
    const json_t *lists = json_object_get(answer, "tokenize");
    size_t different = 0;
    assert_int_equal(json_array_size(lists), json_array_size(rows));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (json_equal(json_array_get(lists, i), json_object_get(row, "ids")))
            continue;
        if (different++ < 3)
            print_message("%s: \"%.60s\" differs\n", name, json_string_value(json_object_get(row, "text")));
    }
    return different;
}

/* ---- all jobs, and what came of them ---- */

static const struct {
    const char *model, *file;
    int32_t start; /* BOS */
} trained[] = {{"runs/default/stage2/model", "default.gguf", 0},
               {"runs/ternary/stage2/model", "ternary.gguf", 1},
               {"runs/stories/stage2/model", "stories.gguf", 1},
               {"runs/float/stage0/model", "float.gguf", 1}};

/* Types that quantise activations otherwise than training did, or not at all. */
static const struct {
    const char *name;
    bool int8, old; /* what to compare with; every release knows it */
} types[] = {{"tq2_0", true, true}, {"tq1_0", true, true}, {"q8_0", true, true}, {"f16", false, true},
             {"bf16", false, true}, {"q2_0", true, false}, {"i2_s", true, false}};

/* Every model in every type that its weights and rows allow; f32 was asked for tokens. */
static const struct measured {
    const char *name, *model, *types; /* NULL: all */
    bool stories;                     /* of the grammar, and not of the shard */
} measured[] = {{"default", "runs/default/stage2/model", NULL, true},
                {"ternary", "runs/ternary/stage2/model", NULL, false},
                {"stories", "runs/stories/stage2/model", "f16 bf16", false}, /* rows of 64 and 172 */
                {"float", "runs/float/stage0/model", "q8_0 f16 bf16", false},
                {"qwen2", "qwen2-ternary", NULL, false},
                {"qwen3", "qwen3", NULL, false},
                {"llama3", "llama3", NULL, false},
                {"llama_biases", "llama_biases", NULL, false},
                {"llama_linear", "llama_linear", "q8_0 f16 bf16", false}, /* not ternary */
                {"mistral", "mistral", NULL, false}};

/* Texts that no model has seen. */
static int32_t stories_text[LOSS_TOKENS], shard_text[LOSS_TOKENS];

static const int32_t *text_of(const struct measured *m)
{
    return m->stories ? stories_text : shard_text;
}

static bool has_type(const struct measured *m, size_t type)
{
    return !m->types || strstr(m->types, types[type].name);
}

static const char *file_of(const struct measured *m, size_t type)
{
    return test_format("%s-%s.gguf", m->name, types[type].name);
}

/* Golden files that llama.cpp's own tests are made of, and one of Hugging Face's tokens. */
static const struct {
    const char *family, *file, *golden, *rest;
    size_t allowed;
} families[] = {
    {"gpt2", "gpt2.gguf", "golden-llamacpp.jsonl", "\"eos_token_id\": 50256", 0},
    {"llama2", "llama2.gguf", "golden-llamacpp.jsonl", "\"bos_token_id\": 1, \"eos_token_id\": 2", 0},
    {"llama3", "llama3.gguf", "golden-llamacpp.jsonl", "\"bos_token_id\": 128000, \"eos_token_id\": 128001", 0},
    {"qwen3", "qwen3-text.gguf", "golden-llamacpp.jsonl", "\"eos_token_id\": 151643", 0},
    /* one row spells a special token, which the client is told to take for text */
    {"smollm2", "smollm2.gguf", "golden-hf.jsonl", "\"bos_token_id\": 0, \"eos_token_id\": 0", 1},
    /* the project's own, against what it makes of those texts itself */
    {"own", "own.gguf", NULL, "\"bos_token_id\": 0, \"eos_token_id\": 1", 0},
};

static struct clients world;

static bool has_clients(void)
{
    const char *modules = world.node_modules;
    return modules && bt_file_exists(test_format("%s/node-llama-cpp", modules)) &&
           bt_file_exists(test_format("%s/@huggingface/gguf", modules));
}

static void ask_for_tokens(struct clients *c)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(trained); i++)
        add_greedy(add_export(c, trained[i].model, trained[i].file, "f32", "f32"), trained[i].start);
    for (size_t i = 0; i < BT_ARRAY_LEN(plain); i++)
        add_greedy(add_export(c, plain[i].name, plain[i].file, "f32", "f32"), 1);
}

static void read_shard(int32_t *to)
{
    struct bt_shard shard = {0};
    struct bt_diag diag = {""};
    const char *path = test_shared("data/shards/tinystories-stories260K-valid.bin");
    TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
    bt_shard_read(&shard, 0, LOSS_TOKENS, to);
    bt_shard_close(&shard);
}

static void ask_for_losses(struct clients *c)
{
    for (size_t m = 0; m < BT_ARRAY_LEN(measured); m++)
        for (size_t i = 0; i < BT_ARRAY_LEN(types); i++)
            if (has_type(&measured[m], i))
                add_loss(add_export(c, measured[m].model, file_of(&measured[m], i), types[i].name, "f16"),
                         text_of(&measured[m]));
}

static void make_models(const struct clients *c)
{
    struct bt_diag diag = {""};
    struct bt_grammar *grammar = NULL;
    TEST_OK(bt_grammar_read(BT_SOURCE_DIR "/data/stories.grammar", &grammar, &diag), diag);
    make_default(c, grammar);
    read_stories(grammar, stories_text);
    bt_grammar_destroy(grammar);
    make_bitnet(c);
    read_shard(shard_text);
    make_stories(c);
    make_qwen2(c);
    for (size_t i = 0; i < BT_ARRAY_LEN(plain); i++)
        make_plain(c, &plain[i]);
}

/* The texts of another family's rows, with the ids of our own tokenizer. */
static json_t *own_rows(void)
{
    struct own_encoder own;
    json_t *rows = read_rows(test_shared("data/tokenizers/smollm2/golden-hf.jsonl"));
    own_encoder_open(&own);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i), *list = json_array();
        const json_t *text = json_object_get(row, "text");
        struct bt_ids ids = {0};
        own_encode(&own, json_string_value(text), json_string_length(text), &ids);
        for (size_t k = 0; k < ids.count; k++)
            json_array_append_new(list, json_integer(ids.at[k]));
        json_object_set_new(row, "ids", list);
        bt_ids_finish(&ids);
    }
    own_encoder_close(&own);
    return rows;
}

static json_t *golden_rows(size_t family)
{
    if (!families[family].golden)
        return own_rows();
    return read_rows(
        test_shared(test_format("data/tokenizers/%s/%s", families[family].family, families[family].golden)));
}

static void ask_for_texts(struct clients *c)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(families); i++) {
        json_t *rows = golden_rows(i);
        char *folder = strdup(test_format("%s-text", families[i].family));
        make_vocabulary(c, families[i].family, folder, families[i].rest);
        add_texts(add_export(c, folder, families[i].file, NULL, NULL), rows);
        free(folder);
        json_decref(rows);
    }
}

/* Skips without clients; else everything was asked for once the first test wants to know. */
static struct clients *asked(void)
{
    if (!has_clients()) {
        print_message("skipped: node-llama-cpp and @huggingface/gguf are not in $BT_NODE_MODULES\n");
        skip();
    }
    if (!world.answers) {
        test_shared("data");
        make_models(&world);
        ask_for_tokens(&world);
        ask_for_losses(&world);
        ask_for_texts(&world);
        run_clients(&world);
    }
    return &world;
}

/* ---- tests ---- */

/* The parser sees what was written. */
static void check_parse(const struct clients *c, const char *file)
{
    struct bt_gguf *gguf = NULL;
    struct bt_diag diag = {""};
    const json_t *list = json_object_get(json_object_get(answer_for(c, file), "parse"), "tensors");
    TEST_OK(bt_gguf_open(in_world(c, file), &gguf, &diag), diag);
    assert_int_equal(json_array_size(list), bt_gguf_tensor_count(gguf));
    for (size_t i = 0; i < bt_gguf_tensor_count(gguf); i++) {
        const struct bt_gguf_tensor *t = bt_gguf_tensor_at(gguf, i);
        const json_t *found = json_array_get(list, i), *shape = json_object_get(found, "shape");
        assert_string_equal(json_string_value(json_object_get(found, "name")), t->name);
        assert_int_equal(json_integer_value(json_object_get(found, "type")), t->type->type);
        assert_int_equal(json_integer_value(json_array_get(shape, 0)), t->size[0]);
    }
    bt_gguf_close(gguf);
}

static void every_file_is_parsed(void **state)
{
    (void)state;
    const struct clients *c = asked();
    for (size_t i = 0; i < json_array_size(c->jobs); i++)
        check_parse(c, json_string_value(json_object_get(json_array_get(c->jobs, i), "name")));
}

static void check_model(const struct clients *c, const char *model, const char *file)
{
    char *path = strdup(in_world(c, model));
    const size_t differ = check_greedy(file, path, json_object_get(good_answer(c, file), "greedy"), 512);
    print_message("%s: %d tokens, %zu of them ties that fell otherwise\n", file, (int)GREEDY, differ);
    free(path);
}

static void llama_cpp_computes_what_we_compute(void **state)
{
    (void)state;
    const struct clients *c = asked();
    for (size_t i = 0; i < BT_ARRAY_LEN(trained); i++)
        check_model(c, trained[i].model, trained[i].file);
    for (size_t i = 0; i < BT_ARRAY_LEN(plain); i++)
        check_model(c, plain[i].name, plain[i].file);
}

static void check_perplexity(const struct clients *c, const struct measured *m, size_t type)
{
    const char *error = error_for(c, file_of(m, type));
    if (error && !types[type].old) {
        print_message("%s: this release of llama.cpp does not know it: %s\n", types[type].name, error);
        return;
    }
    char *model = strdup(in_world(c, m->model));
    const double theirs = exp(json_number_value(json_object_get(good_answer(c, file_of(m, type)), "loss")));
    const double ours = exp(our_loss(model, types[type].int8, text_of(m), LOSS_TOKENS, 512));
    print_message("%s, %s: perplexity %.3f by llama.cpp, %.3f by us\n", m->name, types[type].name, theirs, ours);
    assert_true(fabs(theirs - ours) <= 0.01 * ours);
    free(model);
}

static void perplexity_is_that_of_training(void **state)
{
    (void)state;
    const struct clients *c = asked();
    for (size_t m = 0; m < BT_ARRAY_LEN(measured); m++)
        for (size_t i = 0; i < BT_ARRAY_LEN(types); i++)
            if (has_type(&measured[m], i)) {
                check_perplexity(c, &measured[m], i);
                if (!strcmp(types[i].name, "i2_s")) /* bitnet.cpp's alone */
                    assert_non_null(error_for(c, file_of(&measured[m], i)));
            }
}

static void llama_cpp_cuts_texts_alike(void **state)
{
    (void)state;
    const struct clients *c = asked();
    for (size_t i = 0; i < BT_ARRAY_LEN(families); i++) {
        json_t *rows = golden_rows(i);
        const size_t different = count_different(good_answer(c, families[i].file), rows, families[i].family);
        print_message("%s: %zu texts, %zu differ\n", families[i].family, json_array_size(rows), different);
        assert_true(different <= families[i].allowed);
        json_decref(rows);
    }
}

static int setup(void **state)
{
    const char *modules = getenv("BT_NODE_MODULES");
    (void)state;
    world.dir = test_make_dir();
    world.jobs = json_array();
    world.node_modules = modules ? strdup(modules) : NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(world.jobs);
    json_decref(world.answers);
    test_remove_dir(world.dir);
    free(world.node_modules);
    return 0;
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 3);
    client = argv[1];
    train = realpath(argv[2], NULL); /* it is started from another folder */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_cpp_computes_what_we_compute),
        cmocka_unit_test(perplexity_is_that_of_training),
        cmocka_unit_test(llama_cpp_cuts_texts_alike),
        cmocka_unit_test(every_file_is_parsed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
