/* config.json: every family and spelling that is read, everything that is refused with its sentence, and that what is
 * written reads back the same. */
#include "support.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/hf_config.h"

#define SIZES                                                                                                          \
    "\"vocab_size\": 64, \"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"max_position_embeddings\": 128"

static const char *with(const char *model_type, const char *more)
{
    return test_format("{\"model_type\": \"%s\", " SIZES "%s%s}", model_type, *more ? ", " : "", more);
}

static struct bt_hf_config *parse(const char *text)
{
    struct bt_hf_config *config = NULL;
    struct bt_diag diag = {""};
    TEST_OK(bt_hf_config_parse(text, strlen(text), "config.json", &config, &diag), diag);
    return config;
}

static struct bt_hf_config *parse_with(const char *model_type, const char *more)
{
    return parse(with(model_type, more));
}

static const char *refusal(const char *text)
{
    static struct bt_diag diag;
    struct bt_hf_config *config = NULL;
    diag.text[0] = 0;
    const enum bt_err err = bt_hf_config_parse(text, strlen(text), "config.json", &config, &diag);
    if (err != BT_EINPUT)
        fail_msg("error %d in place of a refusal of %s", (int)err, text);
    assert_null(config);
    return diag.text;
}

/* ---- reading ---- */

static void a_llama_reads(void **state)
{
    (void)state;
    struct bt_hf_config *c = parse(
        "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, \"attention_dropout\": 0.0,"
        "\"bos_token_id\": 128000, \"eos_token_id\": [128001, 128008], \"head_dim\": 64, \"hidden_act\": \"silu\","
        "\"hidden_size\": 2048, \"initializer_range\": 0.03, \"intermediate_size\": 8192,"
        "\"max_position_embeddings\": 131072, \"mlp_bias\": false, \"model_type\": \"llama\","
        "\"num_attention_heads\": 32, \"num_hidden_layers\": 16, \"num_key_value_heads\": 8, \"pretraining_tp\": 1,"
        "\"rms_norm_eps\": 1e-05, \"rope_scaling\": {\"factor\": 32.0, \"high_freq_factor\": 4.0,"
        "\"low_freq_factor\": 1.0, \"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"},"
        "\"rope_theta\": 500000.0, \"tie_word_embeddings\": true, \"torch_dtype\": \"bfloat16\","
        "\"use_cache\": true, \"vocab_size\": 128256}");
    assert_int_equal(c->family, BT_LLAMA);
    assert_false(c->bitnet_prefix);
    assert_int_equal(c->vocab_size, 128256);
    assert_int_equal(c->hidden_size, 2048);
    assert_int_equal(c->intermediate_size, 8192);
    assert_int_equal(c->num_hidden_layers, 16);
    assert_int_equal(c->num_attention_heads, 32);
    assert_int_equal(c->num_key_value_heads, 8);
    assert_int_equal(c->head_dim, 64);
    assert_int_equal(c->max_position_embeddings, 131072);
    assert_true(c->rms_norm_eps == 1e-5);
    assert_true(c->initializer_range == 0.03);
    assert_false(c->relu2);
    assert_true(c->tie_word_embeddings);
    assert_false(c->qkv_bias || c->o_bias || c->mlp_bias || c->qk_norm);
    assert_true(c->rope_theta == 500000.0);
    assert_int_equal(c->rope_type, BT_ROPE_LLAMA3);
    assert_true(c->rope_factor == 32.0 && c->rope_low_freq_factor == 1.0 && c->rope_high_freq_factor == 4.0);
    assert_true(c->rope_original_max_position == 8192.0);
    assert_int_equal(c->sliding_window, 0);
    assert_int_equal(c->bos_token_id, 128000);
    assert_int_equal(c->eos_token_id, 128001);
    assert_false(c->quantization_bitnet || c->quantization_online || c->marks.present);
    bt_hf_config_destroy(c);
}

static void absent_keys_take_the_defaults_of_the_class(void **state)
{
    static const struct {
        const char *type;
        double eps, theta;
        int64_t bos, eos;
        bool relu2, qkv_bias, qk_norm;
        uint64_t window;
    } cases[] = {
        {"llama", 1e-6, 10000.0, 1, 2, false, false, false, 0},
        {"mistral", 1e-6, 10000.0, 1, 2, false, false, false, 4096},
        {"qwen2", 1e-6, 10000.0, -1, -1, false, true, false, 0},
        {"bitnet", 1e-5, 500000.0, -1, -1, true, false, false, 0}, /* 128000 is not in a vocabulary of 64 */
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_hf_config *c = parse_with(cases[i].type, "");
        assert_true(c->rms_norm_eps == cases[i].eps);
        assert_true(c->rope_theta == cases[i].theta);
        assert_true(c->initializer_range == 0.02);
        assert_int_equal(c->rope_type, BT_ROPE_DEFAULT);
        assert_int_equal(c->bos_token_id, cases[i].bos);
        assert_int_equal(c->eos_token_id, cases[i].eos);
        assert_int_equal(c->relu2, cases[i].relu2);
        assert_int_equal(c->qkv_bias, cases[i].qkv_bias);
        assert_int_equal(c->qk_norm, cases[i].qk_norm);
        assert_false(c->o_bias || c->mlp_bias || c->tie_word_embeddings);
        assert_int_equal(c->sliding_window, cases[i].window);
        assert_int_equal(c->head_dim, 8);
        bt_hf_config_destroy(c);
    }
    struct bt_hf_config *c = parse_with("qwen3", "\"head_dim\": 16, \"bos_token_id\": null");
    assert_true(c->qk_norm);
    assert_int_equal(c->head_dim, 16);
    assert_int_equal(c->bos_token_id, -1);
    bt_hf_config_destroy(c);
    c = parse("{\"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 32, \"intermediate_size\": 48, "
              "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"max_position_embeddings\": 8}");
    assert_int_equal(c->num_key_value_heads, 4);
    bt_hf_config_destroy(c);
}

static void biases_belong_to_families(void **state)
{
    static const struct {
        const char *type, *more;
        bool qkv, o, mlp;
    } cases[] = {
        {"llama", "\"attention_bias\": true", true, true, false},
        {"llama", "\"attention_bias\": true, \"mlp_bias\": true", true, true, true},
        {"llama", "\"attention_bias\": null, \"mlp_bias\": true", false, false, true},
        {"qwen2", "\"attention_bias\": true", true, false, false},
        {"qwen3", "\"head_dim\": 8, \"attention_bias\": true", true, true, false},
        {"bitnet", "\"attention_bias\": true, \"mlp_bias\": false", true, true, false},
        {"mistral", "\"attention_bias\": false", false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_hf_config *c = parse_with(cases[i].type, cases[i].more);
        assert_int_equal(c->qkv_bias, cases[i].qkv);
        assert_int_equal(c->o_bias, cases[i].o);
        assert_int_equal(c->mlp_bias, cases[i].mlp);
        bt_hf_config_destroy(c);
    }
}

/* Old, new and mixed spellings of the same rope. */
static void rope_has_two_spellings(void **state)
{
    static const struct {
        const char *more;
        double theta, factor;
        enum bt_rope_type type;
    } cases[] = {
        {"\"rope_theta\": 5, \"rope_scaling\": null", 5, 1, BT_ROPE_DEFAULT},
        {"\"rope_parameters\": {\"rope_theta\": 6, \"rope_type\": \"default\"}", 6, 1, BT_ROPE_DEFAULT},
        {"\"rope_parameters\": {\"rope_theta\": 6}, \"rope_theta\": 5", 6, 1, BT_ROPE_DEFAULT},
        {"\"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_theta\": 5", 5, 1, BT_ROPE_DEFAULT},
        {"\"rope_scaling\": {}, \"rope_parameters\": {\"rope_theta\": 6}", 6, 1, BT_ROPE_DEFAULT},
        {"\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}", 10000, 2, BT_ROPE_LINEAR},
        {"\"rope_scaling\": {\"rope_type\": \"linear\", \"type\": \"linear\", \"factor\": 2.5}", 10000, 2.5,
         BT_ROPE_LINEAR},
        {"\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4}, \"rope_theta\": 5, "
         "\"rope_parameters\": {\"rope_theta\": 6, \"rope_type\": \"default\"}",
         5, 4, BT_ROPE_LINEAR},
        {"\"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 7, \"factor\": 8, \"low_freq_factor\": 1, "
         "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 128}",
         7, 8, BT_ROPE_LLAMA3},
        {"\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": "
         "4}",
         10000, 8, BT_ROPE_LLAMA3},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_hf_config *c = parse_with("llama", cases[i].more);
        assert_true(c->rope_theta == cases[i].theta);
        assert_true(c->rope_factor == cases[i].factor);
        assert_int_equal(c->rope_type, cases[i].type);
        if (c->rope_type == BT_ROPE_LLAMA3)
            assert_true(c->rope_original_max_position == 128.0);
        bt_hf_config_destroy(c);
    }
}

static void windows_belong_to_families(void **state)
{
    static const struct {
        const char *type, *more;
        uint64_t window, from;
    } cases[] = {
        {"mistral", "\"sliding_window\": null", 0, 0},
        {"mistral", "\"sliding_window\": 5", 5, 0},
        {"mistral", "\"sliding_window\": 5, \"layer_types\": [\"sliding_attention\", \"sliding_attention\"]", 5, 0},
        {"qwen2", "\"sliding_window\": 5", 0, 0},
        {"qwen2", "\"sliding_window\": 5, \"use_sliding_window\": true", 0, 0}, /* from layer 28 on */
        {"qwen2", "\"sliding_window\": 5, \"use_sliding_window\": true, \"max_window_layers\": 1", 5, 1},
        {"qwen2", "\"use_sliding_window\": true, \"max_window_layers\": 1", 4096, 1},
        {"qwen2", "\"use_sliding_window\": true, \"max_window_layers\": 1, \"sliding_window\": null", 0, 0},
        {"qwen3",
         "\"head_dim\": 8, \"use_sliding_window\": true, \"max_window_layers\": 1, \"sliding_window\": 9, "
         "\"layer_types\": [\"full_attention\", \"sliding_attention\"]",
         9, 1},
        {"llama", "\"sliding_window\": null, \"layer_types\": [\"full_attention\", \"full_attention\"]", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_hf_config *c = parse_with(cases[i].type, cases[i].more);
        assert_int_equal(c->sliding_window, cases[i].window);
        assert_int_equal(c->window_from_layer, cases[i].from);
        bt_hf_config_destroy(c);
    }
}

static void quantization_is_read(void **state)
{
    static const struct {
        const char *more;
        bool bitnet, online;
    } cases[] = {
        {"\"quantization_config\": null", false, false},
        {"\"quantization_config\": {\"quant_method\": \"bitnet\"}", true, false},
        {"\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\"}", true, false},
        {"\"quantization_config\": {\"quant_method\": \"bitnet\", \"quantization_mode\": \"online\"}", true, false},
        {"\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", "
         "\"quantization_mode\": \"online\", \"modules_to_not_convert\": null}",
         true, true},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_hf_config *c = parse_with("bitnet", cases[i].more);
        assert_int_equal(c->quantization_bitnet, cases[i].bitnet);
        assert_int_equal(c->quantization_online, cases[i].online);
        assert_false(c->marks.present);
        bt_hf_config_destroy(c);
    }
    struct bt_hf_config *c =
        parse_with("bitnet_qwen2", "\"architectures\": [\"BitNetQwen2ForCausalLM\"], "
                                   "\"bitnet_train\": {\"weights\": \"ternary\", \"activations\": "
                                   "\"none\", \"exclude_layers\": [\"a.*\", \"b\"], \"lambda\": 0.5}");
    assert_int_equal(c->family, BT_QWEN2);
    assert_true(c->bitnet_prefix && c->qkv_bias);
    assert_true(c->marks.present && c->marks.ternary && !c->marks.int8);
    assert_int_equal(c->marks.exclude_count, 2);
    assert_string_equal(c->marks.exclude_layers[0], "a.*");
    assert_true(c->marks.lambda == 0.5);
    bt_hf_config_destroy(c);
}

static void what_cannot_be_run_is_refused(void **state)
{
    static const struct {
        const char *type, *more, *sentence;
    } cases[] = {
        {"gemma", "",
         "model_type: \"gemma\" is not supported, expected llama, mistral, qwen2, qwen3, bitnet, or bitnet_ "
         "and one of the first four"},
        {"bitnet_bitnet", "", NULL},
        {"llama", "\"architectures\": [\"MistralForCausalLM\"]",
         "architectures: \"MistralForCausalLM\" is not supported for model_type \"llama\", expected "
         "\"LlamaForCausalLM\""},
        {"bitnet_qwen3", "\"architectures\": [\"Qwen3ForCausalLM\"]",
         "architectures: \"Qwen3ForCausalLM\" is not supported for model_type \"bitnet_qwen3\", expected "
         "\"BitNetQwen3ForCausalLM\""},
        {"llama", "\"architectures\": []", "architectures: found a list, expected a list with the name of a class"},
        {"llama", "\"architectures\": \"LlamaForCausalLM\"", NULL},
        {"qwen3", "", "head_dim: missing, expected an integer from 1 to 2147483647"},
        {"llama", "\"head_dim\": 7", "head_dim: found 7, expected an even number"},
        {"llama", "\"head_dim\": \"8\"", "head_dim: found the string \"8\", expected an integer from 1 to 2147483647"},
        {"llama", "\"head_dim\": 8.0", "head_dim: found the real number 8, expected an integer from 1 to 2147483647"},
        {"llama", "\"head_dim\": 4294967296", NULL},
        {"llama", "\"hidden_act\": \"swish\"",
         "hidden_act: \"swish\" is not supported, expected \"silu\" or \"relu2\""},
        {"llama", "\"hidden_act\": \"gelu\"", NULL},
        {"llama", "\"attention_dropout\": 0.1", "attention_dropout: dropout is not supported, expected 0.0"},
        {"llama", "\"pretraining_tp\": 2", "pretraining_tp: a value above 1 is not supported"},
        {"llama", "\"rope_interleaved\": true", "rope_interleaved: true is not supported"},
        {"llama", "\"partial_rotary_factor\": 0.5",
         "partial_rotary_factor: a rotation of a part of the head is not supported, expected 1.0"},
        {"llama", "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}",
         "rope_scaling.rope_type: \"dynamic\" is not supported, expected \"default\", \"linear\" or \"llama3\""},
        {"llama", "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}", NULL},
        {"llama", "\"rope_parameters\": {\"rope_type\": \"longrope\"}",
         "rope_parameters.rope_type: \"longrope\" is not supported, expected \"default\", \"linear\" or \"llama3\""},
        {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"llama3\"}",
         "rope_scaling.type: found \"linear\" while rope_type is \"llama3\""},
        {"llama", "\"rope_scaling\": {\"factor\": 2}", "rope_scaling.factor: not a key of rope type \"default\""},
        {"llama", "\"rope_scaling\": {\"type\": \"linear\"}",
         "rope_scaling.factor: missing, expected a number above 0"},
        {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": -1}",
         "rope_scaling.factor: found -1, expected a number above 0"},
        {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2, \"beta_fast\": 1}",
         "rope_scaling.beta_fast: not a key of rope type \"linear\""},
        {"llama", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1}",
         "rope_scaling.high_freq_factor: missing, expected a number above 0"},
        {"llama",
         "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": "
         "4}",
         "rope_scaling.high_freq_factor: found 4, expected more than low_freq_factor, which is 4"},
        {"llama", "\"rope_scaling\": \"linear\"",
         "rope_scaling: found the string \"linear\", expected an object or null"},
        {"llama", "\"rope_theta\": 0", "rope_theta: found 0, expected a number above 0"},
        {"llama", "\"rms_norm_eps\": -1e-5", NULL},
        {"llama", "\"sliding_window\": 4", "sliding_window: LlamaForCausalLM has no sliding window, expected null"},
        {"llama", "\"use_sliding_window\": true",
         "use_sliding_window: LlamaForCausalLM has no sliding window, expected false"},
        {"mistral", "\"sliding_window\": 0", NULL},
        {"llama", "\"layer_types\": [\"full_attention\"]", "layer_types: found 1 layers, expected 2"},
        {"llama", "\"layer_types\": [\"full_attention\", \"sliding_attention\"]",
         "layer_types: layer 1 is \"sliding_attention\", expected \"full_attention\" (as the window keys have it)"},
        {"llama", "\"layer_types\": [\"full_attention\", 3]", NULL},
        {"llama", "\"layer_types\": {}", NULL},
        {"mistral", "\"attention_bias\": true", "attention_bias: MistralForCausalLM has no biases, expected false"},
        {"qwen2", "\"attention_bias\": false",
         "attention_bias: Qwen2ForCausalLM always has biases of q, k and v, expected true"},
        {"bitnet", "\"mlp_bias\": true", "mlp_bias: BitNetForCausalLM has no biases there, expected false"},
        {"llama", "\"tie_word_embeddings\": 1", "tie_word_embeddings: found 1, expected true or false"},
        {"llama", "\"eos_token_id\": []",
         "eos_token_id: found a list, expected a token id, a list of token ids or null"},
        {"llama", "\"eos_token_id\": [1, \"x\"]", NULL},
        {"llama", "\"bos_token_id\": -2", "bos_token_id: found -2, expected a token id, a list of token ids or null"},
        {"llama", "\"torch_dtype\": \"int4\"",
         "torch_dtype: \"int4\" is not supported, expected float32, bfloat16 or float16"},
        {"llama", "\"dtype\": 3", "dtype: found 3, expected a string"},
        {"llama", "\"quantization_config\": {\"quant_method\": \"gptq\"}",
         "quantization_config.quant_method: \"gptq\" is not supported, expected \"bitnet\" or a model that is not "
         "quantised"},
        {"llama", "\"quantization_config\": {}", "quantization_config.quant_method: missing, expected \"bitnet\""},
        {"llama", "\"quantization_config\": 4", NULL},
        {"llama",
         "\"quantization_config\": {\"quant_method\": \"bitnet\", \"use_rms_norm\": true, \"rms_norm_eps\": 0.5}",
         "quantization_config.rms_norm_eps: found 0.5, expected the rms_norm_eps 1e-06 of all other norms"},
        {"llama",
         "\"quantization_config\": {\"quant_method\": \"bitnet\", \"modules_to_not_convert\": [\"model.layers.0\"]}",
         "quantization_config.modules_to_not_convert: the list does not name lm_head, and a ternary output head is not "
         "supported"},
        {"llama",
         "\"quantization_config\": {\"quant_method\": \"bitnet\", \"modules_to_not_convert\": [\"lm_head\", \"a|b\"]}",
         "quantization_config.modules_to_not_convert: \"a|b\" is not a plain part of a module's name, and others are "
         "not "
         "supported"},
        {"llama", "\"quantization_config\": {\"quant_method\": \"bitnet\", \"modules_to_not_convert\": \"lm_head\"}",
         NULL},
        {"llama", "\"quantization_config\": {\"quant_method\": \"bitnet\", \"modules_to_not_convert\": [4]}", NULL},
        {"llama", "\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"x\"}",
         "quantization_config.linear_class: found \"x\", expected \"autobitlinear\" or \"bitlinear\""},
        {"llama", "\"bitnet_train\": {\"activations\": \"int8\"}",
         "bitnet_train.weights: missing, expected \"ternary\" or \"none\""},
        {"llama", "\"bitnet_train\": {\"weights\": \"none\", \"activations\": \"int8\", \"lambda\": 2}",
         "bitnet_train.lambda: found 2, expected a number from 0 to 1"},
        {"llama", "\"bitnet_train\": {\"weights\": \"none\", \"activations\": \"int8\", \"exclude_layers\": [1]}",
         "bitnet_train.exclude_layers: found 1, expected a string"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const char *text = refusal(with(cases[i].type, cases[i].more));
        if (cases[i].sentence && strcmp(text, test_format("config.json: %s", cases[i].sentence)))
            fail_msg("%s %s\n  got  %s\n  want %s", cases[i].type, cases[i].more, text, cases[i].sentence);
    }
}

static void sizes_must_be_there_and_fit(void **state)
{
    static const char *const names[] = {
        "vocab_size",          "hidden_size",         "intermediate_size",      "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "max_position_embeddings"};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s", with("mistral", ""));
        *strstr(text, names[i]) = 'X'; /* the key is another one now */
        assert_string_equal(
            refusal(text), test_format("config.json: %s: missing, expected an integer from 1 to 2147483647", names[i]));
    }
    assert_string_equal(refusal("{" SIZES "}"),
                        "config.json: model_type: missing, expected a string such as \"llama\"");
    assert_string_equal(refusal("[]"), "config.json: expected a JSON object");
    assert_non_null(strstr(refusal("{"), "config.json"));
    assert_non_null(strstr(refusal("{\"model_type\": \"llama\", \"model_type\": \"llama\"}"), "config.json"));
    assert_string_equal(refusal("{\"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 30, "
                                "\"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                                "\"max_position_embeddings\": 8}"),
                        "config.json: head_dim: missing, and hidden_size 30 is not a multiple of 4 heads");
    assert_string_equal(refusal("{\"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 32, "
                                "\"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                                "\"num_key_value_heads\": 3, \"max_position_embeddings\": 8}"),
                        "config.json: num_key_value_heads: found 3, expected a divisor of 4 heads");
}

/* ---- writing ---- */

static json_t *write(const struct bt_hf_config *config, bool sub_norm, const struct bt_hf_marks *marks)
{
    json_t *object = NULL;
    struct bt_diag diag = {""};
    TEST_OK(bt_hf_config_write(config, sub_norm, marks, &object, &diag), diag);
    return object;
}

static void assert_same_model(const struct bt_hf_config *a, const struct bt_hf_config *b)
{
    assert_int_equal(a->vocab_size, b->vocab_size);
    assert_int_equal(a->hidden_size, b->hidden_size);
    assert_int_equal(a->intermediate_size, b->intermediate_size);
    assert_int_equal(a->num_hidden_layers, b->num_hidden_layers);
    assert_int_equal(a->num_attention_heads, b->num_attention_heads);
    assert_int_equal(a->num_key_value_heads, b->num_key_value_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->max_position_embeddings, b->max_position_embeddings);
    assert_true(a->rms_norm_eps == b->rms_norm_eps);
    assert_true(a->initializer_range == b->initializer_range);
    assert_int_equal(a->relu2, b->relu2);
    assert_int_equal(a->tie_word_embeddings, b->tie_word_embeddings);
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->o_bias, b->o_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_true(a->rope_theta == b->rope_theta);
    assert_int_equal(a->rope_type, b->rope_type);
    assert_true(a->rope_factor == b->rope_factor);
    assert_true(a->rope_low_freq_factor == b->rope_low_freq_factor);
    assert_true(a->rope_high_freq_factor == b->rope_high_freq_factor);
    assert_true(a->rope_original_max_position == b->rope_original_max_position);
    assert_int_equal(a->sliding_window, b->sliding_window);
    assert_int_equal(a->window_from_layer, b->window_from_layer);
    assert_int_equal(a->bos_token_id, b->bos_token_id);
    assert_int_equal(a->eos_token_id, b->eos_token_id);
}

static void assert_same_marks(const struct bt_hf_marks *a, const struct bt_hf_marks *b)
{
    assert_int_equal(a->present, b->present);
    assert_int_equal(a->ternary, b->ternary);
    assert_int_equal(a->int8, b->int8);
    assert_true(a->lambda == b->lambda);
    assert_int_equal(a->exclude_count, b->exclude_count);
    for (size_t i = 0; i < a->exclude_count; i++)
        assert_string_equal(a->exclude_layers[i], b->exclude_layers[i]);
}

/* Writes, reads back and compares; gives the class that was written in a static buffer. */
static const char *round_trip(const char *text, bool sub_norm, const struct bt_hf_marks *marks)
{
    static char written_class[64];
    struct bt_hf_config *first = parse(text);
    json_t *object = write(first, sub_norm, marks), *again;
    char *json = bt_json_text(object, 0);
    struct bt_hf_config *second = parse(json);
    assert_same_model(first, second);
    assert_same_marks(marks, &second->marks);
    assert_int_equal(second->quantization_online, marks->present && marks->ternary && marks->int8);
    again = write(second, sub_norm, marks);
    assert_true(json_equal(object, again));
    snprintf(written_class, sizeof written_class, "%s",
             json_string_value(json_array_get(json_object_get(object, "architectures"), 0)));
    json_decref(object);
    json_decref(again);
    bt_free(json);
    bt_hf_config_destroy(first);
    bt_hf_config_destroy(second);
    return written_class;
}

static void what_is_written_reads_back(void **state)
{
    static const struct {
        const char *type, *more, *plain_class, *sub_norm_class;
    } cases[] = {
        {"llama", "", "LlamaForCausalLM", "BitNetForCausalLM"},
        {"llama", "\"hidden_act\": \"relu2\", \"tie_word_embeddings\": true", "LlamaForCausalLM", "BitNetForCausalLM"},
        {"llama", "\"attention_bias\": true", "LlamaForCausalLM", "BitNetLlamaForCausalLM"},
        {"llama", "\"mlp_bias\": true", "LlamaForCausalLM", "BitNetLlamaForCausalLM"},
        {"llama", "\"head_dim\": 16", "LlamaForCausalLM", "BitNetLlamaForCausalLM"},
        {"llama", "\"eos_token_id\": [3, 4], \"bos_token_id\": null", "LlamaForCausalLM", "BitNetForCausalLM"},
        {"llama",
         "\"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 7.5, \"factor\": 8, \"low_freq_factor\": 1, "
         "\"high_freq_factor\": 4.25, \"original_max_position_embeddings\": 64}",
         "LlamaForCausalLM", "BitNetForCausalLM"},
        {"llama", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 3}", "LlamaForCausalLM", "BitNetForCausalLM"},
        {"mistral", "\"sliding_window\": null", "MistralForCausalLM", "BitNetForCausalLM"},
        {"mistral", "", "MistralForCausalLM", "BitNetMistralForCausalLM"},
        {"mistral", "\"sliding_window\": 6", "MistralForCausalLM", "BitNetMistralForCausalLM"},
        {"qwen2", "", "Qwen2ForCausalLM", "BitNetQwen2ForCausalLM"},
        {"qwen2", "\"use_sliding_window\": true, \"max_window_layers\": 1, \"sliding_window\": 6", "Qwen2ForCausalLM",
         "BitNetQwen2ForCausalLM"},
        {"qwen3", "\"head_dim\": 8", "Qwen3ForCausalLM", "BitNetQwen3ForCausalLM"},
        {"qwen3", "\"head_dim\": 16, \"attention_bias\": true", "Qwen3ForCausalLM", "BitNetQwen3ForCausalLM"},
        {"bitnet", "", "LlamaForCausalLM", "BitNetForCausalLM"},
        {"bitnet", "\"attention_bias\": true", "LlamaForCausalLM", "BitNetLlamaForCausalLM"},
        {"bitnet", "\"head_dim\": 16", "LlamaForCausalLM", "BitNetLlamaForCausalLM"},
        {"bitnet_qwen2", "", "Qwen2ForCausalLM", "BitNetQwen2ForCausalLM"},
        {"bitnet_llama", "\"mlp_bias\": true", "LlamaForCausalLM", "BitNetLlamaForCausalLM"},
    };
    char *globs[] = {(char[]){"model.layers.0.*"}, (char[]){"*.o_proj"}};
    const struct bt_hf_marks none = {0}, marks[] = {
                                             {.present = true, .ternary = true, .int8 = true, .lambda = 1.0},
                                             {.present = true,
                                              .ternary = true,
                                              .int8 = true,
                                              .lambda = 0.1,
                                              .exclude_layers = globs,
                                              .exclude_count = 2},
                                             {.present = true, .ternary = true, .lambda = 0.0},
                                             {.present = true,
                                              .int8 = true,
                                              .lambda = 1.0,
                                              .exclude_layers = globs,
                                              .exclude_count = 1},
                                         };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const char *text = with(cases[i].type, cases[i].more);
        assert_string_equal(round_trip(text, false, &none), cases[i].plain_class);
        for (size_t m = 0; m < BT_ARRAY_LEN(marks); m++)
            assert_string_equal(round_trip(text, true, &marks[m]), cases[i].sub_norm_class);
    }
}

static void what_is_written_is_complete(void **state)
{
    char *globs[] = {(char[]){"*.layers.1.mlp.up_proj"}};
    const struct bt_hf_marks marks = {
        .present = true, .ternary = true, .int8 = true, .lambda = 1.0, .exclude_layers = globs, .exclude_count = 1};
    (void)state;
    struct bt_hf_config *c = parse_with(
        "llama", "\"transformers_version\": \"4.45.0\", \"dtype\": \"bfloat16\", \"auto_map\": {\"a\": \"b\"}, "
                 "\"rope_parameters\": {\"rope_theta\": 100000}, \"use_cache\": false, "
                 "\"quantization_config\": {\"quant_method\": \"bitnet\", \"old\": 1}");
    json_t *object = write(c, true, &marks), *want;
    struct bt_diag diag = {""};
    static const char text[] =
        "{\"architectures\": [\"BitNetForCausalLM\"], \"model_type\": \"bitnet\", \"vocab_size\": 64, "
        "\"hidden_size\": 32, \"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
        "\"num_key_value_heads\": 2, \"head_dim\": 8, \"max_position_embeddings\": 128, \"rope_theta\": 100000.0, "
        "\"rope_scaling\": null, \"attention_bias\": false, \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-06, "
        "\"initializer_range\": 0.02, \"attention_dropout\": 0.0, \"tie_word_embeddings\": false, "
        "\"bos_token_id\": 1, \"eos_token_id\": 2, \"torch_dtype\": \"float32\", "
        "\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", "
        "\"quantization_mode\": \"online\", \"modules_to_not_convert\": [\"model.layers.1.mlp.up_proj\", \"lm_head\"], "
        "\"use_rms_norm\": false, \"rms_norm_eps\": 1e-06}, "
        "\"bitnet_train\": {\"weights\": \"ternary\", \"activations\": \"int8\", "
        "\"exclude_layers\": [\"*.layers.1.mlp.up_proj\"], \"lambda\": 1.0}, "
        "\"transformers_version\": \"4.45.0\", \"use_cache\": false, \"pad_token_id\": null}";
    TEST_OK(bt_json_parse(text, strlen(text), "want", &want, &diag), diag);
    char *got_text = bt_json_text(object, 0), *want_text = bt_json_text(want, 0);
    assert_string_equal(got_text, want_text);
    bt_free(got_text);
    bt_free(want_text);
    json_decref(object);
    json_decref(want);
    bt_hf_config_destroy(c);
}

/* ---- inputs from outside ---- */

static void read_all_of(const char *pattern)
{
    glob_t found;
    struct bt_diag diag = {""};
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct bt_hf_config *c = NULL;
        const struct bt_hf_marks none = {0};
        TEST_OK(bt_hf_config_read(found.gl_pathv[i], &c, &diag), diag);
        char *text = bt_json_text(c->raw, 0);
        round_trip(text, false, &none);
        round_trip(text, true, &none);
        bt_free(text);
        bt_hf_config_destroy(c);
    }
    globfree(&found);
}

static void fixtures_are_read(void **state)
{
    (void)state;
    read_all_of(test_format("%s/*/*/config.json", test_shared("golden")));
    read_all_of(test_format("%s/*/config.json", test_shared("data/models")));
    read_all_of(test_format("%s/*/config.json", test_shared("data/configs")));
}

static void a_missing_file_is_named(void **state)
{
    struct bt_hf_config *c = NULL;
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(bt_hf_config_read("/nowhere/config.json", &c, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "/nowhere/config.json"));
}

static const char everything[] =
    "{\"architectures\": [\"BitNetQwen3ForCausalLM\"], \"model_type\": \"bitnet_qwen3\", " SIZES ", \"head_dim\": 8, "
    "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
    "\"original_max_position_embeddings\": 64}, \"use_sliding_window\": true, \"sliding_window\": 4, "
    "\"max_window_layers\": 1, \"layer_types\": [\"full_attention\", \"sliding_attention\"], \"eos_token_id\": [1, 2], "
    "\"quantization_config\": {\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", "
    "\"quantization_mode\": \"online\"}, \"bitnet_train\": {\"weights\": \"ternary\", \"activations\": \"int8\", "
    "\"exclude_layers\": [\"*.q_proj\", \"b\"], \"lambda\": 0.5}, \"attention_bias\": true, \"rms_norm_eps\": 1e-5}";

static void try_bytes(const char *text, size_t size)
{
    struct bt_hf_config *c = NULL;
    struct bt_diag diag = {""};
    char *copy = malloc(size ? size : 1); /* exactly as long: reading past it is seen */
    memcpy(copy, text, size);
    const enum bt_err err = bt_hf_config_parse(copy, size, "x", &c, &diag);
    if (err != BT_OK) {
        assert_int_equal(err, BT_EINPUT);
        assert_true(*diag.text);
        assert_null(strchr(diag.text, '\n'));
    } else {
        json_decref(write(c, size % 2, &c->marks));
    }
    bt_hf_config_destroy(c);
    free(copy);
}

static void damaged_files_are_harmless(void **state)
{
    static const char spice[] = "{}[]:,\"0-9e.tfn\\ ";
    char text[sizeof everything];
    uint32_t random = 54321;
    (void)state;
    for (size_t n = 0; n < sizeof everything; n++)
        try_bytes(everything, n);
    for (int round = 0; round < 5000; round++) {
        memcpy(text, everything, sizeof everything);
        test_corrupt(text, sizeof everything - 1, 1 + round % 3, round % 3 ? spice : NULL, &random);
        try_bytes(text, sizeof everything - 1);
    }
    assert_int_equal(bt_alloc_live(), 0);
}

static enum bt_err parse_and_write(void *context)
{
    struct bt_hf_config *c = NULL;
    json_t *object = NULL;
    (void)context;
    enum bt_err err = bt_hf_config_parse(everything, sizeof everything - 1, "x", &c, NULL);
    if (!err)
        err = bt_hf_config_write(c, true, &c->marks, &object, NULL);
    json_decref(object);
    bt_hf_config_destroy(c);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation_fails(parse_and_write, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_llama_reads),
        cmocka_unit_test(absent_keys_take_the_defaults_of_the_class),
        cmocka_unit_test(biases_belong_to_families),
        cmocka_unit_test(rope_has_two_spellings),
        cmocka_unit_test(windows_belong_to_families),
        cmocka_unit_test(quantization_is_read),
        cmocka_unit_test(what_cannot_be_run_is_refused),
        cmocka_unit_test(sizes_must_be_there_and_fit),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(what_is_written_is_complete),
        cmocka_unit_test(fixtures_are_read),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(damaged_files_are_harmless),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
