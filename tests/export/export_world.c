#include "export_world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "train/checksums.h"

#define SIZES                                                                                                          \
    "\"vocab_size\": 37, \"hidden_size\": 16, \"intermediate_size\": 24, \"num_hidden_layers\": 2,"                    \
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 64,"                        \
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"bos_token_id\": 1, \"eos_token_id\": 2}"

const struct export_case export_cases[] = {
    {"bitnet", "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, ", true},
    {"relu2", "{\"model_type\": \"bitnet\", \"tie_word_embeddings\": true, ", true},
    {"untied", "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", ", true},
    {"llama3",
     "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"rope_scaling\":"
     " {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
     " \"original_max_position_embeddings\": 32}, ",
     true},
    {"bitnet_qwen2", "{\"model_type\": \"bitnet_qwen2\", \"tie_word_embeddings\": true, ", true},
    {"bitnet_qwen3", "{\"model_type\": \"bitnet_qwen3\", \"head_dim\": 16, \"tie_word_embeddings\": true, ", true},
    {"bitnet_mistral", "{\"model_type\": \"bitnet_mistral\", \"sliding_window\": 5, ", true},
    {"bitnet_biases", "{\"model_type\": \"bitnet_llama\", \"attention_bias\": true, \"mlp_bias\": true, ", true},
    {"bitnet_head_dim",
     "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"head_dim\": 6, ", true},
    {"llama", "{\"model_type\": \"llama\", \"tie_word_embeddings\": true, ", false},
    {"llama_biases", "{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, ", false},
    {"llama_relu2", "{\"model_type\": \"llama\", \"hidden_act\": \"relu2\", ", false},
    {"qwen2", "{\"model_type\": \"qwen2\", \"tie_word_embeddings\": true, ", false},
    {"qwen3", "{\"model_type\": \"qwen3\", \"head_dim\": 16, \"tie_word_embeddings\": true, ", false},
    {"mistral", "{\"model_type\": \"mistral\", \"sliding_window\": 5, ", false},
    {"mistral_full", "{\"model_type\": \"mistral\", \"sliding_window\": null, ", false},
};
const size_t export_case_count = BT_ARRAY_LEN(export_cases);

const struct export_case *export_case(const char *name)
{
    for (size_t i = 0; i < export_case_count; i++)
        if (!strcmp(export_cases[i].name, name))
            return &export_cases[i];
    fail_msg("no case %s", name);
    return NULL;
}

int export_world_setup(void **state)
{
    struct export_world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    /* In memory where there is such a place: these tests sync thousands of files, and a disk takes 10 ms for each. */
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    world->dir = test_make_dir();
    world->model = strdup(test_format("%s/model", world->dir));
    world->out = strdup(test_format("%s/out", world->dir));
    world->again = strdup(test_format("%s/again", world->dir));
    *state = world;
    return 0;
}

int export_world_teardown(void **state)
{
    struct export_world *world = *state;
    test_remove_dir(world->dir);
    free((char *)world->model);
    free((char *)world->out);
    free((char *)world->again);
    free(world);
    return 0;
}

static void make_empty(const char *folder)
{
    struct bt_diag diag = {0};
    TEST_OK(bt_dir_remove(folder, &diag), diag);
    TEST_OK(bt_dir_make(folder, &diag), diag);
}

void export_world_write_config(const struct export_world *world, const char *text, const struct bt_hf_marks *marks)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    const char *path = test_format("%s/config.json", world->model);
    make_empty(world->model);
    test_write_file(path, text, strlen(text));
    TEST_OK(bt_model_random(path, 42, &model, &diag), diag);
    for (size_t i = 0; i < model->params.count; i++) {
        const struct bt_param *p = &model->params.list[i];
        for (size_t j = 0; p->rank == 1 && j < p->count; j++)
            model->weights[p->offset + j] += 0.001f * (float)(i * 100 + 7 * j + 1);
    }
    TEST_OK(bt_model_write(world->model, model->config, &model->params, model->weights, marks, NULL, NULL, &diag),
            diag);
    bt_model_unload(model);
}

static void check_sub_norm(const struct export_world *world, const struct export_case *c)
{
    struct bt_loaded_model *model = export_world_load(world->model);
    assert_int_equal(model->shape.sub_norm, c->sub_norm);
    bt_model_unload(model);
}

void export_world_write_marked(const struct export_world *world, const struct export_case *c,
                               const struct bt_hf_marks *marks)
{
    export_world_write_config(world, test_format("%s%s", c->head, SIZES), marks);
    check_sub_norm(world, c);
}

void export_world_write_ternary(const struct export_world *world, const char *text, const char *exclude)
{
    char *globs[] = {(char *)(uintptr_t)exclude};
    const struct bt_hf_marks marks = {.present = true,
                                      .ternary = true,
                                      .int8 = true,
                                      .exclude_layers = globs,
                                      .exclude_count = exclude != NULL,
                                      .lambda = 1.0};
    export_world_write_config(world, text, &marks);
}

void export_world_write(const struct export_world *world, const struct export_case *c, const char *exclude)
{
    export_world_write_ternary(world, test_format("%s%s", c->head, SIZES), exclude);
    check_sub_norm(world, c);
}

struct bt_export_model *export_world_open(const char *path)
{
    struct bt_diag diag = {0};
    struct bt_export_model *model = NULL;
    TEST_OK(bt_export_open(path, &model, &diag), diag);
    return model;
}

enum bt_err export_world_try(const char *from, const char *to, const struct bt_hf_options *options,
                             struct bt_diag *diag)
{
    struct bt_export_report report;
    struct bt_export_model *model = export_world_open(from);
    make_empty(to);
    const enum bt_err err = bt_export_hf(model, options, to, &report, diag);
    if (!err && options->verify) {
        assert_int_equal(report.verified_tensors, model->source->params.count);
        assert_int_equal(report.verified_positions, 48);
        assert_true(report.logit_difference == 0.0);
    }
    bt_export_close(model);
    return err;
}

void export_world_export(const char *from, const char *to, const struct bt_hf_options *options)
{
    struct bt_diag diag = {0};
    TEST_OK(export_world_try(from, to, options, &diag), diag);
}

struct bt_loaded_model *export_world_load(const char *folder)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    TEST_OK(bt_model_load(folder, &model, &diag), diag);
    return model;
}

void export_world_refused(const char *folder, const char *a, const char *b)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    const long live = bt_alloc_live();
    const enum bt_err err = bt_model_load(folder, &model, &diag);
    if (err != BT_EINPUT || !strstr(diag.text, a) || !strstr(diag.text, b))
        fail_msg("error %d, \"%s\", in place of an input error that says \"%s\" and \"%s\"", (int)err, diag.text, a, b);
    assert_int_equal(bt_alloc_live(), live);
}

void tensor_list_read(struct tensor_list *tensors, const char *folder)
{
    struct bt_diag diag = {0};
    struct bt_safetensors *file = NULL;
    TEST_OK(bt_safetensors_open_model(folder, &file, &diag), diag);
    tensors->count = 0;
    for (size_t i = 0; i < bt_safetensors_count(file); i++) {
        const struct bt_tensor_view *view = bt_safetensors_at(file, i);
        tensor_list_add(tensors, view->name, view->dtype, view->rank, view->shape[0], view->shape[1], view->data);
    }
    bt_safetensors_close(file);
}

void tensor_list_write(const struct tensor_list *tensors, const char *folder)
{
    struct bt_diag diag = {0};
    const char *path = test_format("%s/model.safetensors", folder);
    TEST_OK(bt_safetensors_write(path, tensors->list, tensors->count, NULL, &diag), diag);
}

static void free_tensor(struct bt_tensor_source *tensor)
{
    free((void *)tensor->name);
    free((void *)tensor->data);
}

void tensor_list_free(struct tensor_list *tensors)
{
    for (size_t i = 0; i < tensors->count; i++)
        free_tensor(&tensors->list[i]);
    tensors->count = 0;
}

struct bt_tensor_source *tensor_list_find(struct tensor_list *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->count; i++)
        if (!strcmp(tensors->list[i].name, name))
            return &tensors->list[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

void tensor_list_drop(struct tensor_list *tensors, const char *name)
{
    struct bt_tensor_source *tensor = tensor_list_find(tensors, name);
    free_tensor(tensor);
    *tensor = tensors->list[--tensors->count];
}

void tensor_list_add(struct tensor_list *tensors, const char *name, enum bt_dtype dtype, size_t rank, uint64_t rows,
                     uint64_t cols, const void *data)
{
    const size_t bytes = (rank > 0 ? rows : 1) * (rank > 1 ? cols : 1) * bt_dtype_bits(dtype) / 8;
    void *copy = malloc(bytes ? bytes : 1);
    assert_true(copy && tensors->count < BT_ARRAY_LEN(tensors->list));
    memcpy(copy, data, bytes);
    tensors->list[tensors->count++] = (struct bt_tensor_source){strdup(name), dtype, rank, {rows, cols}, copy};
}

void tensor_list_rename(struct tensor_list *tensors, const char *from, const char *to)
{
    struct bt_tensor_source *tensor = tensor_list_find(tensors, from);
    free((void *)tensor->name);
    tensor->name = strdup(to);
}

void export_world_edit_config(const char *folder, const char *from, const char *to)
{
    const char *path = test_format("%s/config.json", folder);
    char *text = (char *)test_read_file(path, NULL), *at = strstr(text, from);
    if (!at)
        fail_msg("no %s in %s", from, text);
    const char *rest = at + strlen(from);
    const size_t before = (size_t)(at - text), inserted = strlen(to), size = before + inserted + strlen(rest);
    char *edited = malloc(size + 1);
    assert_non_null(edited);
    memcpy(edited, text, before);
    memcpy(edited + before, to, inserted);
    memcpy(edited + before + inserted, rest, size - before - inserted + 1);
    test_write_file(path, edited, size);
    unlink(test_format("%s/" BT_CHECKSUMS_FILE, folder)); /* changed on purpose */
    free(edited);
    free(text);
}
