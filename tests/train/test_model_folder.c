#include "support.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/half.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "train/model_folder.h"

/* Keys that all tiny configs share; a test puts its own in front. */
#define SIZES                                                                                                          \
    "\"vocab_size\": 11, \"hidden_size\": 8, \"intermediate_size\": 12, \"num_hidden_layers\": 2,"                     \
    " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"max_position_embeddings\": 64,"                        \
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"bos_token_id\": 1, \"eos_token_id\": 2}"

static const char llama[] = "{\"model_type\": \"llama\", \"tie_word_embeddings\": false, " SIZES;
static const char tied_llama[] = "{\"model_type\": \"llama\", \"tie_word_embeddings\": true, " SIZES;
static const char bitnet[] = "{\"model_type\": \"bitnet\", \"tie_word_embeddings\": true, " SIZES;

/* A folder, or a few, for one test. */
struct folders {
    char *dir;
    const char *a, *b; /* two folders in it */
};

static int folders_setup(void **state)
{
    struct folders *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = test_make_dir();
    f->a = strdup(test_format("%s/a", f->dir));
    f->b = strdup(test_format("%s/b", f->dir));
    assert_int_equal(mkdir(f->a, 0777), 0);
    assert_int_equal(mkdir(f->b, 0777), 0);
    *state = f;
    return 0;
}

static int folders_teardown(void **state)
{
    struct folders *f = *state;
    test_remove_dir(f->dir);
    free((char *)f->a);
    free((char *)f->b);
    free(f);
    return 0;
}

static void write_config(const char *folder, const char *text)
{
    test_write_file(test_format("%s/config.json", folder), text, strlen(text));
}

static struct bt_loaded_model *random_model(const char *folder, const char *config)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    write_config(folder, config);
    TEST_OK(bt_model_random(test_format("%s/config.json", folder), 42, &model, &diag), diag);
    for (size_t i = 0; i < model->params.count; i++) { /* gains and biases that can be told apart */
        const struct bt_param *p = &model->params.list[i];
        for (size_t j = 0; p->rank == 1 && j < p->count; j++)
            model->weights[p->offset + j] += 0.001f * (float)(i * 100 + j);
    }
    return model;
}

static struct bt_loaded_model *load(const char *folder)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    TEST_OK(bt_model_load(folder, &model, &diag), diag);
    assert_string_equal(model->path, folder);
    assert_ptr_equal(model->params.shape, &model->shape);
    assert_int_equal((uintptr_t)model->weights % 64, 0);
    return model;
}

static void write_model(const char *folder, const struct bt_loaded_model *model, const struct bt_hf_marks *marks)
{
    struct bt_diag diag = {0};
    TEST_OK(bt_model_write(folder, model->config, &model->params, model->weights, marks, NULL, NULL, &diag), diag);
}

static void check_same_shape(const struct bt_shape *a, const struct bt_shape *b)
{
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_true(a->eps == b->eps);
    assert_int_equal(a->act, b->act);
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->o_bias, b->o_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_int_equal(a->sub_norm, b->sub_norm);
    assert_int_equal(a->window, b->window);
    assert_true(!a->window || a->window_from == b->window_from);
    assert_true(a->rope.theta == b->rope.theta);
    assert_int_equal(a->rope.scaling, b->rope.scaling);
    assert_true(a->rope.factor == b->rope.factor);
    assert_true(a->rope.low_freq_factor == b->rope.low_freq_factor);
    assert_true(a->rope.high_freq_factor == b->rope.high_freq_factor);
    assert_true(a->rope.original_max_position == b->rope.original_max_position);
}

static void check_same_model(const struct bt_loaded_model *a, const struct bt_loaded_model *b)
{
    check_same_shape(&a->shape, &b->shape);
    assert_int_equal(a->params.total, b->params.total);
    assert_memory_equal(a->weights, b->weights, a->params.total * sizeof *a->weights);
}

/* A quantised model without SubLN, or none of it: what a model of this kind is marked with after training. */
static struct bt_hf_marks marks_for(const struct bt_loaded_model *model)
{
    return (struct bt_hf_marks){
        .present = true, .ternary = model->shape.sub_norm, .int8 = model->shape.sub_norm, .lambda = 1.0};
}

static void every_family_loads_again_to_the_same_bits(void **state)
{
    struct folders *f = *state;
    static const struct {
        const char *head;
        size_t tensors; /* of the table */
    } cases[] = {
        {"{\"model_type\": \"llama\", \"tie_word_embeddings\": true, ", 20},
        {"{\"model_type\": \"llama\", \"tie_word_embeddings\": false, ", 21},
        {"{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, ", 35},
        {"{\"model_type\": \"llama\", \"head_dim\": 6, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0,"
         " \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 32}, ",
         21},
        {"{\"model_type\": \"mistral\", \"sliding_window\": 7, ", 21},
        {"{\"model_type\": \"qwen2\", \"tie_word_embeddings\": true, ", 26},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 1, ",
         27},
        {"{\"model_type\": \"qwen3\", \"head_dim\": 16, ", 25},
        {"{\"model_type\": \"bitnet\", \"tie_word_embeddings\": true, ", 24},
        {"{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", ", 25},
        {"{\"model_type\": \"bitnet_qwen2\", ", 31},
        {"{\"model_type\": \"bitnet_qwen3\", \"head_dim\": 16, \"tie_word_embeddings\": true, ", 28},
        {"{\"model_type\": \"bitnet_mistral\", \"sliding_window\": 5, ", 25},
    };
    for (size_t c = 0; c < BT_ARRAY_LEN(cases); c++) {
        struct bt_loaded_model *made = random_model(f->a, test_format("%s%s", cases[c].head, SIZES));
        const struct bt_hf_marks marks = marks_for(made);
        assert_int_equal(made->params.count, cases[c].tensors);
        assert_string_equal(made->path, f->a);
        write_model(f->b, made, &marks);
        struct bt_loaded_model *again = load(f->b);
        check_same_model(made, again);
        assert_int_equal(bt_is_bitnet_model(made), made->shape.sub_norm);
        assert_int_equal(bt_is_bitnet_model(again), made->shape.sub_norm);
        assert_true(again->config->marks.present);
        assert_int_equal(again->config->marks.ternary, made->shape.sub_norm);
        bt_model_unload(made);
        bt_model_unload(again);
    }
}

static void the_shape_says_what_the_config_says(void **state)
{
    struct folders *f = *state;
    struct bt_loaded_model *model = random_model(
        f->a, "{\"model_type\": \"qwen3\", \"head_dim\": 4, \"use_sliding_window\": true, \"sliding_window\": 9,"
              " \"max_window_layers\": 1, \"hidden_act\": \"relu2\", \"attention_bias\": true,"
              " \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}, " SIZES);
    const struct bt_shape want = {.vocab = 11,
                                  .hidden = 8,
                                  .ffn = 12,
                                  .layers = 2,
                                  .heads = 2,
                                  .kv_heads = 1,
                                  .head_dim = 4,
                                  .eps = 1e-5f,
                                  .act = BT_ACT_RELU2,
                                  .qkv_bias = true,
                                  .o_bias = true,
                                  .qk_norm = true,
                                  .rope = {.theta = 10000.0, .scaling = BT_ROPE_SCALING_LINEAR, .factor = 2.5},
                                  .window = 9,
                                  .window_from = 1};
    model->shape.rope.low_freq_factor = model->shape.rope.high_freq_factor = 0.0; /* of llama3 alone */
    model->shape.rope.original_max_position = 0.0;
    check_same_shape(&model->shape, &want);
    bt_model_unload(model);
}

/* The tensors of a model as they would be written, for a test to spoil. */
struct tensors {
    struct bt_tensor_source list[64];
    size_t count;
};

static void tensors_of(struct tensors *tensors, const struct bt_loaded_model *model)
{
    tensors->count = model->params.count;
    assert_true(tensors->count + 2 <= BT_ARRAY_LEN(tensors->list));
    for (size_t i = 0; i < tensors->count; i++) {
        const struct bt_param *p = &model->params.list[i];
        tensors->list[i] = (struct bt_tensor_source){.name = p->name,
                                                     .dtype = BT_DTYPE_F32,
                                                     .rank = p->rank,
                                                     .shape = {p->shape[0], p->shape[1]},
                                                     .data = model->weights + p->offset};
    }
}

static struct bt_tensor_source *tensor(struct tensors *tensors, const char *name)
{
    for (size_t i = 0; i < tensors->count; i++) {
        if (!strcmp(tensors->list[i].name, name))
            return &tensors->list[i];
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void drop_tensor(struct tensors *tensors, const char *name)
{
    *tensor(tensors, name) = tensors->list[tensors->count - 1];
    tensors->count--;
}

static void add_tensor(struct tensors *tensors, struct bt_tensor_source added)
{
    tensors->list[tensors->count++] = added;
}

static void write_tensors(const char *folder, const struct tensors *tensors)
{
    struct bt_diag diag = {0};
    const char *path = test_format("%s/model.safetensors", folder);
    TEST_OK(bt_safetensors_write(path, tensors->list, tensors->count, NULL, &diag), diag);
}

/* Loading must fail as an input error whose sentence holds all the words. */
static void check_refused(const char *folder, const char *a, const char *b, const char *c)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    const long live = bt_alloc_live();
    const enum bt_err err = bt_model_load(folder, &model, &diag);
    if (err != BT_EINPUT)
        fail_msg("error %d in place of an input error that says \"%s\" (%s)", (int)err, a, diag.text);
    assert_null(model);
    assert_int_equal(bt_alloc_live(), live);
    if (!strstr(diag.text, a) || !strstr(diag.text, b) || !strstr(diag.text, c))
        fail_msg("\"%s\" does not say \"%s\", \"%s\" and \"%s\"", diag.text, a, b, c);
}

static void subln_is_there_when_its_tensors_are_whatever_the_class(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    struct bt_loaded_model *model = random_model(f->a, bitnet);
    tensors_of(&tensors, model);
    write_tensors(f->a, &tensors);
    write_config(f->a, "{\"model_type\": \"llama\", \"hidden_act\": \"relu2\", \"tie_word_embeddings\": true, " SIZES);
    struct bt_loaded_model *loaded = load(f->a);
    assert_true(loaded->shape.sub_norm);
    assert_true(bt_is_bitnet_model(loaded));
    check_same_model(model, loaded);
    bt_model_unload(loaded);
    drop_tensor(&tensors, "model.layers.1.mlp.ffn_sub_norm.weight");
    write_tensors(f->a, &tensors);
    check_refused(f->a, "model.layers.1.mlp.ffn_sub_norm.weight", "missing", f->a);
    bt_model_unload(model);
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    const float numbers[8] = {0};
    struct bt_loaded_model *model = random_model(f->a, llama);

    tensors_of(&tensors, model);
    drop_tensor(&tensors, "model.layers.1.self_attn.o_proj.weight");
    write_tensors(f->a, &tensors);
    check_refused(f->a, "model.layers.1.self_attn.o_proj.weight", "missing", f->a);

    tensors_of(&tensors, model);
    add_tensor(&tensors,
               (struct bt_tensor_source){"model.layers.0.self_attn.q_proj.bias", BT_DTYPE_F32, 1, {8}, numbers});
    write_tensors(f->a, &tensors);
    check_refused(f->a, "model.layers.0.self_attn.q_proj.bias", "no place", "model.safetensors");

    tensors_of(&tensors, model);
    tensor(&tensors, "model.layers.0.mlp.up_proj.weight")->shape[0] = 8;
    tensor(&tensors, "model.layers.0.mlp.up_proj.weight")->shape[1] = 12;
    write_tensors(f->a, &tensors);
    check_refused(f->a, "model.layers.0.mlp.up_proj.weight", "[8, 12]", "[12, 8]");

    tensors_of(&tensors, model);
    tensor(&tensors, "model.norm.weight")->rank = 2;
    tensor(&tensors, "model.norm.weight")->shape[1] = 1;
    write_tensors(f->a, &tensors);
    check_refused(f->a, "model.norm.weight", "[8, 1]", "[8]");

    tensors_of(&tensors, model);
    tensor(&tensors, "model.norm.weight")->dtype = BT_DTYPE_I32;
    write_tensors(f->a, &tensors);
    check_refused(f->a, "model.norm.weight", "I32", "model.safetensors");
    bt_model_unload(model);
}

static void left_over_rope_buffers_are_ignored(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    const float numbers[8] = {0};
    struct bt_loaded_model *model = random_model(f->a, llama);
    tensors_of(&tensors, model);
    add_tensor(&tensors, (struct bt_tensor_source){
                             "model.layers.0.self_attn.rotary_emb.inv_freq", BT_DTYPE_F32, 1, {2}, numbers});
    write_tensors(f->a, &tensors);
    struct bt_loaded_model *loaded = load(f->a);
    check_same_model(model, loaded);
    bt_model_unload(loaded);
    bt_model_unload(model);
}

static void more_layers_than_the_weights_can_hold_are_refused(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    struct bt_loaded_model *model = random_model(f->a, llama);
    tensors_of(&tensors, model);
    write_tensors(f->a, &tensors);
    write_config(f->a, "{\"model_type\": \"llama\", \"vocab_size\": 11, \"hidden_size\": 8, \"intermediate_size\": 12,"
                       " \"num_hidden_layers\": 2000000000, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
                       " \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0}");
    check_refused(f->a, "num_hidden_layers", "2000000000", "config.json");
    bt_model_unload(model);
}

static void a_head_in_the_file_of_a_tied_model_must_be_the_embedding(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    float head[11 * 8];
    struct bt_loaded_model *loaded, *model = random_model(f->a, tied_llama);
    tensors_of(&tensors, model);
    memcpy(head, model->weights, sizeof head); /* the embedding is first */
    add_tensor(&tensors, (struct bt_tensor_source){"lm_head.weight", BT_DTYPE_F32, 2, {11, 8}, head});
    write_tensors(f->a, &tensors);
    loaded = load(f->a);
    check_same_model(model, loaded);
    bt_model_unload(loaded);

    head[8 * 7 + 3] += 1.0f;
    write_tensors(f->a, &tensors);
    check_refused(f->a, "lm_head.weight", "differs", "row 7");

    head[8 * 7 + 3] = model->weights[8 * 7 + 3];
    drop_tensor(&tensors, "model.embed_tokens.weight"); /* the head alone is the source of both */
    write_tensors(f->a, &tensors);
    loaded = load(f->a);
    check_same_model(model, loaded);
    bt_model_unload(loaded);

    tensor(&tensors, "lm_head.weight")->shape[0] = 8;
    tensor(&tensors, "lm_head.weight")->shape[1] = 11;
    write_tensors(f->a, &tensors);
    check_refused(f->a, "lm_head.weight", "[8, 11]", "[11, 8]");

    tensors_of(&tensors, model); /* neither tied nor with a head */
    write_tensors(f->a, &tensors);
    write_config(f->a, llama);
    check_refused(f->a, "lm_head.weight", "missing", "does not tie");
    bt_model_unload(model);
}

static void half_precision_is_widened(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    uint16_t bf16[11 * 8], f16[8];
    struct bt_loaded_model *loaded, *model = random_model(f->a, tied_llama);
    tensors_of(&tensors, model);
    for (size_t i = 0; i < BT_ARRAY_LEN(bf16); i++)
        bf16[i] = bt_bf16_from_f32(model->weights[i]);
    for (size_t i = 0; i < BT_ARRAY_LEN(f16); i++)
        f16[i] = bt_f16_from_f32((float)i / 3.0f);
    tensor(&tensors, "model.embed_tokens.weight")->dtype = BT_DTYPE_BF16;
    tensor(&tensors, "model.embed_tokens.weight")->data = bf16;
    tensor(&tensors, "model.norm.weight")->dtype = BT_DTYPE_F16;
    tensor(&tensors, "model.norm.weight")->data = f16;
    add_tensor(&tensors, (struct bt_tensor_source){"lm_head.weight", BT_DTYPE_BF16, 2, {11, 8}, bf16});
    write_tensors(f->a, &tensors);
    loaded = load(f->a);
    for (size_t i = 0; i < BT_ARRAY_LEN(bf16); i++)
        assert_true(loaded->weights[i] == bt_f32_from_bf16(bf16[i]));
    const float *norm = loaded->weights + bt_params_get(&loaded->params, BT_P_FINAL_NORM, 0)->offset;
    for (size_t i = 0; i < BT_ARRAY_LEN(f16); i++)
        assert_true(norm[i] == bt_f32_from_f16(f16[i]));
    bt_model_unload(loaded);
    bt_model_unload(model);
}

static void packed_weights_need_a_config_that_says_so(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    const uint16_t scale = 0x3f80;
    const unsigned char codes[2 * 8] = {0};
    struct bt_loaded_model *model = random_model(f->a, bitnet);

    tensors_of(&tensors, model);
    add_tensor(&tensors, (struct bt_tensor_source){
                             "model.layers.0.self_attn.q_proj.weight_scale", BT_DTYPE_BF16, 1, {1}, &scale});
    write_tensors(f->a, &tensors);
    check_refused(f->a, "q_proj.weight_scale", "packed", "no quantization_config");

    tensors_of(&tensors, model);
    *tensor(&tensors, "model.layers.0.self_attn.q_proj.weight") =
        (struct bt_tensor_source){"model.layers.0.self_attn.q_proj.weight", BT_DTYPE_U8, 2, {2, 8}, codes};
    write_tensors(f->a, &tensors);
    check_refused(f->a, "q_proj.weight", "U8", "");
    bt_model_unload(model);
}

static void marks_are_written_and_applied_again(void **state)
{
    struct folders *f = *state;
    struct bt_diag diag = {0};
    static char glob[] = "model.layers.1.*", bad[] = "*.q_prog";
    char *globs[] = {glob};
    struct bt_loaded_model *model = random_model(f->a, tied_llama);
    struct bt_hf_marks marks = {
        .present = true, .ternary = true, .int8 = true, .exclude_layers = globs, .exclude_count = 1, .lambda = 0.5};
    write_model(f->b, model, &marks);
    struct bt_loaded_model *loaded = load(f->b);
    size_t excluded = 0;
    for (size_t i = 0; i < loaded->params.count; i++) {
        const struct bt_param *p = &loaded->params.list[i];
        assert_int_equal(p->excluded, p->linear && p->layer == 1);
        excluded += p->excluded;
    }
    assert_int_equal(excluded, 7);
    assert_true(loaded->config->marks.lambda == 0.5);
    assert_true(bt_is_bitnet_model(loaded)); /* marked so, without SubLN */
    assert_false(bt_is_bitnet_model(model));
    bt_model_unload(loaded);
    globs[0] = bad;
    TEST_OK(bt_model_write(f->b, model->config, &model->params, model->weights, &marks, NULL, NULL, &diag), diag);
    check_refused(f->b, "config.json", "exclude_layers", bad);
    bt_model_unload(model);
}

static void tokenizer_files_go_along(void **state)
{
    struct folders *f = *state;
    static const char *const copied[] = {"tokenizer.json",
                                         "tokenizer_config.json",
                                         "tokenizer.model",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "chat_template.jinja",
                                         "generation_config.json"};
    static const char *const left[] = {"README.md", "model-00001-of-00002.safetensors", "optimizer.safetensors",
                                       "tokenizer.txt"};
    struct bt_diag diag = {0};
    uint64_t hash = 0, file_hash, size, total = 0;
    struct bt_loaded_model *model = random_model(f->a, llama);
    for (size_t i = 0; i < BT_ARRAY_LEN(copied); i++)
        test_write_file(test_format("%s/%s", f->a, copied[i]), copied[i], strlen(copied[i]));
    for (size_t i = 0; i < BT_ARRAY_LEN(left); i++)
        test_write_file(test_format("%s/%s", f->a, left[i]), "x", 1);
    assert_int_equal(mkdir(test_format("%s/tokenizer.old.json", f->a), 0777), 0);
    const struct bt_hf_marks marks = marks_for(model);
    TEST_OK(bt_model_write(f->b, model->config, &model->params, model->weights, &marks, f->a, &hash, &diag), diag);
    char **names;
    size_t count;
    TEST_OK(bt_dir_list(f->b, &names, &count, &diag), diag);
    assert_int_equal(count, BT_ARRAY_LEN(copied) + 2);
    for (size_t i = 0; i < count; i++) {
        TEST_OK(bt_file_hash(test_format("%s/%s", f->b, names[i]), &file_hash, &size, &diag), diag);
        total += size;
        if (!strcmp(names[i], "model.safetensors"))
            assert_true(file_hash == hash);
    }
    bt_names_free(names, count);
    for (size_t i = 0; i < BT_ARRAY_LEN(copied); i++) {
        unsigned char *data = test_read_file(test_format("%s/%s", f->b, copied[i]), NULL);
        assert_string_equal((char *)data, copied[i]);
        free(data);
    }
    assert_true(bt_model_disk_size(&model->params, f->a) >= total);
    assert_true(bt_model_disk_size(&model->params, NULL) >= model->params.elements * sizeof(float));
    assert_true(bt_model_disk_size(&model->params, f->a) > bt_model_disk_size(&model->params, NULL));
    bt_model_unload(model);
}

static void a_tied_head_is_not_written(void **state)
{
    struct folders *f = *state;
    struct bt_diag diag = {0};
    struct bt_safetensors *file = NULL;
    struct bt_loaded_model *model = random_model(f->a, tied_llama);
    const struct bt_hf_marks marks = {0};
    write_model(f->b, model, &marks);
    TEST_OK(bt_safetensors_open_model(f->b, &file, &diag), diag);
    assert_null(bt_safetensors_find(file, "lm_head.weight"));
    assert_non_null(bt_safetensors_find(file, "model.embed_tokens.weight"));
    for (size_t i = 0; i < bt_safetensors_count(file); i++)
        assert_int_equal(bt_safetensors_at(file, i)->dtype, BT_DTYPE_F32);
    bt_safetensors_close(file);
    struct bt_loaded_model *loaded = load(f->b);
    assert_false(loaded->config->marks.present);
    assert_false(bt_is_bitnet_model(loaded));
    bt_model_unload(loaded);
    bt_model_unload(model);
}

static void random_weights_follow_seed_and_initializer_range(void **state)
{
    struct folders *f = *state;
    struct bt_diag diag = {0};
    struct bt_loaded_model *a = NULL, *b = NULL, *c = NULL;
    const char *config = test_format("%s/config.json", f->a);
    write_config(f->a, "{\"model_type\": \"llama\", \"initializer_range\": 0.5, " SIZES);
    TEST_OK(bt_model_random(config, 1, &a, &diag), diag);
    TEST_OK(bt_model_random(config, 2, &b, &diag), diag);
    assert_memory_not_equal(a->weights, b->weights, a->params.list[0].count * sizeof(float));
    bt_model_unload(b);
    write_config(f->a, "{\"model_type\": \"llama\", \"initializer_range\": 0.25, " SIZES);
    TEST_OK(bt_model_random(config, 1, &b, &diag), diag);
    write_config(f->a, "{\"model_type\": \"llama\", " SIZES);
    TEST_OK(bt_model_random(config, 1, &c, &diag), diag);
    for (size_t i = 0; i < a->params.list[0].count; i++) {
        assert_true(a->weights[i] == 2.0f * b->weights[i]);         /* a power of two: exact */
        assert_true(c->weights[i] > -0.2f && c->weights[i] < 0.2f); /* ten times the default of 0.02 */
    }
    bt_model_unload(a);
    bt_model_unload(b);
    bt_model_unload(c);
}

static void inspecting_checks_everything_but_the_values(void **state)
{
    struct folders *f = *state;
    struct bt_diag diag = {0};
    struct tensors tensors;
    struct bt_loaded_model *inspected = NULL, *model = random_model(f->a, bitnet);
    tensors_of(&tensors, model);
    write_tensors(f->a, &tensors);
    TEST_OK(bt_model_inspect(f->a, NULL, &inspected, &diag), diag);
    check_same_shape(&inspected->shape, &model->shape);
    assert_int_equal(inspected->params.total, model->params.total);
    assert_null(inspected->weights);
    bt_model_unload(inspected);
    TEST_OK(bt_model_inspect(NULL, test_format("%s/config.json", f->a), &inspected, &diag), diag);
    check_same_shape(&inspected->shape, &model->shape);
    assert_null(inspected->weights);
    bt_model_unload(inspected);
    drop_tensor(&tensors, "model.norm.weight");
    write_tensors(f->a, &tensors);
    assert_int_equal(bt_model_inspect(f->a, NULL, &inspected, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "model.norm.weight"));
    bt_model_unload(model);
}

static void threads_do_not_change_what_is_loaded(void **state)
{
    struct folders *f = *state;
    struct bt_loaded_model *model = random_model(f->a, llama);
    const struct bt_hf_marks marks = {0};
    const int threads = omp_get_max_threads();
    write_model(f->b, model, &marks);
    for (int n = 1; n <= 7; n += 3) {
        omp_set_num_threads(n);
        struct bt_loaded_model *loaded = load(f->b);
        check_same_model(model, loaded);
        bt_model_unload(loaded);
    }
    omp_set_num_threads(threads);
    bt_model_unload(model);
}

static void missing_and_cut_files_are_input_errors(void **state)
{
    struct folders *f = *state;
    struct bt_loaded_model *model = random_model(f->a, tied_llama);
    const struct bt_hf_marks marks = {0};
    static const char *const files[] = {"config.json", "model.safetensors"};
    check_refused(test_format("%s/absent", f->dir), "absent", "", "");
    check_refused(f->a, f->a, "model.safetensors", "");
    write_model(f->b, model, &marks);
    for (size_t k = 0; k < BT_ARRAY_LEN(files); k++) {
        size_t size;
        const char *path = test_format("%s/%s", f->b, files[k]);
        unsigned char *data = test_read_file(path, &size);
        while (k == 0 && size && data[size - 1] != '}')
            size--; /* a JSON text is whole before its last newline */
        for (size_t n = 0; n < size; n += n < 600 ? 1 : 97) {
            test_write_file(path, data, n);
            check_refused(f->b, files[k], "", "");
        }
        test_write_file(path, data, size);
        free(data);
    }
    bt_model_unload(load(f->b));
    bt_model_unload(model);
}

static enum bt_err load_once(void *context)
{
    struct bt_loaded_model *model = NULL;
    const enum bt_err err = bt_model_load(context, &model, NULL);
    bt_model_unload(model);
    return err;
}

static enum bt_err random_once(void *context)
{
    struct bt_loaded_model *model = NULL;
    const enum bt_err err = bt_model_random(context, 1, &model, NULL);
    bt_model_unload(model);
    return err;
}

struct writing {
    const struct bt_loaded_model *model;
    const struct bt_hf_marks *marks;
    const char *to, *source;
};

static enum bt_err write_once(void *context)
{
    const struct writing *w = context;
    return bt_model_write(w->to, w->model->config, &w->model->params, w->model->weights, w->marks, w->source, NULL,
                          NULL);
}

static void every_allocation_may_fail(void **state)
{
    struct folders *f = *state;
    struct tensors tensors;
    static char glob[] = "model.layers.1.*";
    char *globs[] = {glob};
    struct bt_loaded_model *model = random_model(f->a, bitnet);
    const struct bt_hf_marks marks = {
        .present = true, .ternary = true, .int8 = true, .exclude_layers = globs, .exclude_count = 1, .lambda = 1.0};
    test_write_file(test_format("%s/tokenizer.json", f->a), "{}", 2);
    struct writing writing = {model, &marks, f->b, f->a};
    test_every_allocation_fails(random_once, (void *)test_format("%s/config.json", f->a));
    test_every_allocation_fails(write_once, &writing);
    test_every_allocation_fails(load_once, (void *)f->b);
    tensors_of(&tensors, model);
    add_tensor(&tensors, (struct bt_tensor_source){"lm_head.weight", BT_DTYPE_F32, 2, {11, 8}, model->weights});
    write_tensors(f->b, &tensors);
    test_every_allocation_fails(load_once, (void *)f->b);
    bt_model_unload(model);
}

/* Fails the k-th operation on the disk. */
static int operations_left;

static int full_disk(const char *op, const char *path)
{
    (void)op;
    (void)path;
    return operations_left-- == 0 ? ENOSPC : 0;
}

static void a_full_disk_is_an_error_wherever_it_strikes(void **state)
{
    struct folders *f = *state;
    struct bt_loaded_model *model = random_model(f->a, tied_llama);
    const struct bt_hf_marks marks = {0};
    struct writing writing = {model, &marks, f->b, f->a};
    enum bt_err err = BT_EIO;
    int k;
    test_write_file(test_format("%s/tokenizer.json", f->a), "{}", 2);
    for (k = 0; err != BT_OK; k++) {
        assert_true(k < 1000);
        operations_left = k;
        bt_io_hook = full_disk;
        err = write_once(&writing);
        bt_io_hook = NULL;
        assert_true(err == BT_OK || err == BT_EIO);
    }
    assert_true(k > 3 * 3); /* open, write and sync of three files */
    bt_model_unload(model);
}

/* Models as others made them: once through our own writer, and back. */
static void check_shared_model(const struct folders *f, const char *relative)
{
    struct bt_loaded_model *model = load(test_shared(relative));
    const struct bt_hf_marks marks = marks_for(model);
    write_model(f->b, model, &marks);
    struct bt_loaded_model *again = load(f->b);
    check_same_model(model, again);
    bt_model_unload(again);
    bt_model_unload(model);
}

static void real_models_load_again_to_the_same_bits(void **state)
{
    static const char *const models[] = {"babyllama-tok105",       "random-tiny-llama3", "random-tiny-mistral",
                                         "random-tiny-qwen3",      "stories260K",        "stories260K-bf16",
                                         "stories260K-f16-sharded"};
    for (size_t i = 0; i < BT_ARRAY_LEN(models); i++)
        check_shared_model(*state, test_format("data/models/%s", models[i]));
}

static void the_models_of_the_fixtures_load_again_to_the_same_bits(void **state)
{
    static const char *const cases[] = {"distill-documents",
                                        "distill-hidden",
                                        "distill-logits",
                                        "distill-relation-algorithm",
                                        "distill-relation-equation",
                                        "llama-all-biases",
                                        "llama-bit",
                                        "llama-bit-half-lambda",
                                        "llama-fp",
                                        "llama-fp-label-mask",
                                        "llama-tied-relu2",
                                        "llama-weights-only",
                                        "llama3-rope-documents",
                                        "qwen2-bias-bit",
                                        "qwen3-qknorm-bit",
                                        "mistral-window-linear-rope",
                                        "train-fp-cosine",
                                        "train-qat-wsd"};
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++)
        check_shared_model(*state, test_format("golden/%s/model", cases[i]));
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folders_setup, folders_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(every_family_loads_again_to_the_same_bits),
        FOLDER_TEST(the_shape_says_what_the_config_says),
        FOLDER_TEST(subln_is_there_when_its_tensors_are_whatever_the_class),
        FOLDER_TEST(tensors_that_do_not_fit_are_named),
        FOLDER_TEST(left_over_rope_buffers_are_ignored),
        FOLDER_TEST(more_layers_than_the_weights_can_hold_are_refused),
        FOLDER_TEST(a_head_in_the_file_of_a_tied_model_must_be_the_embedding),
        FOLDER_TEST(half_precision_is_widened),
        FOLDER_TEST(packed_weights_need_a_config_that_says_so),
        FOLDER_TEST(marks_are_written_and_applied_again),
        FOLDER_TEST(tokenizer_files_go_along),
        FOLDER_TEST(a_tied_head_is_not_written),
        FOLDER_TEST(random_weights_follow_seed_and_initializer_range),
        FOLDER_TEST(inspecting_checks_everything_but_the_values),
        FOLDER_TEST(threads_do_not_change_what_is_loaded),
        FOLDER_TEST(missing_and_cut_files_are_input_errors),
        FOLDER_TEST(every_allocation_may_fail),
        FOLDER_TEST(a_full_disk_is_an_error_wherever_it_strikes),
        FOLDER_TEST(real_models_load_again_to_the_same_bits),
        FOLDER_TEST(the_models_of_the_fixtures_load_again_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
