#include "train/gguf_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/utf8.h"
#include "train/gguf_names.h"

struct reader {
    const struct bt_gguf *file;
    char arch[16];
    json_t *config;
    struct bt_diag *diag;
    enum bt_err err; /* the first failure; nothing is done after it */
};

/* ---- putting ---- */

/* Takes over value, which is NULL when memory ran out. */
static void put_in(struct reader *r, json_t *object, const char *name, json_t *value)
{
    if (r->err)
        json_decref(value);
    else if (json_object_set_new(object, name, value))
        r->err = bt_fail_nomem(r->diag);
}

static void put(struct reader *r, const char *name, json_t *value)
{
    put_in(r, r->config, name, value);
}

/* "{arch}.{rest}" */
struct key {
    char text[96];
};
static struct key key_of(const struct reader *r, const char *rest)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "%s.%s", r->arch, rest);
    return key;
}

static bool has(const struct reader *r, const char *key)
{
    return bt_gguf_find(r->file, key) != NULL;
}

/* One of the architecture's own, under the name that config.json has for it; `otherwise` when it is absent. */
static void put_u32_or(struct reader *r, const char *name, const char *rest, bool required, uint32_t otherwise)
{
    const struct key key = key_of(r, rest);
    uint32_t value = otherwise;
    if (!r->err)
        r->err = bt_gguf_get_u32(r->file, key.text, required, &value, r->diag);
    put(r, name, json_integer(value));
}

/* Finite, because JSON has no other; 32-bit values as the shortest text that gives them again. */
static void put_f32_or(struct reader *r, json_t *object, const char *name, const char *rest, bool required,
                       float otherwise)
{
    const struct key key = key_of(r, rest);
    float value = otherwise;
    if (!r->err)
        r->err = bt_gguf_get_f32(r->file, key.text, required, &value, r->diag);
    if (!r->err && !isfinite(value))
        r->err = bt_fail(r->diag, BT_EINPUT, "%s: key \"%s\" is not a finite number", bt_gguf_path(r->file), key.text);
    put_in(r, object, name, r->err ? NULL : bt_json_float(value));
}

static void put_f64(struct reader *r, json_t *object, const char *name, const char *key)
{
    double value = 0.0;
    if (!r->err)
        r->err = bt_gguf_get_f64(r->file, key, true, &value, r->diag);
    if (!r->err && !isfinite(value))
        r->err = bt_fail(r->diag, BT_EINPUT, "%s: key \"%s\" is not a finite number", bt_gguf_path(r->file), key);
    put_in(r, object, name, r->err ? NULL : bt_json_real(value));
}

/* ---- parts ---- */

static void read_arch(struct reader *r)
{
    static const struct {
        const char *arch, *class_name;
    } known[] = {{"llama", "LlamaForCausalLM"},
                 {"qwen2", "Qwen2ForCausalLM"},
                 {"qwen3", "Qwen3ForCausalLM"},
                 {"bitnet", "BitNetForCausalLM"}};
    struct bt_gguf_text text = {"", 0};
    r->err = bt_gguf_get_text(r->file, "general.architecture", true, &text, r->diag);
    if (r->err)
        return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (text.size != strlen(known[i].arch) || memcmp(text.at, known[i].arch, text.size) != 0)
            continue;
        snprintf(r->arch, sizeof r->arch, "%s", known[i].arch);
        put(r, "model_type", json_string(known[i].arch));
        put(r, "architectures", json_pack("[s]", known[i].class_name));
        return;
    }
    r->err = bt_fail(r->diag, BT_EINPUT,
                     "%s: general.architecture is \"%.*s\"; llama, qwen2, qwen3 and bitnet are supported",
                     bt_gguf_path(r->file), text.size < 80 ? (int)text.size : 80, text.at);
}

/* The vocabulary has no key that must be there: it is what the embedding has rows. */
static void read_vocab(struct reader *r)
{
    const struct bt_gguf_tensor *embed = bt_gguf_tensor_find(r->file, "token_embd.weight");
    if (!r->err && !embed)
        r->err = bt_fail(r->diag, BT_EINPUT, "%s: tensor \"token_embd.weight\": it is missing", bt_gguf_path(r->file));
    if (!r->err)
        put(r, "vocab_size", json_integer((json_int_t)embed->size[1]));
}

static void read_sizes(struct reader *r)
{
    const json_t *config = r->config;
    put_u32_or(r, "hidden_size", "embedding_length", true, 0);
    put_u32_or(r, "intermediate_size", "feed_forward_length", true, 0);
    put_u32_or(r, "num_hidden_layers", "block_count", true, 0);
    put_u32_or(r, "num_attention_heads", "attention.head_count", true, 0);
    const json_int_t hidden = json_integer_value(json_object_get(config, "hidden_size"));
    const json_int_t heads = json_integer_value(json_object_get(config, "num_attention_heads"));
    put_u32_or(r, "num_key_value_heads", "attention.head_count_kv", false, (uint32_t)heads);
    put_u32_or(r, "head_dim", "attention.key_length", heads == 0, (uint32_t)(heads ? hidden / heads : 0));
    put_u32_or(r, "max_position_embeddings", "context_length", true, 0);
    put_f32_or(r, r->config, "rms_norm_eps", "attention.layer_norm_rms_epsilon", true, 0.0f);
}

static void read_llama3(struct reader *r, json_t *scaling)
{
    put_in(r, scaling, "rope_type", json_string("llama3"));
    put_f64(r, scaling, "factor", BT_GGUF_ROPE_FACTOR);
    put_f64(r, scaling, "low_freq_factor", BT_GGUF_ROPE_LOW);
    put_f64(r, scaling, "high_freq_factor", BT_GGUF_ROPE_HIGH);
    put_f64(r, scaling, "original_max_position_embeddings", BT_GGUF_ROPE_ORIGINAL);
}

static void read_other_scaling(struct reader *r, json_t *scaling, const struct bt_gguf_text *type)
{
    if (type->size == 6 && !memcmp(type->at, "linear", 6)) {
        put_in(r, scaling, "rope_type", json_string("linear"));
        put_f32_or(r, scaling, "factor", "rope.scaling.factor", true, 1.0f);
    } else if (type->size == 4 && !memcmp(type->at, "none", 4)) {
        put_in(r, scaling, "rope_type", json_string("default"));
    } else if (!r->err) {
        r->err = bt_fail(r->diag, BT_EINPUT, "%s: %s.rope.scaling.type is \"%.*s\"; none and linear are supported",
                         bt_gguf_path(r->file), r->arch, type->size < 80 ? (int)type->size : 80, type->at);
    }
}

static void read_rope(struct reader *r)
{
    const struct key key = key_of(r, "rope.scaling.type");
    struct bt_gguf_text type = {"none", 4};
    put_f32_or(r, r->config, "rope_theta", "rope.freq_base", false, 10000.0f);
    if (!r->err)
        r->err = bt_gguf_get_text(r->file, key.text, false, &type, r->diag);
    json_t *scaling = json_object();
    if (bt_gguf_tensor_find(r->file, BT_GGUF_ROPE_FREQS))
        read_llama3(r, scaling);
    else
        read_other_scaling(r, scaling, &type);
    put(r, "rope_scaling", scaling);
}

static void read_graph(struct reader *r)
{
    const bool bias = bt_gguf_tensor_find(r->file, "blk.0.attn_q.bias");
    put(r, "hidden_act", json_string("silu"));
    put(r, "tie_word_embeddings", json_boolean(!bt_gguf_tensor_find(r->file, "output.weight")));
    if (strcmp(r->arch, "qwen2") != 0)
        put(r, "attention_bias", json_boolean(bias));
    if (!strcmp(r->arch, "llama"))
        put(r, "mlp_bias", json_boolean(bt_gguf_tensor_find(r->file, "blk.0.ffn_gate.bias")));
}

static void read_token(struct reader *r, const char *name, const char *key)
{
    uint32_t id = 0;
    if (r->err || !has(r, key))
        return;
    r->err = bt_gguf_get_u32(r->file, key, true, &id, r->diag);
    put(r, name, json_integer(id));
}

/* Text of a key, which must be UTF-8. */
static json_t *text_of(struct reader *r, const char *key, const struct bt_gguf_text *text)
{
    if (r->err)
        return NULL;
    json_t *value = json_stringn(text->at, text->size);
    if (!value)
        r->err = bt_utf8_valid(text->at, text->size) == text->size
                     ? bt_fail_nomem(r->diag)
                     : bt_fail(r->diag, BT_EINPUT, "%s: key \"%s\" is not UTF-8", bt_gguf_path(r->file), key);
    return value;
}

static void put_text(struct reader *r, json_t *object, const char *name, const char *key, bool required)
{
    struct bt_gguf_text text = {0};
    if (!r->err)
        r->err = bt_gguf_get_text(r->file, key, required, &text, r->diag);
    if (text.at)
        put_in(r, object, name, text_of(r, key, &text));
}

/* ---- what was trained ---- */

static json_t *texts_of(struct reader *r, const struct bt_gguf_value *array)
{
    json_t *list = json_array();
    const unsigned char *at = array ? array->data : NULL;
    for (uint64_t i = 0; array && i < array->count && !r->err; i++) {
        const struct bt_gguf_text text = bt_gguf_next_text(&at);
        if (json_array_append_new(list, text_of(r, array->key, &text)) && !r->err)
            r->err = bt_fail_nomem(r->diag);
    }
    return list;
}

static void read_own_marks(struct reader *r, json_t *marks)
{
    const struct bt_gguf_value *layers = NULL;
    put_text(r, marks, "weights", BT_GGUF_WEIGHTS, true);
    put_text(r, marks, "activations", BT_GGUF_ACTIVATIONS, true);
    if (!r->err)
        r->err = bt_gguf_get_array(r->file, BT_GGUF_EXCLUDE_LAYERS, BT_GGUF_TEXT, false, &layers, r->diag);
    put_in(r, marks, "exclude_layers", texts_of(r, layers));
    put_f64(r, marks, "lambda", BT_GGUF_LAMBDA);
}

/* A file of another program: ternary tensors in a plain architecture say it, too. */
static void read_foreign_marks(struct reader *r, json_t *marks)
{
    put_in(r, marks, "weights", json_string("ternary"));
    put_in(r, marks, "activations", json_string("int8"));
    put_in(r, marks, "exclude_layers", json_array());
    put_in(r, marks, "lambda", json_real(1.0));
}

static void read_marks(struct reader *r)
{
    const struct bt_gguf_tensor *q = bt_gguf_tensor_find(r->file, "blk.0.attn_q.weight");
    const bool own = has(r, BT_GGUF_WEIGHTS);
    if (r->err || !(own || (q && q->type->ternary)))
        return;
    json_t *marks = json_object();
    if (own)
        read_own_marks(r, marks);
    else
        read_foreign_marks(r, marks);
    put(r, "bitnet_train", marks);
}

/* ---- all of it ---- */

static enum bt_err parse_config(const struct reader *r, struct bt_hf_config **ret_config)
{
    char *text = bt_json_text(r->config, 0);
    if (!text)
        return bt_fail_nomem(r->diag);
    const enum bt_err err = bt_hf_config_parse(text, strlen(text), bt_gguf_path(r->file), ret_config, r->diag);
    bt_free(text);
    return err;
}

enum bt_err bt_gguf_config_read(const struct bt_gguf *file, struct bt_hf_config **ret_config, struct bt_diag *diag)
{
    struct reader r = {.file = file, .config = json_object(), .diag = diag};
    if (!r.config)
        return bt_fail_nomem(diag);
    read_arch(&r);
    read_vocab(&r);
    read_sizes(&r);
    read_rope(&r);
    read_graph(&r);
    read_token(&r, "bos_token_id", "tokenizer.ggml.bos_token_id");
    read_token(&r, "eos_token_id", "tokenizer.ggml.eos_token_id");
    read_token(&r, "pad_token_id", "tokenizer.ggml.padding_token_id");
    put_text(&r, r.config, "_name_or_path", "general.name", false);
    read_marks(&r);
    const enum bt_err err = r.err ? r.err : parse_config(&r, ret_config);
    json_decref(r.config);
    return err;
}

bool bt_gguf_is_interleaved(const struct bt_gguf *file)
{
    struct bt_gguf_text arch = {"", 0};
    return !bt_gguf_get_text(file, "general.architecture", true, &arch, NULL) && arch.size == 5 &&
           !memcmp(arch.at, "llama", 5);
}
