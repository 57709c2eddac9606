#include "checkpoint_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"

static const char config_text[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"vocab_size\": 11, \"hidden_size\": 8,"
    " \"intermediate_size\": 12, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
    " \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05, \"hidden_act\": \"silu\", \"rope_theta\": 10000.0,"
    " \"tie_word_embeddings\": false, \"bos_token_id\": 1, \"eos_token_id\": 2}";

static const struct bt_shape tiny = {
    .vocab = 11,
    .hidden = 8,
    .ffn = 12,
    .layers = 1,
    .heads = 2,
    .kv_heads = 1,
    .head_dim = 4,
    .eps = 1e-5F,
    .sub_norm = true,
    .rope = {.theta = 10000},
};

int world_setup(void **state)
{
    struct bt_diag diag;
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->dir = test_make_dir();
    snprintf(world->folder_text, sizeof world->folder_text, "%s/checkpoints", world->dir);
    snprintf(world->tokenizer, sizeof world->tokenizer, "%s/source", world->dir);
    world->folder = world->folder_text;
    assert_int_equal(mkdir(world->tokenizer, 0777), 0);
    test_write_file(test_format("%s/tokenizer.json", world->tokenizer), "{\"a\": 1}\n", 9);
    world->shape = tiny;
    TEST_OK(bt_params_init(&world->params, &world->shape, &diag), diag);
    TEST_OK(bt_hf_config_parse(config_text, strlen(config_text), "config.json", &world->config, &diag), diag);
    world->marks = (struct bt_hf_marks){.present = true, .ternary = true, .int8 = true, .lambda = 1};
    float **buffers[] = {&world->weights,   &world->m,         &world->v,
                         &world->loaded[0], &world->loaded[1], &world->loaded[2]};
    for (size_t i = 0; i < BT_ARRAY_LEN(buffers); i++)
        assert_non_null(*buffers[i] = calloc(world->params.total, sizeof(float)));
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;
    bt_hf_config_destroy(world->config);
    bt_params_finish(&world->params);
    free(world->weights);
    free(world->m);
    free(world->v);
    for (size_t i = 0; i < BT_ARRAY_LEN(world->loaded); i++)
        free(world->loaded[i]);
    test_remove_dir(world->dir);
    free(world);
    assert_int_equal(bt_alloc_live(), 0);
    return 0;
}

/* Any bits that are a number; the padding between parameters stays zero, as it does in training. */
static void fill_buffer(const struct bt_params *params, float *buffer, uint32_t seed)
{
    for (size_t i = 0; i < params->count; i++) {
        float *at = buffer + params->list[i].offset;
        for (size_t j = 0; j < params->list[i].count; j++) {
            seed = seed * 1664525U + 1013904223U;
            const uint32_t bits = seed & 0xbfffffffU; /* the exponent is never all ones */
            memcpy(&at[j], &bits, sizeof bits);
        }
    }
}

void world_fill(struct world *world, int64_t step, unsigned variant)
{
    const uint32_t seed = (uint32_t)step * 16 + variant;
    fill_buffer(&world->params, world->weights, 3 * seed);
    fill_buffer(&world->params, world->m, 3 * seed + 1);
    fill_buffer(&world->params, world->v, 3 * seed + 2);
    world->state = (struct bt_train_state){
        .step = step,
        .applied = step - 1,
        .skipped = 1,
        .row = UINT64_MAX - seed,
        .tokens = UINT64_C(0x8000000000000000) + seed,
        .labels = seed,
        .elapsed_s = 0.1 + 0.2 * seed,
        .data_wait_s = 0.01 * seed,
        .best_loss = NAN,
        .last_loss = 1.0 / 3 + seed,
        .last_eval_loss = 5e-324,
        .first_eval_loss = NAN,
        .metrics_bytes = 1000 + variant,
        .matmul = "int8",
        .kernels = "avx2",
    };
    world->files[0] = (struct bt_data_file){.path = (char *)(uintptr_t) "data/a 100%.bin", .size = 1 + seed, .hash = 7};
    world->files[1] = (struct bt_data_file){
        .path = (char *)(uintptr_t) "data/\xc3\xa9\xff.bin", .size = UINT64_MAX, .hash = UINT64_MAX - 1};
}

enum bt_err world_save(struct world *world, struct bt_diag *diag)
{
    const struct bt_checkpoint_source source = {
        .config = world->config,
        .params = &world->params,
        .marks = &world->marks,
        .optimizer = &world->optimizer,
        .weights = world->weights,
        .m = world->m,
        .v = world->v,
        .state = &world->state,
        .files = world->files,
        .file_count = BT_ARRAY_LEN(world->files),
        .tokenizer_source = world->tokenizer,
    };
    return bt_checkpoint_save(world->folder, &source, diag);
}

void world_fill_and_save(struct world *world, int64_t step, unsigned variant)
{
    struct bt_diag diag;
    world_fill(world, step, variant);
    TEST_OK(world_save(world, &diag), diag);
}

static bool same_real(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static bool same_state(const struct bt_train_state *a, const struct bt_train_state *b)
{
    return a->step == b->step && a->applied == b->applied && a->skipped == b->skipped &&
           a->skipped_in_a_row == b->skipped_in_a_row && a->row == b->row && a->tokens == b->tokens &&
           a->labels == b->labels && same_real(a->elapsed_s, b->elapsed_s) &&
           same_real(a->data_wait_s, b->data_wait_s) && same_real(a->best_loss, b->best_loss) &&
           a->best_step == b->best_step && same_real(a->last_loss, b->last_loss) &&
           same_real(a->last_eval_loss, b->last_eval_loss) && a->last_eval_step == b->last_eval_step &&
           same_real(a->first_eval_loss, b->first_eval_loss) && a->metrics_bytes == b->metrics_bytes &&
           !strcmp(a->matmul, b->matmul) && !strcmp(a->kernels, b->kernels);
}

static bool same_files(const struct bt_data_file *a, size_t count, const struct bt_data_file *b, size_t b_count)
{
    bool same = count == b_count;
    for (size_t i = 0; same && i < count; i++)
        same = !strcmp(a[i].path, b[i].path) && a[i].size == b[i].size && a[i].hash == b[i].hash;
    return same;
}

bool world_is(struct world *world, const char *path, int64_t step, unsigned variant)
{
    struct bt_diag diag = {0};
    struct bt_train_state state;
    struct bt_data_file *files;
    size_t count;
    const size_t bytes = world->params.total * sizeof(float);
    for (size_t i = 0; i < BT_ARRAY_LEN(world->loaded); i++)
        memset(world->loaded[i], 0x55, bytes);
    TEST_OK(bt_checkpoint_load(path, &world->params, &world->optimizer, world->loaded[0], world->loaded[1],
                               world->loaded[2], &state, &files, &count, &diag),
            diag);
    world_fill(world, step, variant);
    const bool same = same_state(&state, &world->state) &&
                      same_files(files, count, world->files, BT_ARRAY_LEN(world->files)) &&
                      !memcmp(world->loaded[0], world->weights, bytes) && !memcmp(world->loaded[1], world->m, bytes) &&
                      !memcmp(world->loaded[2], world->v, bytes);
    bt_data_files_free(files, count);
    return same;
}

void world_expect(struct world *world, const char *path, int64_t step, unsigned variant)
{
    assert_non_null(path);
    if (!world_is(world, path, step, variant))
        fail_msg("%s is not what was saved at step %lld, variant %u", path, (long long)step, variant);
}

const char *world_newest(struct world *world, const char **ret_damaged)
{
    struct bt_diag diag = {0};
    bool any = false;
    char *path = NULL, *damaged = NULL;
    TEST_OK(bt_checkpoint_newest(world->folder, &path, &any, &damaged, &diag), diag);
    const char *result = path ? test_format("%s", path) : NULL;
    if (ret_damaged)
        *ret_damaged = damaged ? test_format("%s", damaged) : NULL;
    assert_true(any || (!path && !damaged));
    bt_free(path);
    bt_free(damaged);
    return result;
}

const char *world_names(struct world *world)
{
    struct bt_diag diag = {0};
    char **names;
    size_t count;
    const char *text = "";
    TEST_OK(bt_dir_list(world->folder, &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++)
        text = test_format("%s%s%s", text, i ? " " : "", names[i]);
    bt_names_free(names, count);
    return text;
}
