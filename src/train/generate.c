#include "train/generate.h"

#include <string.h>

#include "base/clock.h"
#include "io/file.h"
#include "io/json.h"
#include "text/stop_strings.h"

/* ---- ids that end a text ---- */

static bool has_id(const struct bt_end_ids *ids, int32_t id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (ids->at[i] == id)
            return true;
    return false;
}

enum bt_err bt_end_ids_add(struct bt_end_ids *ids, int32_t id, struct bt_diag *diag)
{
    if (id == BT_NO_TOKEN || has_id(ids, id))
        return BT_OK;
    int32_t *at = bt_realloc(ids->at, ids->count + 1, sizeof *at);
    if (!at)
        return bt_fail_nomem(diag);
    at[ids->count++] = id;
    ids->at = at;
    return BT_OK;
}

void bt_end_ids_finish(struct bt_end_ids *ids)
{
    bt_free(ids->at);
    *ids = (struct bt_end_ids){0};
}

static enum bt_err add_value(struct bt_end_ids *ids, const json_t *value, const char *what, struct bt_diag *diag)
{
    const json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id > INT32_MAX)
        return bt_fail(diag, BT_EINPUT, "%s: eos_token_id: expected an id or a list of ids", what);
    return bt_end_ids_add(ids, (int32_t)id, diag);
}

/* eos_token_id of a config: missing, null, an id or a list of them. */
static enum bt_err add_from(struct bt_end_ids *ids, const json_t *config, const char *what, struct bt_diag *diag)
{
    const json_t *value = json_object_get(config, "eos_token_id");
    enum bt_err err = BT_OK;
    if (!value || json_is_null(value))
        return BT_OK;
    if (!json_is_array(value))
        return add_value(ids, value, what, diag);
    for (size_t i = 0; i < json_array_size(value) && !err; i++)
        err = add_value(ids, json_array_get(value, i), what, diag);
    return err;
}

static enum bt_err add_from_generation_config(struct bt_end_ids *ids, const char *folder, struct bt_diag *diag)
{
    json_t *config = NULL;
    char *path = bt_path_join(folder, "generation_config.json");
    enum bt_err err = BT_OK;
    if (!path)
        return bt_fail_nomem(diag);
    if (bt_file_exists(path) && !(err = bt_json_read(path, &config, diag)))
        err = add_from(ids, config, path, diag);
    json_decref(config);
    bt_free(path);
    return err;
}

enum bt_err bt_end_ids_read(const struct bt_loaded_model *model, struct bt_end_ids *ret_ids, struct bt_diag *diag)
{
    struct bt_end_ids ids = {0};
    enum bt_err err = add_from(&ids, model->config->raw, "config.json", diag);
    if (!err)
        err = add_from_generation_config(&ids, model->path, diag);
    if (err)
        bt_end_ids_finish(&ids);
    else
        *ret_ids = ids;
    return err;
}

const char *bt_generation_end_name(enum bt_generation_end end)
{
    static const char *const names[] = {[BT_END_TOKEN] = "token",
                                        [BT_END_STOP] = "stop",
                                        [BT_END_LENGTH] = "length",
                                        [BT_END_CONTEXT] = "context",
                                        [BT_END_ASKED] = "asked"};
    return names[end];
}

/* ---- the generator ---- */

struct bt_generator {
    struct bt_infer *engine;
    const struct bt_tokenizer *tokenizer;
    size_t context;
    struct bt_sampler *sampler;
    float *logits; /* (vocab) */
    int32_t *text; /* (context) what the engine holds, and the token that comes next */
};

enum bt_err bt_generator_create(struct bt_infer *engine, const struct bt_tokenizer *tokenizer, size_t vocab,
                                size_t context, struct bt_generator **ret_generator, struct bt_diag *diag)
{
    const size_t known = (size_t)bt_tokenizer_vocab_size(tokenizer);
    struct bt_generator *g = bt_zalloc(1, sizeof *g);
    if (!g)
        return bt_fail_nomem(diag);
    *g = (struct bt_generator){.engine = engine, .tokenizer = tokenizer, .context = context};
    g->logits = bt_zalloc(vocab, sizeof *g->logits);
    g->text = bt_zalloc(context, sizeof *g->text);
    enum bt_err err = g->logits && g->text ? bt_sampler_create(known < vocab ? known : vocab, &g->sampler, diag)
                                           : bt_fail_nomem(diag);
    if (err)
        bt_generator_destroy(g);
    else
        *ret_generator = g;
    return err;
}

void bt_generator_destroy(struct bt_generator *g)
{
    if (!g)
        return;
    bt_sampler_destroy(g->sampler);
    bt_free(g->logits);
    bt_free(g->text);
    bt_free(g);
}

/* One text while it is made. */
struct making {
    struct bt_generator *g;
    const struct bt_generation *generation;
    struct bt_token_stream *stream;
    struct bt_stop_strings stop;
    bt_generation_sink *sink;
    void *context;
    struct bt_generation_report *report;
};

/* Hands out what may be shown. False: the text ends here. */
static bool show(struct making *m, const char *text, size_t size)
{
    if (size && !m->sink(m->context, text, size)) {
        m->report->end = BT_END_ASKED;
        return false;
    }
    if (m->stop.stopped)
        m->report->end = BT_END_STOP;
    return !m->stop.stopped;
}

static enum bt_err take_piece(struct making *m, const char *piece, size_t size, bool *ret_more, struct bt_diag *diag)
{
    const char *text;
    size_t count;
    if (!bt_stop_strings_push(&m->stop, piece, size, &text, &count))
        return bt_fail_nomem(diag);
    *ret_more = show(m, text, count);
    return BT_OK;
}

/* What characters and stop strings held back. */
static enum bt_err finish_text(struct making *m, struct bt_diag *diag)
{
    const char *text;
    size_t size;
    bool more = true;
    enum bt_err err = bt_token_stream_end(m->stream, &text, &size, diag);
    if (!err)
        err = take_piece(m, text, size, &more, diag);
    if (err || !more)
        return err;
    bt_stop_strings_end(&m->stop, &text, &size);
    show(m, text, size);
    return BT_OK;
}

/* The prompt goes through the stream too, unseen: whether a space is shown hangs on what stands before it. */
static enum bt_err begin_stream(struct making *m, const int32_t *ids, size_t n, struct bt_diag *diag)
{
    const char *piece;
    size_t size;
    enum bt_err err = bt_token_stream_create(m->g->tokenizer, !m->generation->show_special, &m->stream, diag);
    for (size_t i = 0; i < n && !err; i++)
        err = bt_token_stream_push(m->stream, ids[i], &piece, &size, diag);
    return err;
}

/* Logits behind the prompt; of what the engine holds, the part that agrees is kept, but for the last token. */
static void feed_prompt(struct making *m, const int32_t *ids, size_t n)
{
    struct bt_generator *g = m->g;
    const double before = bt_clock_seconds();
    size_t same = 0;
    while (same < bt_infer_length(g->engine) && same + 1 < n && g->text[same] == ids[same])
        same++;
    memcpy(g->text, ids, n * sizeof *ids);
    bt_infer_cut(g->engine, same);
    bt_infer_feed(g->engine, ids + same, n - same, g->logits);
    m->report->prompt_tokens = n - same;
    m->report->prompt_seconds = bt_clock_seconds() - before;
}

static enum bt_err next_token(struct making *m, size_t length, int32_t *ret_id, struct bt_diag *diag)
{
    struct bt_generator *g = m->g;
    const int32_t id = bt_sample(g->sampler, &m->generation->sampling, g->logits, g->text, length);
    if (id < 0)
        return bt_fail(diag, BT_EINPUT, "the model's logits for token %zu of the text are not all finite", length);
    m->report->tokens++;
    *ret_id = id;
    return BT_OK;
}

/* Tokens behind a text of `length`, whose logits are there. */
static enum bt_err make_tokens(struct making *m, size_t length, struct bt_diag *diag)
{
    struct bt_generator *g = m->g;
    const char *piece;
    size_t size;
    int32_t id;
    bool more = true;
    enum bt_err err;
    for (;; length++) {
        if ((err = next_token(m, length, &id, diag)))
            return err;
        m->report->end = BT_END_TOKEN;
        if (m->generation->ends && has_id(m->generation->ends, id))
            return finish_text(m, diag);
        if ((err = bt_token_stream_push(m->stream, id, &piece, &size, diag)) ||
            (err = take_piece(m, piece, size, &more, diag)) || !more)
            return err;
        m->report->end = m->report->tokens == m->generation->max_tokens ? BT_END_LENGTH : BT_END_CONTEXT;
        if (m->report->end == BT_END_LENGTH || length + 1 >= g->context)
            return finish_text(m, diag);
        g->text[length] = id;
        bt_infer_feed(g->engine, &id, 1, g->logits);
    }
}

enum bt_err bt_generate(struct bt_generator *g, const struct bt_generation *generation, const int32_t *ids, size_t n,
                        bt_generation_sink *sink, void *context, struct bt_generation_report *report,
                        struct bt_diag *diag)
{
    struct making m = {.g = g,
                       .generation = generation,
                       .stop = {.strings = generation->stops, .count = generation->stop_count},
                       .sink = sink,
                       .context = context,
                       .report = report};
    *report = (struct bt_generation_report){.end = BT_END_LENGTH};
    if (n >= g->context)
        return bt_fail(diag, BT_EUSAGE, "the prompt has %zu tokens, which with one more do not fit the context of %zu",
                       n, g->context);
    enum bt_err err = begin_stream(&m, ids, n, diag);
    if (!err && generation->max_tokens) {
        feed_prompt(&m, ids, n);
        const double before = bt_clock_seconds();
        err = make_tokens(&m, n, diag);
        report->decode_seconds = bt_clock_seconds() - before;
    }
    bt_token_stream_destroy(m.stream);
    bt_stop_strings_finish(&m.stop);
    return err;
}
