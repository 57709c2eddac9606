#include "config/hf_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/hf_parts.h"
#include "io/file.h"

const struct bt_hf_family bt_hf_families[BT_FAMILY_COUNT] = {
    [BT_LLAMA] = {"llama", "LlamaForCausalLM", 1e-6, 10000.0, 1, 2},
    [BT_MISTRAL] = {"mistral", "MistralForCausalLM", 1e-6, 10000.0, 1, 2},
    [BT_QWEN2] = {"qwen2", "Qwen2ForCausalLM", 1e-6, 10000.0, -1, -1},
    [BT_QWEN3] = {"qwen3", "Qwen3ForCausalLM", 1e-6, 10000.0, -1, -1},
    [BT_BITNET] = {"bitnet", "BitNetForCausalLM", 1e-5, 500000.0, 128000, 128001},
};

struct bt_hf_class bt_hf_class_of(enum bt_family family, bool prefix)
{
    struct bt_hf_class c;
    snprintf(c.model_type, sizeof c.model_type, "%s%s", prefix ? "bitnet_" : "", bt_hf_families[family].name);
    snprintf(c.class_name, sizeof c.class_name, "%s%s", prefix ? "BitNet" : "", bt_hf_families[family].class_name);
    return c;
}

static void read_family(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    const char *type = bt_hf_string_or(f, "model_type", NULL);
    if (!type) {
        bt_hf_refuse(f, "model_type", "missing, expected a string such as \"llama\"");
        return;
    }
    for (enum bt_family family = 0; family < BT_FAMILY_COUNT; family++) {
        for (int prefix = 0; prefix < (family == BT_BITNET ? 1 : 2); prefix++) {
            if (strcmp(bt_hf_class_of(family, prefix).model_type, type))
                continue;
            config->family = family;
            config->bitnet_prefix = prefix;
            return;
        }
    }
    bt_hf_refuse(f, "model_type",
                 "\"%.60s\" is not supported, expected llama, mistral, qwen2, qwen3, bitnet, or bitnet_ and one of the "
                 "first four",
                 type);
}

static void check_architecture(const struct bt_hf_fields *f, const struct bt_hf_config *config)
{
    const json_t *list = bt_hf_find(f, "architectures");
    const struct bt_hf_class want = bt_hf_class_of(config->family, config->bitnet_prefix);
    if (!list)
        return;
    const char *name = json_string_value(json_array_get(list, 0));
    if (!name)
        bt_hf_wrong(f, "architectures", list, "a list with the name of a class");
    else if (strcmp(name, want.class_name))
        bt_hf_refuse(f, "architectures", "\"%.60s\" is not supported for model_type \"%s\", expected \"%s\"", name,
                     want.model_type, want.class_name);
}

/* Absent in Llama's class, and null in all of them, means one key head for each query head. */
static uint64_t read_kv_heads(const struct bt_hf_fields *f, const struct bt_hf_config *config)
{
    if (bt_hf_find(f, "num_key_value_heads"))
        return bt_hf_size(f, "num_key_value_heads");
    if (config->family != BT_LLAMA && !bt_hf_is_named(f, "num_key_value_heads"))
        bt_hf_refuse(f, "num_key_value_heads", "missing, expected an integer from 1 to 2147483647");
    return config->num_attention_heads;
}

/* Qwen3's class has a default of its own (128), so there a file must say it. */
static uint64_t read_head_dim(const struct bt_hf_fields *f, const struct bt_hf_config *config)
{
    if (config->family == BT_QWEN3 || bt_hf_find(f, "head_dim"))
        return bt_hf_size(f, "head_dim");
    if (config->hidden_size % config->num_attention_heads)
        bt_hf_refuse(f, "head_dim", "missing, and hidden_size %" PRIu64 " is not a multiple of %" PRIu64 " heads",
                     config->hidden_size, config->num_attention_heads);
    return config->hidden_size / config->num_attention_heads;
}

static void read_sizes(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    config->vocab_size = bt_hf_size(f, "vocab_size");
    config->hidden_size = bt_hf_size(f, "hidden_size");
    config->intermediate_size = bt_hf_size(f, "intermediate_size");
    config->num_hidden_layers = bt_hf_size(f, "num_hidden_layers");
    config->num_attention_heads = bt_hf_size(f, "num_attention_heads");
    config->num_key_value_heads = read_kv_heads(f, config);
    config->head_dim = read_head_dim(f, config);
    config->max_position_embeddings = bt_hf_size(f, "max_position_embeddings");
    if (config->num_attention_heads % config->num_key_value_heads)
        bt_hf_refuse(f, "num_key_value_heads", "found %" PRIu64 ", expected a divisor of %" PRIu64 " heads",
                     config->num_key_value_heads, config->num_attention_heads);
    if (config->head_dim % 2)
        bt_hf_refuse(f, "head_dim", "found %" PRIu64 ", expected an even number", config->head_dim);
}

static void read_activation(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    const char *name = bt_hf_string_or(f, "hidden_act", config->family == BT_BITNET ? "relu2" : "silu");
    config->relu2 = !strcmp(name, "relu2");
    if (!config->relu2 && strcmp(name, "silu"))
        bt_hf_refuse(f, "hidden_act", "\"%.60s\" is not supported, expected \"silu\" or \"relu2\"", name);
}

static void read_biases(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    const enum bt_family family = config->family;
    const char *class_name = bt_hf_families[family].class_name;
    const bool always = family == BT_QWEN2, never = family == BT_MISTRAL;
    const bool attention = bt_hf_bool_or(f, "attention_bias", always);
    const bool mlp = bt_hf_bool_or(f, "mlp_bias", false);
    if (always && !attention)
        bt_hf_refuse(f, "attention_bias", "%s always has biases of q, k and v, expected true", class_name);
    if (never && attention)
        bt_hf_refuse(f, "attention_bias", "%s has no biases, expected false", class_name);
    if (mlp && family != BT_LLAMA)
        bt_hf_refuse(f, "mlp_bias", "%s has no biases there, expected false", class_name);
    config->qkv_bias = attention;
    config->o_bias = attention && !always;
    config->mlp_bias = mlp;
}

static void refuse_the_rest(const struct bt_hf_fields *f)
{
    static const char *const dtypes[] = {"dtype", "torch_dtype"};
    static const char *const known[] = {"float32", "bfloat16", "float16", "float64", "auto"};
    if (bt_hf_number_or(f, "attention_dropout", 0.0) != 0.0)
        bt_hf_refuse(f, "attention_dropout", "dropout is not supported, expected 0.0");
    if (bt_hf_size_or(f, "pretraining_tp", 1) > 1)
        bt_hf_refuse(f, "pretraining_tp", "a value above 1 is not supported");
    for (size_t i = 0; i < 2; i++) { /* the tensors know their own types; this only has to make sense */
        const char *name = bt_hf_string_or(f, dtypes[i], "auto");
        bool fine = false;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            fine = fine || !strcmp(name, known[j]);
        if (!fine)
            bt_hf_refuse(f, dtypes[i], "\"%.60s\" is not supported, expected float32, bfloat16 or float16", name);
    }
}

/* The ids that a class assumes may lie outside of a small vocabulary: then the model has none. */
static int64_t class_token(int64_t id, const struct bt_hf_config *config)
{
    return id >= 0 && (uint64_t)id < config->vocab_size ? id : -1;
}

static void read_all(const struct bt_hf_fields *f, struct bt_hf_config *config)
{
    read_family(f, config);
    const struct bt_hf_family *family = &bt_hf_families[config->family];
    check_architecture(f, config);
    read_sizes(f, config);
    read_activation(f, config);
    read_biases(f, config);
    config->rms_norm_eps = bt_hf_positive_or(f, "rms_norm_eps", family->rms_norm_eps);
    bt_hf_read_rope(f, config);
    bt_hf_read_window(f, config);
    bt_hf_read_quantization(f, config);
    config->qk_norm = config->family == BT_QWEN3;
    config->initializer_range = bt_hf_positive_or(f, "initializer_range", 0.02);
    config->tie_word_embeddings = bt_hf_bool_or(f, "tie_word_embeddings", false);
    config->bos_token_id = bt_hf_token_or(f, "bos_token_id", class_token(family->bos_token_id, config));
    config->eos_token_id = bt_hf_token_or(f, "eos_token_id", class_token(family->eos_token_id, config));
    refuse_the_rest(f);
}

enum bt_err bt_hf_config_parse(const char *text, size_t size, const char *what, struct bt_hf_config **ret_config,
                               struct bt_diag *diag)
{
    struct bt_hf_fault fault = {.what = what, .diag = diag};
    struct bt_hf_config *config = bt_zalloc(1, sizeof *config);
    if (!config)
        return bt_fail_nomem(diag);
    fault.err = bt_json_parse(text, size, what, &config->raw, diag);
    if (!fault.err && !json_is_object(config->raw))
        fault.err = bt_fail(diag, BT_EINPUT, "%s: expected a JSON object", what);
    const struct bt_hf_fields fields = {config->raw, "", &fault};
    if (!fault.err)
        read_all(&fields, config);
    if (fault.err)
        bt_hf_config_destroy(config);
    else
        *ret_config = config;
    return fault.err;
}

enum bt_err bt_hf_config_read(const char *path, struct bt_hf_config **ret_config, struct bt_diag *diag)
{
    struct bt_map map = {0};
    enum bt_err err = bt_map_open(path, &map, diag);
    if (err)
        return err;
    err = bt_hf_config_parse((const char *)map.data, map.size, path, ret_config, diag);
    bt_map_close(&map);
    return err;
}

static void free_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bt_free(strings[i]);
    bt_free(strings);
}

void bt_hf_config_destroy(struct bt_hf_config *config)
{
    if (!config)
        return;
    free_strings(config->marks.exclude_layers, config->marks.exclude_count);
    free_strings(config->unconverted, config->unconverted_count);
    json_decref(config->raw);
    bt_free(config);
}
