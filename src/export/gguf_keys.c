/* The metadata of a model, under the keys that llama.cpp's src/llama-arch.cpp lists, and our own ones. */
#include <stdio.h>
#include <string.h>

#include "export/gguf_parts.h"
#include "text/tokenizer_gguf.h"
#include "train/gguf_names.h"

/* "{arch}.{rest}" */
struct key {
    char text[96];
};
static struct key key_of(const struct bt_gguf_job *job, const char *rest)
{
    struct key key;
    snprintf(key.text, sizeof key.text, "%s.%s", bt_gguf_arch_name(job->arch), rest);
    return key;
}

static void put_size(const struct bt_gguf_job *job, struct bt_gguf_out *out, const char *rest, uint64_t value)
{
    bt_gguf_put_u32(out, key_of(job, rest).text, (uint32_t)value);
}

static void put_text(struct bt_gguf_out *out, const char *key, const char *text)
{
    bt_gguf_put_text(out, key, text, strlen(text));
}

/* llama.cpp reads sizes as 32-bit numbers. */
static enum bt_err check_sizes(const struct bt_hf_config *config, struct bt_diag *diag)
{
    const uint64_t sizes[] = {config->vocab_size, config->hidden_size, config->intermediate_size,
                              config->max_position_embeddings};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] > UINT32_MAX)
            return bt_fail(diag, BT_EUSAGE, "a size of %llu does not fit into GGUF", (unsigned long long)sizes[i]);
    if (config->num_hidden_layers > 512)
        return bt_fail(diag, BT_EUSAGE, "llama.cpp takes at most 512 blocks; this model has %llu",
                       (unsigned long long)config->num_hidden_layers);
    return BT_OK;
}

/* The last part of _name_or_path, which may be a path of the machine where the model was first saved. */
static void put_name(const struct bt_hf_config *config, struct bt_gguf_out *out)
{
    const char *name = json_string_value(json_object_get(config->raw, "_name_or_path"));
    const char *slash = name ? strrchr(name, '/') : NULL;
    if (slash)
        name = slash + 1;
    if (name && *name)
        put_text(out, "general.name", name);
}

static void put_general(const struct bt_gguf_job *job, struct bt_gguf_out *out)
{
    const bool quantised = job->type->block > 1 || job->embedding->block > 1 || job->head->block > 1;
    put_text(out, "general.architecture", bt_gguf_arch_name(job->arch));
    put_text(out, "general.type", "model");
    put_name(job->model->source->config, out);
    bt_gguf_put_u32(out, "general.file_type", job->type->file_type);
    if (quantised)
        bt_gguf_put_u32(out, "general.quantization_version", 2);
}

static void put_sizes(const struct bt_gguf_job *job, struct bt_gguf_out *out)
{
    const struct bt_shape *s = &job->model->source->shape;
    put_size(job, out, "context_length", job->model->source->config->max_position_embeddings);
    put_size(job, out, "embedding_length", s->hidden);
    put_size(job, out, "block_count", s->layers);
    put_size(job, out, "feed_forward_length", s->ffn);
    put_size(job, out, "attention.head_count", s->heads);
    put_size(job, out, "attention.head_count_kv", s->kv_heads);
    bt_gguf_put_f32(out, key_of(job, "attention.layer_norm_rms_epsilon").text, s->eps);
    if (s->heads * s->head_dim != s->hidden) {
        put_size(job, out, "attention.key_length", s->head_dim);
        put_size(job, out, "attention.value_length", s->head_dim);
    }
    put_size(job, out, "vocab_size", s->vocab);
}

static void put_rope(const struct bt_gguf_job *job, struct bt_gguf_out *out)
{
    const struct bt_rope *rope = &job->model->source->shape.rope;
    put_size(job, out, "rope.dimension_count", job->model->source->shape.head_dim);
    bt_gguf_put_f32(out, key_of(job, "rope.freq_base").text, (float)rope->theta);
    if (rope->scaling == BT_ROPE_SCALING_LINEAR) {
        put_text(out, key_of(job, "rope.scaling.type").text, "linear");
        bt_gguf_put_f32(out, key_of(job, "rope.scaling.factor").text, (float)rope->factor);
    }
    if (rope->scaling == BT_ROPE_SCALING_LLAMA3) { /* llama.cpp has the tensor rope_freqs for it */
        bt_gguf_put_f64(out, BT_GGUF_ROPE_FACTOR, rope->factor);
        bt_gguf_put_f64(out, BT_GGUF_ROPE_LOW, rope->low_freq_factor);
        bt_gguf_put_f64(out, BT_GGUF_ROPE_HIGH, rope->high_freq_factor);
        bt_gguf_put_f64(out, BT_GGUF_ROPE_ORIGINAL, rope->original_max_position);
    }
}

static void put_marks(const struct bt_export_model *model, struct bt_gguf_out *out)
{
    const struct bt_hf_marks *marks = &model->source->config->marks;
    if (!marks->present && !model->ternary && !model->int8)
        return;
    put_text(out, BT_GGUF_WEIGHTS, model->ternary ? "ternary" : "none");
    put_text(out, BT_GGUF_ACTIVATIONS, model->int8 ? "int8" : "none");
    bt_gguf_put_array(out, BT_GGUF_EXCLUDE_LAYERS, BT_GGUF_TEXT, marks->exclude_count);
    for (size_t i = 0; i < marks->exclude_count; i++)
        bt_gguf_add_text(out, marks->exclude_layers[i], strlen(marks->exclude_layers[i]));
    bt_gguf_put_f64(out, BT_GGUF_LAMBDA, model->lambda);
}

static int32_t id_of(int64_t id)
{
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : BT_NO_TOKEN;
}

static enum bt_err put_tokenizer(const struct bt_gguf_job *job, struct bt_gguf_out *out,
                                 struct bt_export_report *report, struct bt_diag *diag)
{
    const struct bt_loaded_model *model = job->model->source;
    const struct bt_hf_config *config = model->config;
    const json_t *pad = json_object_get(config->raw, "pad_token_id");
    const struct bt_gguf_special special = {.bos = id_of(config->bos_token_id),
                                            .eos = id_of(config->eos_token_id),
                                            .pad = json_is_integer(pad) ? id_of(json_integer_value(pad)) : BT_NO_TOKEN};
    struct bt_tokenizer_source source = {0};
    const char *notes[BT_GGUF_TOKENIZER_NOTES];
    size_t count = 0;
    enum bt_err err = bt_tokenizer_source_read(model->path, &source, diag);
    if (!err)
        err = bt_tokenizer_gguf_write(&source, &special, model->shape.vocab, out, notes, &count, diag);
    if (!err && !source.tokenizer)
        bt_export_note(report,
                       "%.200s has no tokenizer.json: the file has no vocabulary, and programs that read text "
                       "cannot use it",
                       model->path);
    for (size_t i = 0; i < count && !err; i++)
        bt_export_note(report, "%s", notes[i]);
    bt_tokenizer_source_finish(&source);
    return err;
}

enum bt_err bt_gguf_put_keys(const struct bt_gguf_job *job, struct bt_gguf_out *out, struct bt_export_report *report,
                             struct bt_diag *diag)
{
    const enum bt_err err = check_sizes(job->model->source->config, diag);
    if (err)
        return err;
    bt_gguf_put_checksum(out);
    put_general(job, out);
    put_sizes(job, out);
    put_rope(job, out);
    put_marks(job->model, out);
    return put_tokenizer(job, out, report, diag);
}
