/* config.json of the folders that training writes: bt_hf_config_write of hf_config.h. */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/hf_parts.h"

struct writer {
    json_t *object;
    bool failed; /* memory ran out; checked once, at the end */
};

/* Takes over value, which is NULL when memory ran out. */
static void put(struct writer *w, const char *key, json_t *value)
{
    if (json_object_set_new(w->object, key, value))
        w->failed = true;
}

static void put_size(struct writer *w, const char *key, uint64_t value)
{
    put(w, key, json_integer((json_int_t)value));
}

static void put_list_item(struct writer *w, json_t *list, const char *text)
{
    if (json_array_append_new(list, json_string(text)))
        w->failed = true;
}

/* Which class represents the graph. transformers' BitNetForCausalLM is Llama with the two SubLN norms and nothing that
 * other families add; a SubLN model that it cannot hold is marked bitnet_<family>, which other programs refuse rather
 * than run wrongly. Without SubLN, a BitNet graph is Llama's. */
static void choose_class(const struct bt_hf_config *c, bool sub_norm, enum bt_family *ret_family, bool *ret_prefix)
{
    const bool plain = !c->qkv_bias && !c->o_bias && !c->mlp_bias && !c->qk_norm && !c->sliding_window &&
                       c->num_attention_heads * c->head_dim == c->hidden_size;
    *ret_prefix = sub_norm && !plain;
    *ret_family = c->family == BT_BITNET ? BT_LLAMA : c->family;
    if (sub_norm && plain)
        *ret_family = BT_BITNET;
}

static void put_class(struct writer *w, enum bt_family family, bool prefix)
{
    const struct bt_hf_class c = bt_hf_class_of(family, prefix);
    json_t *list = json_array();
    put_list_item(w, list, c.class_name);
    put(w, "architectures", list);
    put(w, "model_type", json_string(c.model_type));
}

static void put_sizes(struct writer *w, const struct bt_hf_config *c)
{
    put_size(w, "vocab_size", c->vocab_size);
    put_size(w, "hidden_size", c->hidden_size);
    put_size(w, "intermediate_size", c->intermediate_size);
    put_size(w, "num_hidden_layers", c->num_hidden_layers);
    put_size(w, "num_attention_heads", c->num_attention_heads);
    put_size(w, "num_key_value_heads", c->num_key_value_heads);
    put_size(w, "head_dim", c->head_dim);
    put_size(w, "max_position_embeddings", c->max_position_embeddings);
}

static json_t *whole_or_real(double value)
{
    return value == rint(value) && value < 9e15 ? json_integer((json_int_t)value) : bt_json_real(value);
}

/* The old spelling, which transformers 4 and 5 both read. */
static void put_rope(struct writer *w, const struct bt_hf_config *c)
{
    put(w, "rope_theta", bt_json_real(c->rope_theta));
    if (c->rope_type == BT_ROPE_DEFAULT) {
        put(w, "rope_scaling", json_null());
        return;
    }
    struct writer rope = {json_object(), false};
    put(&rope, "rope_type", json_string(c->rope_type == BT_ROPE_LINEAR ? "linear" : "llama3"));
    put(&rope, "factor", bt_json_real(c->rope_factor));
    if (c->rope_type == BT_ROPE_LLAMA3) {
        put(&rope, "low_freq_factor", bt_json_real(c->rope_low_freq_factor));
        put(&rope, "high_freq_factor", bt_json_real(c->rope_high_freq_factor));
        put(&rope, "original_max_position_embeddings", whole_or_real(c->rope_original_max_position));
    }
    w->failed = w->failed || rope.failed;
    put(w, "rope_scaling", rope.object);
}

/* The keys that only some families have. */
static void put_family(struct writer *w, const struct bt_hf_config *c, enum bt_family family)
{
    const bool window = c->sliding_window;
    if (family == BT_LLAMA || family == BT_QWEN3 || family == BT_BITNET)
        put(w, "attention_bias", json_boolean(c->qkv_bias));
    if (family == BT_LLAMA)
        put(w, "mlp_bias", json_boolean(c->mlp_bias));
    if (family == BT_QWEN2 || family == BT_QWEN3) {
        put(w, "use_sliding_window", json_boolean(window));
        put_size(w, "max_window_layers", window ? c->window_from_layer : c->num_hidden_layers);
    }
    if (family == BT_MISTRAL || family == BT_QWEN2 || family == BT_QWEN3)
        put(w, "sliding_window", window ? json_integer((json_int_t)c->sliding_window) : json_null());
}

/* A list of ids in the source stays a list as long as the struct still says its first. */
static void put_token(struct writer *w, const struct bt_hf_config *c, const char *key, int64_t id)
{
    json_t *old = json_object_get(c->raw, key);
    if (json_is_array(old) && json_integer_value(json_array_get(old, 0)) == id)
        put(w, key, json_incref(old));
    else
        put(w, key, id < 0 ? json_null() : json_integer(id));
}

static void put_numbers(struct writer *w, const struct bt_hf_config *c, const char *dtype)
{
    put(w, "hidden_act", json_string(c->relu2 ? "relu2" : "silu"));
    put(w, "rms_norm_eps", bt_json_real(c->rms_norm_eps));
    put(w, "initializer_range", bt_json_real(c->initializer_range));
    put(w, "attention_dropout", bt_json_real(0.0));
    put(w, "tie_word_embeddings", json_boolean(c->tie_word_embeddings));
    put_token(w, c, "bos_token_id", c->bos_token_id);
    put_token(w, c, "eos_token_id", c->eos_token_id);
    put(w, "torch_dtype", json_string(dtype));
}

static bool is_excluded(const struct bt_hf_marks *marks, const char *module)
{
    for (size_t i = 0; i < marks->exclude_count; i++)
        if (!fnmatch(marks->exclude_layers[i], module, 0))
            return true;
    return false;
}

/* Names, not the globs: transformers takes what it finds here for regular expressions. A list replaces its defaults, so
 * the head must be in it. */
static json_t *unconverted(struct writer *w, const struct bt_hf_config *c, const struct bt_hf_marks *marks)
{
    static const char *const linears[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                          "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                          "mlp.down_proj"};
    json_t *list = json_array();
    for (uint64_t layer = 0; marks->exclude_count && layer < c->num_hidden_layers && !w->failed; layer++) {
        for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
            char name[64];
            snprintf(name, sizeof name, "model.layers.%llu.%s", (unsigned long long)layer, linears[i]);
            if (is_excluded(marks, name))
                put_list_item(w, list, name);
        }
    }
    put_list_item(w, list, "lm_head");
    return list;
}

static void put_quantization(struct writer *w, const struct bt_hf_config *c, const struct bt_hf_export_form *form,
                             const struct bt_hf_marks *marks)
{
    struct writer q = {json_object(), false};
    put(&q, "quant_method", json_string("bitnet"));
    put(&q, "linear_class", json_string(form->bitlinear ? "bitlinear" : "autobitlinear"));
    put(&q, "quantization_mode", json_string(form->online ? "online" : "offline"));
    put(&q, "modules_to_not_convert", unconverted(&q, c, marks));
    put(&q, "use_rms_norm", json_boolean(form->norms));
    put(&q, "rms_norm_eps", bt_json_real(form->norms ? c->rms_norm_eps : 1e-6));
    w->failed = w->failed || q.failed;
    put(w, "quantization_config", q.object);
}

static void put_marks(struct writer *w, const struct bt_hf_marks *marks)
{
    struct writer m = {json_object(), false};
    json_t *list = json_array();
    for (size_t i = 0; i < marks->exclude_count; i++)
        put_list_item(&m, list, marks->exclude_layers[i]);
    put(&m, "weights", json_string(marks->ternary ? "ternary" : "none"));
    put(&m, "activations", json_string(marks->int8 ? "int8" : "none"));
    put(&m, "exclude_layers", list);
    put(&m, "lambda", bt_json_real(marks->lambda));
    w->failed = w->failed || m.failed;
    put(w, "bitnet_train", m.object);
}

/* Keys of the source that say what another key now says, or that hold for the class it had (auto_map). */
static bool is_superseded(const char *key)
{
    static const char *const keys[] = {
        "rope_parameters", "dtype",          "quantization_config", "bitnet_train",       "layer_types",
        "auto_map",        "sliding_window", "max_window_layers",   "use_sliding_window", "attention_bias",
        "mlp_bias"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i], key))
            return true;
    return false;
}

/* What the source says and we do not: transformers_version, pad_token_id, use_cache ... */
static void put_the_rest(struct writer *w, const struct bt_hf_config *c)
{
    const char *key;
    json_t *value;
    json_object_foreach(c->raw, key, value)
    {
        if (!is_superseded(key) && !json_object_get(w->object, key))
            put(w, key, json_incref(value));
    }
    if (!json_object_get(w->object, "pad_token_id"))
        put(w, "pad_token_id", json_null());
    if (!json_object_get(w->object, "use_cache"))
        put(w, "use_cache", json_true());
}

/* prefix: the class is our own for that family. */
static enum bt_err write_all(const struct bt_hf_config *config, const struct bt_hf_export_form *form, bool prefix,
                             const struct bt_hf_marks *marks, json_t **ret_object, struct bt_diag *diag)
{
    struct writer w = {json_object(), false};
    put_class(&w, form->family, prefix);
    put_sizes(&w, config);
    put_rope(&w, config);
    put_family(&w, config, form->family);
    put_numbers(&w, config, form->dtype);
    if (form->quantized)
        put_quantization(&w, config, form, marks);
    if (marks && marks->present)
        put_marks(&w, marks);
    put_the_rest(&w, config);
    if (w.failed) {
        json_decref(w.object);
        return bt_fail_nomem(diag);
    }
    *ret_object = w.object;
    return BT_OK;
}

enum bt_err bt_hf_config_write(const struct bt_hf_config *config, bool sub_norm, const struct bt_hf_marks *marks,
                               json_t **ret_object, struct bt_diag *diag)
{
    struct bt_hf_export_form form = {.dtype = "float32", .online = true};
    bool prefix;
    form.quantized = marks && marks->present && marks->ternary && marks->int8;
    choose_class(config, sub_norm, &form.family, &prefix);
    return write_all(config, &form, prefix, marks, ret_object, diag);
}

enum bt_err bt_hf_config_export(const struct bt_hf_config *config, const struct bt_hf_export_form *form,
                                const struct bt_hf_marks *marks, json_t **ret_object, struct bt_diag *diag)
{
    return write_all(config, form, false, marks, ret_object, diag);
}
