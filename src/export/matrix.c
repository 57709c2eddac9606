#include "export/matrix.h"

const char *bt_gguf_arch_name(enum bt_gguf_arch arch)
{
    static const char *const names[] = {
        [BT_GGUF_LLAMA] = "llama", [BT_GGUF_QWEN2] = "qwen2", [BT_GGUF_QWEN3] = "qwen3", [BT_GGUF_BITNET] = "bitnet"};
    return names[arch];
}

/* What llama.cpp's graph "bitnet" lacks and this model has, or NULL (src/models/bitnet.cpp of llama.cpp). */
static const char *missing_in_bitnet(const struct bt_shape *s)
{
    if (s->act != BT_ACT_SILU)
        return "it computes SiLU where this model has ReLU squared (relu2)";
    if (!s->tied)
        return "it has no output head of its own, and this model's is not tied to the embedding";
    if (s->qkv_bias || s->o_bias || s->mlp_bias)
        return "it has no biases";
    if (s->qk_norm)
        return "it has no norms of q and k";
    if (s->heads * s->head_dim != s->hidden)
        return "it needs heads * head_dim to be hidden_size";
    if (s->rope.scaling == BT_ROPE_SCALING_LLAMA3)
        return "it has no llama3 RoPE scaling";
    return NULL;
}

/* The same for the graphs without SubLN. */
static const char *missing_in_plain(const struct bt_shape *s, enum bt_gguf_arch arch)
{
    if (s->act != BT_ACT_SILU)
        return "it computes SiLU where this model has ReLU squared (relu2)";
    if (arch != BT_GGUF_LLAMA && s->rope.scaling == BT_ROPE_SCALING_LLAMA3)
        return "it has no llama3 RoPE scaling";
    if (arch == BT_GGUF_QWEN2 && s->heads * s->head_dim != s->hidden)
        return "it needs heads * head_dim to be hidden_size";
    if (arch != BT_GGUF_LLAMA && (s->o_bias || s->mlp_bias))
        return "it has no biases of o_proj and of the feed-forward layers";
    return NULL;
}

static enum bt_gguf_arch plain_arch(const struct bt_shape *s, enum bt_family family)
{
    if (s->qk_norm)
        return BT_GGUF_QWEN3;
    return family == BT_QWEN2 ? BT_GGUF_QWEN2 : BT_GGUF_LLAMA;
}

enum bt_err bt_export_gguf_arch(const struct bt_export_model *model, enum bt_gguf_arch *ret_arch, struct bt_diag *diag)
{
    const struct bt_shape *s = &model->source->shape;
    const enum bt_gguf_arch arch = s->sub_norm ? BT_GGUF_BITNET : plain_arch(s, model->source->config->family);
    const char *missing = s->sub_norm ? missing_in_bitnet(s) : missing_in_plain(s, arch);
    if (s->window) /* Mistral-class files run as "llama", and llama.cpp's Qwen graphs ignore the window */
        missing = "it attends to all earlier tokens where this model has a sliding window";
    if (missing)
        return bt_fail(diag, BT_EUSAGE,
                       "%s: GGUF cannot hold this model: of llama.cpp's graphs only \"%s\" comes near, and %s; --to hf "
                       "can hold it",
                       model->source->path, bt_gguf_arch_name(arch), missing);
    *ret_arch = arch;
    return BT_OK;
}

static bool has_excluded(const struct bt_params *params)
{
    for (size_t i = 0; i < params->count; i++)
        if (params->list[i].excluded)
            return true;
    return false;
}

/* Sizes that the family's class in transformers cannot express, or NULL. */
static const char *missing_in_class(const struct bt_shape *s, enum bt_family family)
{
    if (family == BT_QWEN2 && s->heads * s->head_dim != s->hidden)
        return "Qwen2ForCausalLM has no head_dim of its own, and heads * head_dim is not hidden_size";
    if (family == BT_LLAMA && s->hidden % s->heads)
        return "LlamaForCausalLM wants hidden_size to be a multiple of the number of heads";
    return NULL;
}

/* BitNetForCausalLM: SubLN, and biases in all four layers of the attention or in none. */
static bool fits_bitnet(const struct bt_shape *s)
{
    return s->sub_norm && !s->mlp_bias && !s->qk_norm && !s->window && s->heads * s->head_dim == s->hidden;
}

enum bt_err bt_export_hf_target(const struct bt_export_model *model, bool quantized, struct bt_hf_target *ret_target,
                                struct bt_diag *diag)
{
    const struct bt_shape *s = &model->source->shape;
    const char *path = model->source->path;
    const enum bt_family own = model->source->config->family == BT_BITNET ? BT_LLAMA : model->source->config->family;
    struct bt_hf_target target = {.family = own};
    if (fits_bitnet(s)) {
        *ret_target = (struct bt_hf_target){.family = BT_BITNET, .zero_o_bias = s->qkv_bias && !s->o_bias};
        return BT_OK;
    }
    const char *missing = missing_in_class(s, own);
    if (missing)
        return bt_fail(diag, BT_EUSAGE, "%s: no class of transformers can hold this model: %s", path, missing);
    target.norms = s->sub_norm;
    if (target.norms && !quantized)
        return bt_fail(diag, BT_EUSAGE,
                       "%s: BitNetForCausalLM cannot hold this model (q/k norm, a window, biases of the feed-forward "
                       "layers, or heads * head_dim that is not hidden_size), and other classes have SubLN norms only "
                       "by a quantization_config: --quantization-mode offline or online can hold it",
                       path);
    if (target.norms && has_excluded(&model->source->params))
        return bt_fail(
            diag, BT_EUSAGE,
            "%s: no class of transformers can hold this model: BitNetForCausalLM lacks something it has, and "
            "the norms that other classes put in front of ternary layers would be missing before those that "
            "exclude_layers left in full precision",
            path);
    *ret_target = target;
    return BT_OK;
}
