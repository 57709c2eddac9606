#include "train/rows_text.h"

#include <inttypes.h>
#include <omp.h>
#include <stdio.h>

#include "base/mem.h"
#include "text/token_cache.h"
#include "train/run.h"

bool bt_source_is_text(const struct bt_cfg_source *config)
{
    return config->format == BT_CFG_TEXT || config->format == BT_CFG_JSONL;
}

enum bt_err bt_source_check_name(const char *path, const struct bt_cfg_source *config, struct bt_diag *diag)
{
    enum bt_text_format format;
    if (bt_text_format_of(path, &format, NULL))
        return BT_OK;
    return bt_fail(diag, BT_EUSAGE,
                   "%s is named like text, but its source has format: %s, which is token shards; set "
                   "format: %s",
                   path, config->format == BT_CFG_NANOGPT ? "nanogpt" : "llmc",
                   format == BT_TEXT_JSONL ? "jsonl" : "text");
}

/* The id as the word that bt_separators_choose takes; NULL leaves the choice to it. */
static const char *id_word(int64_t id, char *word, size_t size)
{
    if (id < 0)
        return NULL;
    snprintf(word, size, "%" PRId64, id);
    return word;
}

static enum bt_err check_id(const char *key, int64_t id, const struct bt_tokenizer *tokenizer, const char *folder,
                            struct bt_diag *diag)
{
    if (id < bt_tokenizer_vocab_size(tokenizer))
        return BT_OK;
    return bt_fail(diag, BT_EUSAGE,
                   "data.separators.%s: found %" PRId64 ", but the tokenizer of %s has the ids 0 to %d", key, id,
                   folder, (int)bt_tokenizer_vocab_size(tokenizer) - 1);
}

/* What data.separators says; where it says nothing, what the model's folder does. As rows see them: an id that is both
 * stands before. */
static enum bt_err choose_separators(const struct bt_rows_options *options, const struct bt_tokenizer *tokenizer,
                                     struct bt_separators *ret_separators, struct bt_diag *diag)
{
    const struct bt_rows_text *text = &options->text;
    char before[24], after[24];
    enum bt_err err = check_id("before", text->before, tokenizer, text->tokenizer, diag);
    if (!err)
        err = check_id("after", text->after, tokenizer, text->tokenizer, diag);
    if (err)
        return err;
    const bool both = text->before >= 0 && text->before == text->after;
    return bt_separators_choose(text->tokenizer, tokenizer, id_word(text->before, before, sizeof before),
                                both ? "none" : id_word(text->after, after, sizeof after), ret_separators, diag);
}

static void tell_progress(void *context, const struct bt_tokenize_progress *progress)
{
    const struct bt_observer *observer = context;
    if (observer->tokenizing)
        observer->tokenizing(observer->context, progress);
}

static bool stop_asked(void *context)
{
    const struct bt_observer *observer = context;
    return observer->stop && observer->stop(observer->context);
}

static void pass_on(void *context, const char *sentence)
{
    const struct bt_observer *observer = context;
    if (observer->say)
        observer->say(observer->context, sentence);
}

static enum bt_err get_cache(struct bt_source *source, const struct bt_cfg_source *config,
                             const struct bt_rows_options *options, const struct bt_tokenizer *tokenizer,
                             struct bt_diag *diag)
{
    const enum bt_text_format format = config->format == BT_CFG_JSONL ? BT_TEXT_JSONL : BT_TEXT_PLAIN;
    struct bt_observer observer = *options->text.observer;
    struct bt_token_cache cache = {0};
    struct bt_tokenize_options how = {.tokenizer = tokenizer,
                                      .tokenizer_path = options->text.tokenizer,
                                      .inputs = (const char *const *)source->texts,
                                      .input_count = source->text_count,
                                      .format = &format,
                                      .key = config->key ? config->key : "text",
                                      .separator = config->separator,
                                      .form = config->key ? BT_FORM_TEXT : BT_FORM_NONE,
                                      .chat_format = config->chat_format,
                                      .threads = omp_get_max_threads(),
                                      .progress = tell_progress,
                                      .stop = stop_asked,
                                      .context = &observer};
    enum bt_err err = choose_separators(options, tokenizer, &how.separators, diag);
    char *folder = bt_path_join(options->text.output_dir, ".cache");
    if (!err)
        err = folder ? bt_token_cache_get(folder, &how, pass_on, &cache, diag) : bt_fail_nomem(diag);
    bt_free(folder);
    if (err)
        return err;
    if (source->before < 0 && how.separators.before != BT_NO_TOKEN)
        source->before = how.separators.before;
    if (source->after < 0 && how.separators.after != BT_NO_TOKEN)
        source->after = how.separators.after;
    source->paths = cache.shards;
    source->count = cache.shard_count;
    source->text_files = cache.inputs;
    return BT_OK;
}

enum bt_err bt_source_tokenize(struct bt_source *source, const struct bt_cfg_source *config,
                               const struct bt_rows_options *options, struct bt_diag *diag)
{
    struct bt_tokenizer *tokenizer = NULL;
    if (!options->text.tokenizer)
        return bt_fail(diag, BT_EINPUT, "%s: text needs the tokenizer of a model folder, and there is none",
                       config->path);
    enum bt_err err = bt_glob(config->path, &source->texts, &source->text_count, diag);
    if (!err)
        err = bt_tokenizer_open(options->text.tokenizer, &tokenizer, diag);
    if (!err)
        err = get_cache(source, config, options, tokenizer, diag);
    bt_tokenizer_close(tokenizer);
    return err;
}
