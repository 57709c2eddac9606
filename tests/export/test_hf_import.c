/* Packed folders of other programs: their names and forms load as models; what is malformed is named; damage gives an
 * error or exactly the model that the damaged file says. */
#include "export_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"
#include "io/file.h"
#include "kernels/quantize.h"
#include "train/checksums.h"

static const struct bt_hf_options packed = {BT_HF_AUTOBITLINEAR, false, false};
static const struct bt_hf_options inverse = {BT_HF_BITLINEAR, false, false};
#define QUANTIZATION "\"quantization_config\""

static void check_same_weights(const struct bt_loaded_model *a, const struct bt_loaded_model *b)
{
    assert_int_equal(a->params.total, b->params.total);
    assert_memory_equal(a->weights, b->weights, a->params.total * sizeof *a->weights);
}

/* The folder's tensors changed must still load, to the same weights. */
static void check_still_the_same(const struct export_world *w, const struct tensor_list *changed)
{
    struct bt_loaded_model *want = export_world_load(w->out);
    struct bt_diag diag = {0};
    TEST_OK(bt_dir_make(w->again, &diag), diag);
    TEST_OK(bt_file_copy(test_format("%s/config.json", w->out), test_format("%s/config.json", w->again), &diag), diag);
    tensor_list_write(changed, w->again);
    struct bt_loaded_model *got = export_world_load(w->again);
    check_same_weights(want, got);
    bt_model_unload(want);
    bt_model_unload(got);
}

static void write_packed(const struct export_world *w, const char *name, struct tensor_list *tensors)
{
    export_world_write(w, export_case(name), NULL);
    export_world_export(w->model, w->out, &packed);
    tensor_list_read(tensors, w->out);
}

/* Master weights quantise to the codes and to the very scale of the file, and their mean magnitude is that scale: the
 * codes times the scale, divided by the share of codes that are not zero. */
static void masters_are_those_of_codes_and_scale(void **state)
{
    const struct export_world *w = *state;
    struct tensor_list tensors = {.count = 0};
    write_packed(w, "bitnet", &tensors);
    struct bt_export_model *source = export_world_open(w->model);
    struct bt_loaded_model *model = export_world_load(w->out);
    for (size_t i = 0; i < model->params.count; i++) {
        const struct bt_frozen *tensor = &source->tensors[i];
        const size_t n = tensor->param->count;
        const float *masters = model->weights + model->params.list[i].offset;
        int8_t *codes = bt_alloc(n);
        if (!tensor->codes) {
            bt_free(codes);
            continue;
        }
        size_t nonzero = 0;
        assert_true(bt_weight_scale(masters, n) == tensor->scale);
        bt_weight_codes(codes, masters, n, tensor->scale);
        assert_memory_equal(codes, tensor->codes, n);
        for (size_t j = 0; j < n; j++)
            nonzero += codes[j] != 0;
        for (size_t j = 0; j < n; j++)
            assert_true(fabs((double)masters[j] - codes[j] * (double)tensor->scale * (double)n / (double)nonzero) <=
                        1e-6 * (double)tensor->scale * (double)n / (double)nonzero);
        bt_free(codes);
    }
    bt_export_close(source);
    bt_model_unload(model);
    tensor_list_free(&tensors);
}

static void names_of_wrinklefree_are_known(void **state)
{
    const struct export_world *w = *state;
    static const char *const renames[][2] = {
        {"self_attn.o_proj.weight", "self_attn.o_proj.1.weight"},
        {"self_attn.o_proj.weight_scale", "self_attn.o_proj.1.weight_scale"},
        {"self_attn.attn_sub_norm.weight", "self_attn.o_proj.0.weight"},
        {"mlp.down_proj.weight", "mlp.down_proj.1.weight"},
        {"mlp.down_proj.weight_scale", "mlp.down_proj.1.weight_scale"},
        {"mlp.ffn_sub_norm.weight", "mlp.down_proj.0.weight"},
    };
    struct tensor_list tensors = {.count = 0};
    write_packed(w, "bitnet", &tensors);
    for (int layer = 0; layer < 2; layer++)
        for (size_t i = 0; i < BT_ARRAY_LEN(renames); i++)
            tensor_list_rename(&tensors, test_format("model.layers.%d.%s", layer, renames[i][0]),
                               test_format("model.layers.%d.%s", layer, renames[i][1]));
    check_still_the_same(w, &tensors);
    const float gains[16] = {0};
    tensor_list_add(&tensors, "model.layers.0.self_attn.attn_sub_norm.weight", BT_DTYPE_F32, 1, 16, 0, gains);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, "model.layers.0.self_attn.o_proj.0.weight", "the same tensor of the model");
    tensor_list_free(&tensors);

    /* dense master weights under these names, in a Llama-class folder without a quantization_config */
    export_world_write(w, export_case("bitnet"), NULL);
    struct bt_loaded_model *want = export_world_load(w->model);
    tensor_list_read(&tensors, w->model);
    for (int layer = 0; layer < 2; layer++)
        for (size_t i = 0; i < BT_ARRAY_LEN(renames); i++)
            if (!strstr(renames[i][0], "_scale"))
                tensor_list_rename(&tensors, test_format("model.layers.%d.%s", layer, renames[i][0]),
                                   test_format("model.layers.%d.%s", layer, renames[i][1]));
    tensor_list_write(&tensors, w->model);
    struct bt_loaded_model *got = export_world_load(w->model);
    assert_true(got->shape.sub_norm);
    check_same_weights(want, got);
    bt_model_unload(want);
    bt_model_unload(got);
    tensor_list_free(&tensors);
}

static void scales_and_codes_may_have_other_types(void **state)
{
    const struct export_world *w = *state;
    static const char weight[] = "model.layers.0.mlp.up_proj.weight";
    static const char scale_name[] = "model.layers.0.mlp.up_proj.weight_scale";
    struct tensor_list tensors = {.count = 0};
    write_packed(w, "bitnet", &tensors);
    const struct bt_tensor_source *scale = tensor_list_find(&tensors, scale_name);
    uint16_t bits;
    memcpy(&bits, scale->data, sizeof bits);
    const float value = bt_f32_from_bf16(bits);
    tensor_list_drop(&tensors, scale_name); /* a float32 scalar */
    tensor_list_add(&tensors, scale_name, BT_DTYPE_F32, 0, 0, 0, &value);
    check_still_the_same(w, &tensors);

    struct bt_export_model *model = export_world_open(w->out); /* the codes as floats, with their scale */
    float codes[24 * 16];
    const size_t row = (size_t)(bt_params_find(&model->source->params, weight) - model->source->params.list);
    bt_weight_codes_float(codes, model->tensors[row].codes, BT_ARRAY_LEN(codes));
    bt_export_close(model);
    tensor_list_drop(&tensors, weight);
    tensor_list_add(&tensors, weight, BT_DTYPE_F32, 2, 24, 16, codes);
    check_still_the_same(w, &tensors);
    codes[77] = 0.5f;
    tensor_list_drop(&tensors, weight);
    tensor_list_add(&tensors, weight, BT_DTYPE_F32, 2, 24, 16, codes);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, weight, "element 77 is none of -1, 0 and 1");
    tensor_list_free(&tensors);
}

/* One tensor of a packed folder replaced; the sentence must name it and the fault. */
static void check_replaced(const struct export_world *w, const char *name, enum bt_dtype dtype, size_t rank,
                           uint64_t rows, uint64_t cols, const void *data, const char *sentence)
{
    struct tensor_list tensors = {.count = 0};
    write_packed(w, "bitnet", &tensors);
    tensor_list_drop(&tensors, name);
    tensor_list_add(&tensors, name, dtype, rank, rows, cols, data);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, name, sentence);
    tensor_list_free(&tensors);
}

static void malformed_packed_folders_are_named(void **state)
{
    const struct export_world *w = *state;
    static const char weight[] = "model.layers.0.mlp.up_proj.weight",
                      scale[] = "model.layers.0.mlp.up_proj.weight_scale";
    static const float bad_scales[] = {0.0f, -0.5f, INFINITY, NAN};
    uint8_t codes[24 * 16];
    float floats[24 * 16] = {0.5f, 0.5f};
    memset(codes, 0x15, sizeof codes);
    codes[40] = 0x70;
    check_replaced(w, weight, BT_DTYPE_U8, 2, 6, 16, codes, "byte 40 is 0x70");
    check_replaced(w, weight, BT_DTYPE_U8, 2, 24, 16, codes, "has shape [24, 16]; config.json asks for [6, 16]");
    check_replaced(w, weight, BT_DTYPE_U8, 1, 96, 0, codes, "has shape [96]");
    check_replaced(w, weight, BT_DTYPE_I8, 2, 6, 16, codes, "I8");
    check_replaced(w, weight, BT_DTYPE_F32, 2, 6, 16, floats, "has shape [6, 16]; config.json asks for [24, 16]");
    for (size_t i = 0; i < BT_ARRAY_LEN(bad_scales); i++)
        check_replaced(w, scale, BT_DTYPE_F32, 1, 1, 0, &bad_scales[i], "a number above 0 was expected");
    const float tiny = 0.9e-5f;
    struct tensor_list tensors = {.count = 0};
    check_replaced(w, scale, BT_DTYPE_F32, 1, 2, 0, floats, "has shape [2]; config.json asks for [1]");
    check_replaced(w, scale, BT_DTYPE_F32, 2, 1, 1, floats, "has shape [1, 1]");
    check_replaced(w, scale, BT_DTYPE_U8, 1, 1, 0, codes, "U8");
    check_replaced(w, "model.norm.weight", BT_DTYPE_U8, 1, 16, 0, codes, "U8");

    write_packed(w, "bitnet", &tensors);
    tensor_list_drop(&tensors, scale);
    tensor_list_add(&tensors, scale, BT_DTYPE_F32, 1, 1, 0, &tiny);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, weight, "its scale is 9e-06");
    tensor_list_drop(&tensors, scale);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, weight, "no weight_scale beside it");
    tensor_list_free(&tensors);

    write_packed(w, "bitnet", &tensors); /* scales of what has none */
    tensor_list_add(&tensors, "model.norm.weight_scale", BT_DTYPE_F32, 1, 1, 0, floats);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, "model.norm.weight_scale", "has no place");
    tensor_list_drop(&tensors, "model.norm.weight_scale");
    tensor_list_write(&tensors, w->out);
    export_world_edit_config(w->out, "\"exclude_layers\": []", "\"exclude_layers\": [\"model.layers.0.mlp.up_proj\"]");
    export_world_refused(w->out, scale, "has no place");
    export_world_edit_config(w->out, QUANTIZATION, "\"other\"");
    export_world_refused(w->out, "weight_scale", "no quantization_config");
    tensor_list_free(&tensors);
}

static void layers_of_the_list_are_those_that_are_dense(void **state)
{
    const struct export_world *w = *state;
    export_world_write(w, export_case("bitnet"), NULL);
    export_world_export(w->model, w->out, &packed);
    export_world_edit_config(w->out, "bitnet_train", "of_another");
    export_world_edit_config(w->out, "\"lm_head\"", "\"lm_head\", \"layers.1.mlp.up_proj\"");
    export_world_refused(w->out, "model.layers.1.mlp.up_proj.weight_scale", "has no place");
    export_world_edit_config(w->out, "\"layers.1.mlp.up_proj\"", "\"model.layers.0.self_attn\"");
    export_world_refused(w->out, "model.layers.0.self_attn.", "has no place");
}

static void norms_in_front_of_norms_must_count_as_one(void **state)
{
    const struct export_world *w = *state;
    struct tensor_list tensors = {.count = 0};
    float gains[16];
    for (size_t i = 0; i < 16; i++)
        gains[i] = 1.0f;
    write_packed(w, "bitnet_qwen3", &tensors);
    tensor_list_drop(&tensors, "model.layers.1.input_layernorm.weight"); /* gains of 1: eps would count twice */
    tensor_list_add(&tensors, "model.layers.1.input_layernorm.weight", BT_DTYPE_F32, 1, 16, 0, gains);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, "model.layers.1.input_layernorm.weight", "two norms");
    gains[9] = 1e-6f;
    tensor_list_drop(&tensors, "model.layers.1.input_layernorm.weight");
    tensor_list_add(&tensors, "model.layers.1.input_layernorm.weight", BT_DTYPE_F32, 1, 16, 0, gains);
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, "model.layers.1.input_layernorm.weight", "element 9");
    tensor_list_free(&tensors);

    write_packed(w, "bitnet_qwen3", &tensors);
    unsigned char *byte =
        (unsigned char *)tensor_list_find(&tensors, "model.layers.0.mlp.up_proj.rms_norm.weight")->data;
    byte[4] ^= 1;
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, "model.layers.0.mlp.gate_proj.rms_norm.weight", "element 2 differs");
    tensor_list_drop(&tensors, "model.layers.0.mlp.up_proj.rms_norm.weight");
    tensor_list_write(&tensors, w->out);
    export_world_refused(w->out, "model.layers.0.mlp.up_proj.rms_norm.weight", "missing");
    export_world_edit_config(w->out, "\"rms_norm_eps\": 1e-05\n",
                             "\"rms_norm_eps\": 1e-07\n"); /* of quantization_config */
    export_world_refused(w->out, "config.json", "quantization_config.rms_norm_eps: found 1e-07");
    tensor_list_free(&tensors);
}

/* The scale that weight_scale stands for under linear_class bitlinear, also where another program chose it. */
static void reciprocals_are_read_as_such(void **state)
{
    const struct export_world *w = *state;
    static const char scale[] = "model.layers.0.mlp.up_proj.weight_scale";
    const float stored = 37.3f;
    struct tensor_list tensors = {.count = 0};
    export_world_write(w, export_case("bitnet"), NULL);
    export_world_export(w->model, w->out, &inverse);
    tensor_list_read(&tensors, w->out);
    tensor_list_drop(&tensors, scale);
    tensor_list_add(&tensors, scale, BT_DTYPE_F32, 1, 1, 0, &stored);
    tensor_list_write(&tensors, w->out);
    tensor_list_free(&tensors);
    struct bt_loaded_model *model = export_world_load(w->out);
    const struct bt_param *param = bt_params_find(&model->params, "model.layers.0.mlp.up_proj.weight");
    assert_true(bt_weight_scale(model->weights + param->offset, param->count) == 1.0f / stored);
    bt_model_unload(model);
}

/* bfloat16 reciprocals of bfloat16 scales: every mantissa survives being read and written again. */
static void every_reciprocal_is_written_again(void **state)
{
    (void)state;
    for (uint32_t bits = 0x3728; bits < 0x4000; bits++) { /* 1e-5 to 2 */
        const float scale = bt_f32_from_bf16((uint16_t)bits);
        const uint16_t stored = bt_bf16_from_f32(1.0f / scale);
        const float read = 1.0f / bt_f32_from_bf16(stored);
        const float frozen = bt_f32_from_bf16(bt_bf16_from_f32(read));
        assert_int_equal(bt_bf16_from_f32(1.0f / frozen), stored);
    }
}

static bool same_tensor(const struct bt_tensor_source *a, const struct bt_tensor_source *b)
{
    size_t bytes = bt_dtype_bits(a->dtype) / 8;
    for (size_t i = 0; i < a->rank; i++)
        bytes *= a->shape[i];
    return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) &&
           !memcmp(a->data, b->data, bytes);
}

/* What was read must be what the damaged folder says: writing it again gives the damaged tensors to the byte. Codes and
 * scales carry no checksum in files of other programs, so a damaged code that still is one is a model, too. */
static void check_read_as_it_is(const struct export_world *w, const struct bt_hf_options *options)
{
    struct tensor_list damaged = {.count = 0}, again = {.count = 0};
    export_world_export(w->out, w->again, options);
    tensor_list_read(&damaged, w->out);
    tensor_list_read(&again, w->again);
    assert_int_equal(damaged.count, again.count);
    for (size_t i = 0; i < damaged.count; i++)
        if (!same_tensor(&damaged.list[i], tensor_list_find(&again, damaged.list[i].name)))
            fail_msg("%s was not read as it is in the damaged file", damaged.list[i].name);
    tensor_list_free(&damaged);
    tensor_list_free(&again);
}

struct damage_count {
    size_t refused, same, different;
};

static void load_damaged(const struct export_world *w, const struct bt_hf_options *options,
                         const struct bt_loaded_model *whole, struct damage_count *count)
{
    struct bt_diag diag = {0};
    struct bt_export_model *model = NULL;
    const long live = bt_alloc_live();
    const enum bt_err err = bt_export_open(w->out, &model, &diag);
    if (err) {
        assert_int_equal(err, BT_EINPUT);
        assert_true(strstr(diag.text, w->out) && !strchr(diag.text, '\n'));
        assert_int_equal(bt_alloc_live(), live);
        count->refused++;
        return;
    }
    const bool same = model->source->params.total == whole->params.total &&
                      !memcmp(model->source->weights, whole->weights, whole->params.total * sizeof *whole->weights);
    bt_export_close(model);
    if (same)
        count->same++;
    else
        count->different++;
    if (!same)
        check_read_as_it_is(w, options);
}

/* As other programs write it. */
static void write_without_checksum(const char *folder)
{
    struct tensor_list tensors = {.count = 0};
    tensor_list_read(&tensors, folder);
    tensor_list_write(&tensors, folder);
    tensor_list_free(&tensors);
}

static void damaged_folders_are_errors_or_what_they_say(void **state)
{
    const struct export_world *w = *state;
    enum { EACH = 500 };
    const struct bt_hf_options options[] = {packed, inverse};
    for (size_t f = 0; f < BT_ARRAY_LEN(options); f++) {
        struct damage_count count = {0};
        size_t size;
        export_world_write(w, export_case(f ? "untied" : "bitnet"), NULL);
        export_world_export(w->model, w->out, &options[f]);
        write_without_checksum(w->out);
        struct bt_loaded_model *whole = export_world_load(w->out);
        const char *path = strdup(test_format("%s/model.safetensors", w->out));
        unsigned char *data = test_read_file(path, &size);
        const uint64_t key = bt_rng_key(f, "damage");
        for (uint64_t i = 0; i < EACH; i++) {
            const size_t at = (size_t)bt_rng_below(key, 2 * i, size);
            const unsigned char old = data[at];
            data[at] = (unsigned char)(old ^ (1 + bt_rng_below(key, 2 * i + 1, 255)));
            test_write_file(path, data, size);
            load_damaged(w, &options[f], whole, &count);
            data[at] = old;
        }
        print_message("%zu refused, %zu without effect, %zu models of their own\n", count.refused, count.same,
                      count.different);
        assert_true(count.refused > EACH / 4 && count.different > EACH / 20);
        test_write_file(path, data, size);
        free(data);
        free((char *)path);
        bt_model_unload(whole);
    }
}

static void damaged_configs_and_cut_files_are_harmless(void **state)
{
    const struct export_world *w = *state;
    static const char *const files[] = {"config.json", "model.safetensors"};
    struct bt_diag removed = {0};
    export_world_write(w, export_case("bitnet_qwen3"), NULL);
    export_world_export(w->model, w->out, &packed);
    write_without_checksum(w->out);
    TEST_OK(bt_dir_remove(test_format("%s/" BT_CHECKSUMS_FILE, w->out), &removed), removed);
    for (size_t k = 0; k < BT_ARRAY_LEN(files); k++) {
        const char *path = strdup(test_format("%s/%s", w->out, files[k]));
        size_t size;
        unsigned char *data = test_read_file(path, &size);
        for (uint64_t i = 0; i < 300; i++) {
            struct bt_diag diag = {0};
            struct bt_loaded_model *model = NULL;
            const size_t at = (size_t)bt_rng_below(k, 2 * i, size);
            const unsigned char old = data[at];
            if (k == 0)
                data[at] = (unsigned char)bt_rng_below(k, 2 * i + 1, 256);
            test_write_file(path, data, k == 0 ? size : at);
            const enum bt_err err = bt_model_load(w->out, &model, &diag);
            assert_true(err == BT_EINPUT || (err == BT_OK && k == 0));
            bt_model_unload(model);
            data[at] = old;
        }
        test_write_file(path, data, size);
        free(data);
        free((char *)path);
    }
}

static enum bt_err load_once(void *context)
{
    struct bt_loaded_model *model = NULL;
    const enum bt_err err = bt_model_load(context, &model, NULL);
    bt_model_unload(model);
    return err;
}

static void every_allocation_of_loading_may_fail(void **state)
{
    const struct export_world *w = *state;
    export_world_write(w, export_case("bitnet_qwen3"), NULL);
    export_world_export(w->model, w->out, &packed);
    test_every_allocation_fails(load_once, (char *)w->out);
    export_world_write(w, export_case("bitnet"), "model.layers.1.mlp.*");
    export_world_export(w->model, w->out, &packed);
    export_world_edit_config(w->out, "bitnet_train", "of_another");
    test_every_allocation_fails(load_once, (char *)w->out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masters_are_those_of_codes_and_scale),
        cmocka_unit_test(names_of_wrinklefree_are_known),
        cmocka_unit_test(scales_and_codes_may_have_other_types),
        cmocka_unit_test(malformed_packed_folders_are_named),
        cmocka_unit_test(layers_of_the_list_are_those_that_are_dense),
        cmocka_unit_test(norms_in_front_of_norms_must_count_as_one),
        cmocka_unit_test(reciprocals_are_read_as_such),
        cmocka_unit_test(every_reciprocal_is_written_again),
        cmocka_unit_test(damaged_folders_are_errors_or_what_they_say),
        cmocka_unit_test(damaged_configs_and_cut_files_are_harmless),
        cmocka_unit_test(every_allocation_of_loading_may_fail),
    };
    return cmocka_run_group_tests(tests, export_world_setup, export_world_teardown);
}
