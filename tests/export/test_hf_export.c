/* Hugging Face folders: every form of every kind of model is written, read back, and written again to the same bytes;
 * what the files hold; what is refused. */
#include "export_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"
#include "export/place.h"
#include "io/file.h"
#include "io/json.h"
#include "train/packed.h"
#include "train/second_norm.h"

static const struct bt_hf_options forms[] = {
    {BT_HF_AUTOBITLINEAR, false, true}, {BT_HF_AUTOBITLINEAR, true, true}, {BT_HF_BITLINEAR, false, true},
    {BT_HF_BITLINEAR, true, true},      {BT_HF_ONLINE, false, true},
};
static const struct bt_hf_options dense = {BT_HF_DENSE, false, true};

static void check_same_file(const char *a, const char *b, const char *name, const char *what)
{
    struct bt_diag diag = {0};
    uint64_t hash_a, hash_b, size;
    TEST_OK(bt_file_hash(test_format("%s/%s", a, name), &hash_a, &size, &diag), diag);
    TEST_OK(bt_file_hash(test_format("%s/%s", b, name), &hash_b, &size, &diag), diag);
    if (hash_a != hash_b)
        fail_msg("%s: %s differs between the export and the export of the export", what, name);
}

static void every_form_of_every_model_goes_round(void **state)
{
    const struct export_world *w = *state;
    for (size_t c = 0; c < export_case_count; c++) {
        export_world_write(w, &export_cases[c], NULL);
        for (size_t f = 0; f < BT_ARRAY_LEN(forms); f++) {
            export_world_export(w->model, w->out, &forms[f]);
            export_world_export(w->out, w->again, &forms[f]);
            check_same_file(w->out, w->again, "model.safetensors", export_cases[c].name);
            check_same_file(w->out, w->again, "config.json", export_cases[c].name);
        }
    }
}

/* From any packed form to any other: codes and scales come from one place, so the detour leaves no trace. bitlinear in
 * bfloat16 rounds the scales and is left out. */
static void a_detour_through_another_form_leaves_no_trace(void **state)
{
    const struct export_world *w = *state;
    static const struct bt_hf_options exact[] = {
        {BT_HF_AUTOBITLINEAR, true, true}, {BT_HF_BITLINEAR, true, true}, {BT_HF_ONLINE, true, true}};
    const char *direct = test_format("%s/direct", w->dir);
    export_world_write(w, export_case("bitnet"), NULL);
    export_world_export(w->model, direct, &exact[0]);
    for (size_t f = 0; f < BT_ARRAY_LEN(exact); f++) {
        export_world_export(w->model, w->out, &exact[f]);
        export_world_export(w->out, w->again, &exact[0]);
        check_same_file(direct, w->again, "model.safetensors", "detour");
    }
}

static void excluded_layers_stay_in_full_precision(void **state)
{
    const struct export_world *w = *state;
    struct tensor_list tensors = {.count = 0};
    export_world_write(w, export_case("bitnet"), "model.layers.1.mlp.*");
    for (size_t f = 0; f < BT_ARRAY_LEN(forms); f++) {
        export_world_export(w->model, w->out, &forms[f]);
        export_world_export(w->out, w->again, &forms[f]);
        check_same_file(w->out, w->again, "model.safetensors", "excluded");
    }
    export_world_export(w->model, w->out, &forms[0]);
    tensor_list_read(&tensors, w->out);
    assert_int_equal(tensor_list_find(&tensors, "model.layers.1.mlp.up_proj.weight")->dtype, BT_DTYPE_BF16);
    assert_int_equal(tensor_list_find(&tensors, "model.layers.0.mlp.up_proj.weight")->dtype, BT_DTYPE_U8);
    tensor_list_free(&tensors);
    /* Another program's folder says so by quantization_config alone. */
    export_world_edit_config(w->out, "bitnet_train", "of_another");
    struct bt_loaded_model *model = export_world_load(w->out);
    for (size_t i = 0; i < model->params.count; i++) {
        const struct bt_param *p = &model->params.list[i];
        assert_int_equal(p->excluded, p->linear && strstr(p->name, "model.layers.1.mlp.") != NULL);
    }
    assert_true(model->config->marks.ternary && model->config->marks.int8 && model->config->marks.lambda == 1.0);
    bt_model_unload(model);
}

/* The scale by its formula, as interop's section 3.1 writes it. */
static double mean_magnitude(const float *w, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)w[i]);
    return fmax(sum / (double)n, 1e-5);
}

static float bf16_at(const struct bt_tensor_source *tensor, size_t i)
{
    uint16_t bits;
    memcpy(&bits, (const char *)tensor->data + 2 * i, sizeof bits);
    return bt_f32_from_bf16(bits);
}

static void packed_files_hold_codes_and_scales(void **state)
{
    const struct export_world *w = *state;
    struct tensor_list automatic = {.count = 0}, inverse = {.count = 0};
    static const char name[] = "model.layers.1.mlp.down_proj.weight";
    export_world_write(w, export_case("bitnet"), NULL);
    export_world_export(w->model, w->out, &forms[0]);
    tensor_list_read(&automatic, w->out);
    export_world_export(w->model, w->out, &forms[2]);
    tensor_list_read(&inverse, w->out);
    struct bt_loaded_model *model = export_world_load(w->model);
    const struct bt_param *param = bt_params_find(&model->params, name);
    const float *weights = model->weights + param->offset;
    const size_t rows = param->shape[0], cols = param->shape[1];

    const struct bt_tensor_source *packed = tensor_list_find(&automatic, name);
    assert_int_equal(packed->dtype, BT_DTYPE_U8);
    assert_true(packed->rank == 2 && packed->shape[0] == rows / 4 && packed->shape[1] == cols);
    const double scale = mean_magnitude(weights, param->count);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++) {
            const double code = fmax(-1.0, fmin(1.0, rint((double)weights[r * cols + c] / scale)));
            const unsigned byte = ((const unsigned char *)packed->data)[r % (rows / 4) * cols + c];
            assert_true((double)(byte >> (2 * (r / (rows / 4))) & 3) - 1.0 == code);
        }
    }
    assert_memory_equal(packed->data, tensor_list_find(&inverse, name)->data, rows / 4 * cols);
    const struct bt_tensor_source *direct = tensor_list_find(&automatic, "model.layers.1.mlp.down_proj.weight_scale");
    assert_true(direct->dtype == BT_DTYPE_BF16 && direct->rank == 1 && direct->shape[0] == 1);
    const float stored = bf16_at(direct, 0);
    assert_true(stored == bt_f32_from_bf16(bt_bf16_from_f32((float)scale)));
    const float reciprocal = bf16_at(tensor_list_find(&inverse, "model.layers.1.mlp.down_proj.weight_scale"), 0);
    assert_true(reciprocal == bt_f32_from_bf16(bt_bf16_from_f32(1.0f / stored)));
    bt_model_unload(model);
    tensor_list_free(&automatic);
    tensor_list_free(&inverse);
}

/* A bias is divided by the scale where AutoBitLinear multiplies by it, and nowhere else. */
static void biases_are_divided_for_autobitlinear_alone(void **state)
{
    const struct export_world *w = *state;
    static const char name[] = "model.layers.0.self_attn.k_proj.bias";
    export_world_write(w, export_case("llama_biases"), NULL);
    struct bt_loaded_model *model = export_world_load(w->model);
    const float bias = model->weights[bt_params_find(&model->params, name)->offset + 3];
    for (size_t f = 0; f < BT_ARRAY_LEN(forms); f++) {
        struct tensor_list tensors = {.count = 0};
        float stored, scale = 1.0f;
        export_world_export(w->model, w->out, &forms[f]);
        tensor_list_read(&tensors, w->out);
        const struct bt_tensor_source *tensor = tensor_list_find(&tensors, name);
        if (tensor->dtype == BT_DTYPE_F32)
            memcpy(&stored, (const char *)tensor->data + 3 * sizeof stored, sizeof stored);
        else
            stored = bf16_at(tensor, 3);
        if (forms[f].form == BT_HF_AUTOBITLINEAR) {
            const struct bt_param *k = bt_params_get(&model->params, BT_P_K, 0);
            scale = (float)mean_magnitude(model->weights + k->offset, k->count);
        }
        assert_true(fabsf(stored * scale / bias - 1.0f) < 0x1p-7f); /* scale and bias rounded to 8 bits each */
        tensor_list_free(&tensors);
    }
    bt_model_unload(model);
}

static void dense_files_hold_codes_times_scale_and_are_not_quantised_again(void **state)
{
    const struct export_world *w = *state;
    export_world_write(w, export_case("bitnet"), NULL);
    export_world_export(w->model, w->out, &dense);
    struct bt_export_model *model = export_world_open(w->model), *again = export_world_open(w->out);
    assert_false(again->ternary || again->int8 || again->source->config->quantization_bitnet);
    for (size_t i = 0; i < model->source->params.count; i++) {
        const struct bt_frozen *tensor = &model->tensors[i];
        for (size_t j = 0; tensor->codes && j < tensor->param->count; j++)
            assert_true(bt_export_weights(again, i)[j] == (float)tensor->codes[j] * tensor->scale);
    }
    bt_export_close(model);
    bt_export_close(again);
}

static void configs_name_the_class_that_holds_the_model(void **state)
{
    const struct export_world *w = *state;
    static const struct {
        const char *name, *class_name;
        bool norms;
    } cases[] = {
        {"bitnet", "BitNetForCausalLM", false},         {"relu2", "BitNetForCausalLM", false},
        {"untied", "BitNetForCausalLM", false},         {"llama3", "BitNetForCausalLM", false},
        {"bitnet_qwen2", "BitNetForCausalLM", false},   {"bitnet_qwen3", "Qwen3ForCausalLM", true},
        {"bitnet_mistral", "MistralForCausalLM", true}, {"bitnet_biases", "LlamaForCausalLM", true},
        {"bitnet_head_dim", "LlamaForCausalLM", true},  {"llama", "LlamaForCausalLM", false},
        {"qwen2", "Qwen2ForCausalLM", false},           {"qwen3", "Qwen3ForCausalLM", false},
        {"mistral", "MistralForCausalLM", false},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {0};
        json_t *config = NULL;
        export_world_write(w, export_case(cases[i].name), NULL);
        export_world_export(w->model, w->out, &forms[0]);
        TEST_OK(bt_json_read(test_format("%s/config.json", w->out), &config, &diag), diag);
        json_t *q = json_object_get(config, "quantization_config");
        assert_string_equal(json_string_value(json_array_get(json_object_get(config, "architectures"), 0)),
                            cases[i].class_name);
        assert_string_equal(json_string_value(json_object_get(q, "quant_method")), "bitnet");
        assert_string_equal(json_string_value(json_object_get(q, "linear_class")), "autobitlinear");
        assert_string_equal(json_string_value(json_object_get(q, "quantization_mode")), "offline");
        assert_string_equal(json_string_value(json_object_get(config, "torch_dtype")), "bfloat16");
        assert_int_equal(json_is_true(json_object_get(q, "use_rms_norm")), cases[i].norms);
        assert_true(!cases[i].norms || json_real_value(json_object_get(q, "rms_norm_eps")) == 1e-5);
        json_decref(config);
    }
}

/* Both norms in double, over inputs so small that eps matters: the pair is the one norm. */
static void two_norms_compute_what_one_does(void **state)
{
    (void)state;
    enum { N = 64 };
    static const double all_eps[] = {1e-5, 1e-6, 3e-8, 0.25};
    for (size_t e = 0; e < BT_ARRAY_LEN(all_eps); e++) {
        for (int magnitude = -5; magnitude <= 2; magnitude++) {
            const double eps = all_eps[e];
            const float first = bt_second_norm_first_gain(eps);
            double x[N], once[N], square = 0.0, second = 0.0, factor;
            assert_true(bt_second_norm_factor(eps, first, &factor));
            for (size_t i = 0; i < N; i++) {
                x[i] = pow(10.0, magnitude) * bt_rng_normal(e, i);
                square += x[i] * x[i] / N;
            }
            for (size_t i = 0; i < N; i++) {
                once[i] = (double)first * x[i] / sqrt(square + eps);
                second += once[i] * once[i] / N;
            }
            for (size_t i = 0; i < N; i++) {
                const double gain = 0.7, two = gain / factor * once[i] / sqrt(second + eps);
                assert_true(fabs(two - gain * x[i] / sqrt(square + eps)) <= 1e-6 * fabs(two));
            }
        }
        double factor = 3.0;
        assert_false(bt_second_norm_factor(all_eps[e], 1.0f, &factor));
        assert_false(bt_second_norm_factor(all_eps[e], 0.0f, &factor));
        assert_false(bt_second_norm_factor(all_eps[e], NAN, &factor));
        assert_false(bt_second_norm_factor(all_eps[e], -1e-9f, &factor));
        assert_true(factor == 3.0);
    }
}

static void check_refused(const struct export_world *w, enum bt_hf_form form, const char *a, const char *b)
{
    struct bt_diag diag = {0};
    const struct bt_hf_options options = {form, false, true};
    const enum bt_err err = export_world_try(w->model, w->out, &options, &diag);
    if (err != BT_EUSAGE || !strstr(diag.text, a) || !strstr(diag.text, b))
        fail_msg("error %d, \"%s\", in place of a refusal that says \"%s\" and \"%s\"", (int)err, diag.text, a, b);
}

static void what_no_class_holds_is_refused(void **state)
{
    const struct export_world *w = *state;
    static const struct bt_hf_marks unquantised = {.present = true, .lambda = 1.0};
    static const struct bt_hf_marks weights_only = {.present = true, .ternary = true, .lambda = 1.0};
    static const struct bt_hf_marks activations_only = {.present = true, .int8 = true, .lambda = 1.0};
    const struct export_case odd_rows = {
        "odd", "{\"model_type\": \"llama\", \"head_dim\": 6, \"tie_word_embeddings\": true, ", false};
    const struct export_case qwen2_head_dim = {"qwen2", "{\"model_type\": \"qwen2\", \"head_dim\": 8, ", false};

    export_world_write_marked(w, export_case("llama"), &unquantised);
    check_refused(w, BT_HF_AUTOBITLINEAR, "float weights and float activations", "--quantization-mode none");
    check_refused(w, BT_HF_ONLINE, "float weights and float activations", "--quantization-mode none");
    export_world_export(w->model, w->out, &dense);
    export_world_write_marked(w, export_case("bitnet"), &weights_only);
    check_refused(w, BT_HF_BITLINEAR, "ternary weights and float activations", "--quantization-mode none");
    export_world_export(w->model, w->out, &dense);
    export_world_write_marked(w, export_case("bitnet"), &activations_only);
    check_refused(w, BT_HF_AUTOBITLINEAR, "float weights and int8 activations", "--quantization-mode none");
    export_world_export(w->model, w->out, &dense);

    /* SubLN in a class that has none needs a quantization_config, and all layers in it */
    static const char *const by_norms[] = {"bitnet_qwen3", "bitnet_mistral", "bitnet_biases", "bitnet_head_dim"};
    for (size_t i = 0; i < BT_ARRAY_LEN(by_norms); i++) {
        export_world_write(w, export_case(by_norms[i]), NULL);
        check_refused(w, BT_HF_DENSE, "BitNetForCausalLM cannot hold", "offline or online can");
        export_world_write(w, export_case(by_norms[i]), "*.layers.0.mlp.up_proj");
        check_refused(w, BT_HF_AUTOBITLINEAR, "no class of transformers", "exclude_layers");
    }
    export_world_write(w, &odd_rows, NULL); /* 4 heads of 6: rows 24 and 12 are fine; two of 6 are not */
    export_world_export(w->model, w->out, &forms[0]);
    export_world_write(w, &qwen2_head_dim, NULL);
    check_refused(w, BT_HF_AUTOBITLINEAR, "Qwen2ForCausalLM has no head_dim", "no class");
}

static void rows_that_do_not_pack_are_refused(void **state)
{
    const struct export_world *w = *state;
    static const char config[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 37, \"hidden_size\": 16, \"intermediate_size\": 22, "
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
        "\"max_position_embeddings\": 64, \"tie_word_embeddings\": true, \"bitnet_train\": {\"weights\": \"ternary\", "
        "\"activations\": \"int8\", \"exclude_layers\": [], \"lambda\": 1.0}}";
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    TEST_OK(bt_dir_make(w->model, &diag), diag);
    test_write_file(test_format("%s/config.json", w->model), config, strlen(config));
    TEST_OK(bt_model_random(test_format("%s/config.json", w->model), 1, &model, &diag), diag);
    TEST_OK(bt_model_write(w->model, model->config, &model->params, model->weights, &model->config->marks, NULL, NULL,
                           &diag),
            diag);
    bt_model_unload(model);
    check_refused(w, BT_HF_AUTOBITLINEAR, "gate_proj.weight\" has 22 rows", "multiples of 4");
    check_refused(w, BT_HF_BITLINEAR, "gate_proj.weight\" has 22 rows", "online or none can hold it");
    export_world_export(w->model, w->out, &forms[4]);
    export_world_export(w->model, w->out, &dense);
}

static void graphs_of_llama_cpp_are_chosen_or_refused(void **state)
{
    const struct export_world *w = *state;
    static const struct {
        const char *name, *arch, *reason;
    } cases[] = {
        {"bitnet", "bitnet", NULL},
        {"relu2", NULL, "ReLU squared"},
        {"untied", NULL, "not tied"},
        {"llama3", NULL, "llama3 RoPE"},
        {"bitnet_qwen2", NULL, "no biases"},
        {"bitnet_qwen3", NULL, "norms of q and k"},
        {"bitnet_mistral", NULL, "sliding window"},
        {"bitnet_head_dim", NULL, "heads * head_dim"},
        {"llama", "llama", NULL},
        {"llama_biases", "llama", NULL},
        {"llama_relu2", NULL, "ReLU squared"},
        {"qwen2", "qwen2", NULL},
        {"qwen3", "qwen3", NULL},
        {"mistral", NULL, "sliding window"},
        {"mistral_full", "llama", NULL},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {0};
        enum bt_gguf_arch arch;
        export_world_write(w, export_case(cases[i].name), NULL);
        struct bt_export_model *model = export_world_open(w->model);
        const enum bt_err err = bt_export_gguf_arch(model, &arch, &diag);
        if (cases[i].arch) {
            TEST_OK(err, diag);
            assert_string_equal(bt_gguf_arch_name(arch), cases[i].arch);
        } else if (err != BT_EUSAGE || !strstr(diag.text, cases[i].reason)) {
            fail_msg("%s: error %d, \"%s\"", cases[i].name, (int)err, diag.text);
        }
        bt_export_close(model);
    }
}

/* Each tensor of a written folder changed in one byte: verification names it, or at least the folder. */
static void verification_finds_every_changed_tensor(void **state)
{
    const struct export_world *w = *state;
    static const char *const names[] = {"bitnet", "bitnet_qwen3", "llama_biases"};
    for (size_t c = 0; c < BT_ARRAY_LEN(names); c++) {
        for (size_t f = 0; f < BT_ARRAY_LEN(forms); f += 2) {
            struct bt_hf_options options = forms[f];
            struct tensor_list tensors = {.count = 0};
            struct bt_export_report report;
            struct bt_diag diag = {0};
            options.verify = false;
            export_world_write(w, export_case(names[c]), NULL);
            export_world_export(w->model, w->out, &options);
            tensor_list_read(&tensors, w->out);
            struct bt_export_model *model = export_world_open(w->model);
            struct bt_hf_job job = {.model = model, .options = &options};
            TEST_OK(bt_export_hf_target(model, true, &job.target, &diag), diag);
            TEST_OK(bt_hf_verify(&job, w->out, &report, &diag), diag);
            for (size_t i = 0; i < tensors.count; i++) {
                unsigned char *byte = (unsigned char *)tensors.list[i].data;
                const unsigned char old = *byte;
                *byte ^= tensors.list[i].dtype == BT_DTYPE_U8 ? 0xff : 1; /* the code 0 is 01: it becomes 10 */
                tensor_list_write(&tensors, w->out);
                if (bt_hf_verify(&job, w->out, &report, &diag) != BT_EPARTIAL || !strstr(diag.text, "verification"))
                    fail_msg("%s, form %zu: %s was changed, and \"%s\"", names[c], f, tensors.list[i].name, diag.text);
                *byte = old;
            }
            tensor_list_write(&tensors, w->out);
            export_world_edit_config(w->out, "10000.0", "20000.0"); /* the same tensors, another model */
            assert_int_equal(bt_hf_verify(&job, w->out, &report, &diag), BT_EPARTIAL);
            assert_non_null(strstr(diag.text, "logits"));
            bt_export_close(model);
            tensor_list_free(&tensors);
        }
    }
}

static void weights_that_are_not_finite_are_refused(void **state)
{
    const struct export_world *w = *state;
    struct tensor_list tensors = {.count = 0};
    struct bt_export_model *model = NULL;
    struct bt_diag diag = {0};
    const float bad = NAN;
    export_world_write(w, export_case("bitnet"), NULL);
    tensor_list_read(&tensors, w->model);
    memcpy((char *)tensor_list_find(&tensors, "model.norm.weight")->data + 5 * sizeof bad, &bad, sizeof bad);
    tensor_list_write(&tensors, w->model);
    tensor_list_free(&tensors);
    assert_int_equal(bt_export_open(w->model, &model, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "\"model.norm.weight\": element 5"));
}

struct whole {
    const struct export_world *world;
    struct bt_hf_options options;
};

static enum bt_err export_once(void *context)
{
    const struct whole *whole = context;
    struct bt_export_model *model = NULL;
    struct bt_export_report report;
    struct bt_place place = {0};
    enum bt_err err = bt_export_open(whole->world->model, &model, NULL);
    if (!err)
        err = bt_place_begin(&place, whole->world->out, whole->world->model, true, NULL);
    if (!err)
        err = bt_dir_make(place.beside, NULL);
    if (!err)
        err = bt_export_hf(model, &whole->options, place.beside, &report, NULL);
    if (!err)
        err = bt_place_finish(&place, NULL);
    bt_place_end(&place);
    bt_export_close(model);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    const struct export_world *w = *state;
    struct whole whole = {w, forms[0]};
    export_world_write(w, export_case("bitnet_qwen3"), NULL);
    test_write_file(test_format("%s/tokenizer.json", w->model), "{}", 2);
    test_every_allocation_fails(export_once, &whole);
}

static long operations_left;

static int fail_one(const char *op, const char *path)
{
    (void)op;
    (void)path;
    return operations_left-- == 0 ? 28 : 0; /* ENOSPC */
}

static void every_disk_operation_may_fail(void **state)
{
    const struct export_world *w = *state;
    struct whole whole = {w, forms[0]};
    enum bt_err err = BT_EIO;
    export_world_write(w, export_case("bitnet"), NULL);
    for (int replaced = 0; replaced < 2; replaced++) { /* the second time a folder stands there */
        long k = 0;
        for (; err || k == 0; k++) {
            operations_left = k;
            bt_io_hook = fail_one;
            err = export_once(&whole);
            bt_io_hook = NULL;
            assert_true(err == BT_OK || err == BT_EIO);
            if (bt_file_exists(w->out)) { /* whole, whether the old or the new one */
                struct bt_loaded_model *model = export_world_load(w->out);
                bt_model_unload(model);
            }
            assert_true(k < 1000);
        }
        assert_true(k > 10);
        err = BT_EIO;
    }
}

static void companions_go_along(void **state)
{
    const struct export_world *w = *state;
    export_world_write(w, export_case("bitnet"), NULL);
    test_write_file(test_format("%s/tokenizer.json", w->model), "{\"a\": 1}", 8);
    test_write_file(test_format("%s/generation_config.json", w->model), "{}", 2);
    test_write_file(test_format("%s/README.md", w->model), "no", 2);
    export_world_export(w->model, w->out, &forms[0]);
    check_same_file(w->model, w->out, "tokenizer.json", "companions");
    check_same_file(w->model, w->out, "generation_config.json", "companions");
    assert_false(bt_file_exists(test_format("%s/README.md", w->out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_every_model_goes_round),
        cmocka_unit_test(a_detour_through_another_form_leaves_no_trace),
        cmocka_unit_test(excluded_layers_stay_in_full_precision),
        cmocka_unit_test(packed_files_hold_codes_and_scales),
        cmocka_unit_test(biases_are_divided_for_autobitlinear_alone),
        cmocka_unit_test(dense_files_hold_codes_times_scale_and_are_not_quantised_again),
        cmocka_unit_test(configs_name_the_class_that_holds_the_model),
        cmocka_unit_test(two_norms_compute_what_one_does),
        cmocka_unit_test(what_no_class_holds_is_refused),
        cmocka_unit_test(rows_that_do_not_pack_are_refused),
        cmocka_unit_test(graphs_of_llama_cpp_are_chosen_or_refused),
        cmocka_unit_test(verification_finds_every_changed_tensor),
        cmocka_unit_test(weights_that_are_not_finite_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_disk_operation_may_fail),
        cmocka_unit_test(companions_go_along),
    };
    return cmocka_run_group_tests(tests, export_world_setup, export_world_teardown);
}
