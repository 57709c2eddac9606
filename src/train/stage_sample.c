#include "train/stage_sample.h"

#include "nn/infer.h"
#include "text/buffer.h"
#include "train/generate.h"

enum { SAMPLE_TOKENS = 64 };

struct bt_stage_sampler {
    struct bt_tokenizer *tokenizer;
    struct bt_end_ids ends;
    int32_t begin; /* the id that a text begins with */
};

enum bt_err bt_stage_sampler_open(const struct bt_run *run, const struct bt_loaded_model *model,
                                  struct bt_stage_sampler **ret_sampler, struct bt_diag *diag)
{
    const struct bt_hf_config *config = model->config;
    struct bt_stage_sampler *sampler;
    if (!run->config->logging.sample_interval)
        return BT_OK;
    if (config->bos_token_id < 0 && config->eos_token_id < 0)
        return bt_fail(diag, BT_EINPUT,
                       "%s: its config.json names neither bos_token_id nor eos_token_id, one of which samples of text "
                       "begin with; set logging.sample_interval: 0",
                       model->path);
    if (!(sampler = bt_zalloc(1, sizeof *sampler)))
        return bt_fail_nomem(diag);
    sampler->begin = (int32_t)(config->bos_token_id >= 0 ? config->bos_token_id : config->eos_token_id);
    enum bt_err err = bt_tokenizer_open(model->path, &sampler->tokenizer, diag);
    if (!err && (size_t)bt_tokenizer_vocab_size(sampler->tokenizer) > model->shape.vocab)
        err = bt_fail(diag, BT_EINPUT, "%s: its tokenizer has %ld tokens, its model %zu", model->path,
                      (long)bt_tokenizer_vocab_size(sampler->tokenizer), model->shape.vocab);
    if (!err)
        err = bt_end_ids_read(model, &sampler->ends, diag);
    if (err)
        bt_stage_sampler_close(sampler);
    else
        *ret_sampler = sampler;
    return err;
}

void bt_stage_sampler_close(struct bt_stage_sampler *sampler)
{
    if (!sampler)
        return;
    bt_tokenizer_close(sampler->tokenizer);
    bt_end_ids_finish(&sampler->ends);
    bt_free(sampler);
}

static struct bt_infer_options engine_options(const struct bt_cfg_train_stage *config, double lambda)
{
    return (struct bt_infer_options){.context = SAMPLE_TOKENS + 1,
                                     .ternary_weights = config->weights == BT_WEIGHTS_TERNARY,
                                     .int8_activations = config->activations == BT_ACTIVATIONS_INT8,
                                     .lambda = (float)lambda};
}

size_t bt_stage_sample_memory(const struct bt_params *params, const struct bt_cfg_train_stage *config)
{
    const struct bt_infer_options mixed = engine_options(config, 0.5), whole = engine_options(config, 1.0);
    const size_t a = bt_infer_memory(params, &mixed), b = bt_infer_memory(params, &whole);
    return a > b ? a : b;
}

static bool collect(void *context, const char *text, size_t size)
{
    return bt_buffer_put(context, text, size);
}

/* A model whose logits are not finite has no text; whether the run goes on is not decided here. */
static enum bt_err make_text(struct bt_stage_run *s, struct bt_infer *engine, struct bt_buffer *text, bool *ret_finite,
                             struct bt_diag *diag)
{
    const struct bt_stage_sampler *sampler = s->sampler;
    const struct bt_generation generation = {
        .sampling = bt_sampling_greedy, .ends = &sampler->ends, .max_tokens = SAMPLE_TOKENS};
    struct bt_generation_report report;
    struct bt_generator *generator = NULL;
    struct bt_diag reason = {""};
    enum bt_err err =
        bt_generator_create(engine, sampler->tokenizer, s->model->shape.vocab, SAMPLE_TOKENS + 1, &generator, diag);
    if (err)
        return err;
    err = bt_generate(generator, &generation, &sampler->begin, 1, collect, text, &report, &reason);
    bt_generator_destroy(generator);
    *ret_finite = err != BT_EINPUT;
    if (err && *ret_finite)
        return bt_fail(diag, err, "%s", reason.text);
    return *ret_finite && report.end == BT_END_ASKED ? bt_fail_nomem(diag) : BT_OK;
}

enum bt_err bt_stage_sample(struct bt_stage_run *s, double lambda, struct bt_diag *diag)
{
    const struct bt_infer_options options = engine_options(s->config, lambda);
    struct bt_infer *engine = NULL;
    struct bt_buffer text = {0};
    bool finite = true;
    enum bt_err err = bt_infer_create(&s->model->params, &options, bt_infer_flat_tensor, s->model->weights, &s->compute,
                                      &engine, diag);
    if (!err)
        err = make_text(s, engine, &text, &finite, diag);
    bt_infer_destroy(engine);
    if (!err)
        err = bt_record_sample(s, finite ? text.at : NULL, finite ? text.size : 0, lambda, diag);
    bt_buffer_finish(&text);
    return err;
}
