/* GGUF files of models: every architecture and type written, read back and written again; what cannot be held; damage.
 */
#include "export_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "export/gguf.h"
#include "export/matrix.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/seal.h"
#include "kernels/quantize.h"

/* Rows of 256 and 512, so that every type fits. */
#define WIDE                                                                                                           \
    "\"vocab_size\": 37, \"hidden_size\": 256, \"intermediate_size\": 256, \"num_hidden_layers\": 1,"                  \
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 64,"                        \
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"bos_token_id\": 1, \"eos_token_id\": 2}"
static const char wide[] =
    "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, " WIDE;
static const char wide_llama3[] =
    "{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, \"_name_or_path\": \"a/tiny\","
    " \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\":"
    " 4.0, \"original_max_position_embeddings\": 32}, " WIDE;

static enum bt_err export_to(const char *from, const char *to, const struct bt_gguf_options *options,
                             struct bt_export_report *report, struct bt_diag *diag)
{
    struct bt_export_model *model = export_world_open(from);
    const enum bt_err err = bt_export_gguf(model, options, to, report, diag);
    bt_export_close(model);
    return err;
}

static void must_export(const char *from, const char *to, const char *type, const char *embedding)
{
    const struct bt_gguf_options options = {.type = type, .embedding_type = embedding, .verify = true};
    struct bt_export_report report;
    struct bt_diag diag = {0};
    TEST_OK(export_to(from, to, &options, &report, &diag), diag);
    assert_true(report.verified_tensors > 0 && report.verified_positions == 48);
    if (embedding && !strcmp(embedding, "f32"))
        assert_true(report.logit_difference == 0.0);
}

/* Export, import, export: the same bytes. */
static void export_twice(const struct export_world *world, const char *type, const char *embedding)
{
    const char *one = test_format("%s/one.gguf", world->dir), *two = test_format("%s/two.gguf", world->dir);
    must_export(world->model, one, type, embedding);
    must_export(one, two, type, embedding);
    test_same_bytes(one, two);
}

static void every_type_comes_back(void **state)
{
    static const char *const embeddings[] = {"f32", "f16", "bf16", "q8_0"};
    const struct export_world *world = *state;
    export_world_write_ternary(world, wide, NULL);
    for (size_t t = 0; t < BT_GGUF_TYPE_COUNT; t++)
        export_twice(world, bt_gguf_types[t].name, embeddings[t % 4]);
    export_world_write_ternary(world, wide, "model.layers.0.*");
    export_twice(world, "tq2_0", "f32");
}

/* Embedding and head have types of their own. */
static void embedding_and_head_have_the_types_that_were_asked_for(void **state)
{
    static const char *const embeddings[] = {"f32", "f16", "q8_0"}, *const heads[] = {"q8_0", NULL, "bf16"};
    const struct export_world *world = *state;
    const char *one = test_format("%s/one.gguf", world->dir), *two = test_format("%s/two.gguf", world->dir);
    export_world_write_ternary(world, wide_llama3, NULL);
    for (size_t i = 0; i < BT_ARRAY_LEN(heads); i++) {
        const struct bt_gguf_options options = {
            .type = "tq2_0", .embedding_type = embeddings[i], .head_type = heads[i], .verify = true};
        struct bt_export_report report;
        struct bt_diag diag = {0};
        struct bt_gguf *file = NULL;
        TEST_OK(export_to(world->model, one, &options, &report, &diag), diag);
        TEST_OK(export_to(one, two, &options, &report, &diag), diag);
        test_same_bytes(one, two);
        TEST_OK(bt_gguf_open(one, &file, &diag), diag);
        assert_string_equal(bt_gguf_tensor_find(file, "token_embd.weight")->type->name, embeddings[i]);
        assert_string_equal(bt_gguf_tensor_find(file, "output.weight")->type->name, heads[i] ? heads[i] : "f16");
        assert_string_equal(bt_gguf_tensor_find(file, "blk.0.attn_v.weight")->type->name, "tq2_0");
        bt_gguf_close(file);
    }
}

static void every_architecture_comes_back(void **state)
{
    static const char *const cases[] = {"bitnet", "llama", "llama_biases", "qwen2", "qwen3", "mistral_full"};
    const struct export_world *world = *state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        export_world_write(world, export_case(cases[i]), NULL);
        export_twice(world, "f16", "f32");
        export_twice(world, NULL, NULL);
    }
    export_world_write_ternary(world, wide_llama3, NULL);
    export_twice(world, "tq1_0", "f32");
    export_twice(world, "i2_s", "f32");
}

/* A float model has no ternary tensors, and its own numbers come back. */
static void float_models_come_back(void **state)
{
    const struct export_world *world = *state;
    const struct bt_hf_marks none = {0};
    const char *path = test_format("%s/one.gguf", world->dir);
    export_world_write_marked(world, export_case("llama_biases"), &none);
    export_twice(world, "f32", "f32");
    struct bt_loaded_model *want = export_world_load(world->model), *got = export_world_load(path);
    assert_int_equal(got->params.total, want->params.total);
    assert_memory_equal(got->weights, want->weights, want->params.total * sizeof *want->weights);
    assert_false(bt_is_bitnet_model(got));
    bt_model_unload(want);
    bt_model_unload(got);
}

/* The architecture "llama" turns neighbours, not halves: its q and k lie in another order, the others' do not. */
static void q_and_k_of_llama_are_interleaved(void **state)
{
    const struct export_world *world = *state;
    const struct bt_hf_marks none = {0};
    const char *path = test_format("%s/one.gguf", world->dir);
    static const char *const names[] = {"llama_biases", "qwen2"};
    for (size_t i = 0; i < 2; i++) {
        struct bt_gguf *file = NULL;
        struct bt_diag diag = {0};
        export_world_write_marked(world, export_case(names[i]), &none);
        must_export(world->model, path, "f32", "f32");
        struct bt_loaded_model *model = export_world_load(world->model);
        const float *q = model->weights + bt_params_get(&model->params, BT_P_Q, 0)->offset;
        const float *bias = model->weights + bt_params_get(&model->params, BT_P_Q_BIAS, 0)->offset;
        TEST_OK(bt_gguf_open(path, &file, &diag), diag);
        const struct bt_gguf_tensor *t = bt_gguf_tensor_find(file, "blk.0.attn_q.weight");
        const struct bt_gguf_tensor *b = bt_gguf_tensor_find(file, "blk.0.attn_q.bias");
        const size_t second = i == 0 ? 2 : 1; /* heads of 4: rows 0, 2, 1, 3 */
        assert_memory_equal(t->data + 16 * sizeof *q, q + 16 * second, 16 * sizeof *q);
        assert_memory_equal(b->data + sizeof *bias, bias + second, sizeof *bias);
        bt_gguf_close(file);
        bt_model_unload(model);
    }
}

/* Codes and the scale that was rounded once: the same in the file as in the frozen model, whatever the type. */
static void codes_and_scales_are_the_frozen_ones(void **state)
{
    const struct export_world *world = *state;
    const char *path = test_format("%s/one.gguf", world->dir);
    export_world_write_ternary(world, wide, NULL);
    struct bt_export_model *model = export_world_open(world->model);
    for (size_t t = 0; t < BT_GGUF_TYPE_COUNT; t++) {
        must_export(world->model, path, bt_gguf_types[t].name, "f16");
        struct bt_export_model *again = export_world_open(path);
        for (size_t i = 0; i < model->source->params.count; i++) {
            const struct bt_frozen *a = &model->tensors[i], *b = &again->tensors[i];
            assert_int_equal(a->codes != NULL, b->codes != NULL);
            assert_true(a->scale == b->scale);
            if (a->codes)
                assert_memory_equal(a->codes, b->codes, a->param->count);
        }
        bt_export_close(again);
    }
    bt_export_close(model);
}

static void refused(const struct export_world *world, const struct bt_gguf_options *options, const char *sentence)
{
    struct bt_export_report report;
    struct bt_diag diag = {0};
    const enum bt_err err = export_to(world->model, test_format("%s/no.gguf", world->dir), options, &report, &diag);
    if (err != BT_EUSAGE || !strstr(diag.text, sentence))
        fail_msg("error %d: \"%s\" in place of \"%s\"", (int)err, diag.text, sentence);
}

static void what_no_graph_computes_is_refused(void **state)
{
    static const struct {
        const char *name, *sentence;
    } cases[] = {{"relu2", "ReLU squared"},
                 {"untied", "output head of its own"},
                 {"llama3", "no llama3 RoPE"},
                 {"bitnet_qwen2", "no biases"},
                 {"bitnet_qwen3", "no norms of q"},
                 {"bitnet_mistral", "window"},
                 {"bitnet_head_dim", "heads * head_dim"},
                 {"llama_relu2", "ReLU squared"},
                 {"mistral", "sliding window"}};
    const struct export_world *world = *state;
    const struct bt_gguf_options options = {.type = NULL};
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        export_world_write(world, export_case(cases[i].name), NULL);
        refused(world, &options, cases[i].sentence);
    }
}

static void types_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        struct bt_gguf_options options;
        const char *sentence;
    } cases[] = {
        {{.type = "tq2_0"},
         "--type tq2_0 has blocks of 256, and the rows of \"model.layers.0.self_attn.q_proj.weight\" "
         "are 16 long; the smallest type that fits and that all releases of llama.cpp know is f16"},
        {{.type = "q4_0"}, "--type: there is no type \"q4_0\""},
        {{.embedding_type = "tq1_0"}, "--embedding-type tq1_0: it is not ternary"},
        {{.embedding_type = "q8_0"}, "--embedding-type q8_0 has blocks of 32, and hidden_size is 16; f16 fits"},
        {{.head_type = "f16"}, "the head of this model is its embedding"},
    };
    const struct export_world *world = *state;
    const struct bt_hf_marks none = {0};
    export_world_write(world, export_case("bitnet"), NULL);
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        refused(world, &cases[i].options, cases[i].sentence);
    export_world_write_marked(world, export_case("qwen2"), &none);
    refused(world, &(struct bt_gguf_options){.type = "tq2_0"}, "--type tq2_0 holds ternary weights");
}

/* ---- damage ---- */

/* Loads a damaged file: an input error that names it, or a model. */
static bool load_damaged(const char *path)
{
    struct bt_loaded_model *model = NULL;
    struct bt_diag diag = {0};
    const long live = bt_alloc_live();
    const enum bt_err err = bt_model_load(path, &model, &diag);
    if (err && (err != BT_EINPUT || !strstr(diag.text, path)))
        fail_msg("error %d: %s", (int)err, diag.text);
    bt_model_unload(model);
    assert_int_equal(bt_alloc_live(), live);
    return !err;
}

/* Another key in the place of the checksum: a file of another program. */
static void take_checksum_away(unsigned char *file)
{
    memset(file + 32, 'x', sizeof BT_SEAL_NAME - 1);
    memset(file + 32 + sizeof BT_SEAL_NAME + 3, 0, 8);
}

/* Where the tensors of a file begin. */
static size_t data_begin(const unsigned char *whole, size_t size)
{
    struct bt_gguf *file = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_gguf_parse(whole, size, "the file", &file, &diag), diag);
    const size_t begin = (size_t)(bt_gguf_tensor_at(file, 0)->data - whole);
    bt_gguf_close(file);
    return begin;
}

/* Numbers carry no checksum in files of other programs: a damaged one is another model, which is read as it stands
 * there. Written again it gives the damaged bytes, or the whole ones where the damage was in the padding between
 * tensors; what is no number is never written. */
static void check_read_as_it_is(const char *path, const char *again, const unsigned char *damaged,
                                const unsigned char *whole, size_t size)
{
    const struct bt_gguf_options options = {.type = "tq2_0", .embedding_type = "f16"};
    struct bt_export_model *model = NULL;
    struct bt_export_report report;
    struct bt_diag diag = {0};
    size_t found;
    if (bt_export_open(path, &model, &diag)) {
        assert_true(strstr(diag.text, path) && strstr(diag.text, "a finite number was expected"));
        return;
    }
    TEST_OK(bt_export_gguf(model, &options, again, &report, &diag), diag);
    bt_export_close(model);
    unsigned char *bytes = test_read_file(again, &found);
    assert_int_equal(found, size);
    take_checksum_away(bytes);
    if (memcmp(bytes, damaged, size) != 0)
        assert_memory_equal(bytes, whole, size);
    free(bytes);
}

/* Half of the changes in the head, where they mean something. */
static void damaged_files_are_refused_or_read(void **state)
{
    const struct export_world *world = *state;
    char *path = strdup(test_format("%s/one.gguf", world->dir)); /* longer-lived than what test_format gives */
    char *bad = strdup(test_format("%s/bad.gguf", world->dir)), *again = strdup(test_format("%s/two.gguf", world->dir));
    size_t size, read = 0, refusals = 0;
    export_world_write_ternary(world, wide_llama3, NULL);
    must_export(world->model, path, "tq2_0", "f16");
    unsigned char *whole = test_read_file(path, &size), *damaged = test_read_file(path, &size);
    const size_t begin = data_begin(whole, size);
    take_checksum_away(whole);
    take_checksum_away(damaged);
    for (uint64_t round = 0; round < 1000; round++) {
        const uint64_t key = bt_rng_key(34, test_format("gguf %d", (int)round));
        const uint64_t at = bt_rng_below(key, 0, round % 2 ? size : 3000);
        damaged[at] = (unsigned char)(bt_rng_u64(key, 1) % (round % 4 < 2 ? 256 : 40));
        test_write_file(bad, damaged, size);
        const bool loaded = load_damaged(bad);
        if (loaded && at >= begin)
            check_read_as_it_is(bad, again, damaged, whole, size);
        damaged[at] = whole[at];
        if (loaded)
            read++;
        else
            refusals++;
    }
    free(whole);
    free(damaged);
    free(path);
    free(bad);
    free(again);
    assert_true(read > 50 && refusals > 100);
}

static enum bt_err load_it(void *context)
{
    struct bt_loaded_model *model = NULL;
    const enum bt_err err = bt_model_load(context, &model, NULL);
    bt_model_unload(model);
    return err;
}

static enum bt_err export_it(void *context)
{
    const struct export_world *world = context;
    const struct bt_gguf_options options = {.verify = true};
    struct bt_export_model *model = NULL;
    struct bt_export_report report;
    enum bt_err err = bt_export_open(world->model, &model, NULL);
    if (!err)
        err = bt_export_gguf(model, &options, test_format("%s/two.gguf", world->dir), &report, NULL);
    bt_export_close(model);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    struct export_world *world = *state;
    void *path = (void *)(uintptr_t)test_format("%s/one.gguf", world->dir);
    export_world_write(world, export_case("llama"), "model.layers.1.*");
    must_export(world->model, path, NULL, NULL);
    test_every_allocation_fails(load_it, path);
    test_every_allocation_fails(export_it, world);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, export_world_setup, export_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(every_type_comes_back),
        IN_WORLD(embedding_and_head_have_the_types_that_were_asked_for),
        IN_WORLD(every_architecture_comes_back),
        IN_WORLD(float_models_come_back),
        IN_WORLD(q_and_k_of_llama_are_interleaved),
        IN_WORLD(codes_and_scales_are_the_frozen_ones),
        IN_WORLD(what_no_graph_computes_is_refused),
        IN_WORLD(types_that_do_not_fit_are_refused),
        IN_WORLD(damaged_files_are_refused_or_read),
        IN_WORLD(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
