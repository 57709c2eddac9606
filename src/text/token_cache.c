#include "text/token_cache.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define XXH_STATIC_LINKING_ONLY /* the hash state by value */
#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/lock.h"
#include "text/shard_set.h"
#include "text/token_cache_list.h"
#include "text/tokenize_inputs.h"
#include "text/utf8.h"

#define WAIT_NS    100000000               /* between two looks at a lock that another process holds */
#define KEY_FORMAT "bitnet-train tokens 1" /* another number when the same options make other tokens */

struct job {
    struct bt_tokenize_options options;
    void (*say)(void *context, const char *sentence);
    struct bt_token_cache_input *inputs;
    uint64_t *hashes; /* of the inputs */
    uint64_t chat;    /* of the chat format; 0 for text */
    char key[33];
    char *folder, *temporary, *lock_path;
};

static void say(const struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct job *job, const char *format, ...)
{
    char sentence[2600];
    va_list args;
    if (!job->say)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    job->say(job->options.context, sentence);
}

/* The manifest, which is JSON, holds them. */
static enum bt_err check_names(const struct bt_tokenize_options *options, struct bt_diag *diag)
{
    for (size_t i = 0; i < options->input_count; i++)
        if (bt_utf8_valid(options->inputs[i], strlen(options->inputs[i])) < strlen(options->inputs[i]))
            return bt_fail(diag, BT_EINPUT, "%s: the name is not UTF-8", options->inputs[i]);
    return BT_OK;
}

static enum bt_err hash_inputs(struct job *job, struct bt_diag *diag)
{
    const size_t count = job->options.input_count;
    job->inputs = bt_zalloc(count, sizeof *job->inputs);
    job->hashes = bt_zalloc(count, sizeof *job->hashes);
    enum bt_err err = job->inputs && job->hashes ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < count; i++) {
        struct bt_token_cache_input *input = &job->inputs[i];
        err = bt_file_hash(job->options.inputs[i], &input->hash, &input->size, diag);
        job->hashes[i] = input->hash;
    }
    job->options.input_hashes = job->hashes;
    return err;
}

/* Examples are put as the model's folder says, which is not part of tokenizer.json. */
static enum bt_err hash_chat(struct job *job, struct bt_diag *diag)
{
    struct bt_tokenize_inputs inputs;
    const enum bt_err err = bt_tokenize_inputs_find(&job->options, &inputs, diag);
    if (err)
        return err;
    job->chat = inputs.chat ? bt_chat_hash(inputs.chat) : 0;
    bt_tokenize_inputs_finish(&inputs);
    return BT_OK;
}

/* One part of the key, with its length before it: so no two lists of parts are the same bytes. NULL is a part too. */
static void add_text(XXH3_state_t *state, const char *text)
{
    const uint64_t size = text ? strlen(text) : UINT64_MAX;
    XXH3_128bits_update(state, &size, sizeof size);
    if (text)
        XXH3_128bits_update(state, text, strlen(text));
}

static void add_number(XXH3_state_t *state, uint64_t number)
{
    XXH3_128bits_update(state, &number, sizeof number);
}

static void add_parts(XXH3_state_t *state, const struct job *job)
{
    const struct bt_tokenize_options *options = &job->options;
    add_text(state, KEY_FORMAT);
    add_number(state, bt_tokenizer_hash(options->tokenizer));
    add_number(state, (uint64_t)options->separators.before);
    add_number(state, (uint64_t)options->separators.after);
    add_number(state, options->format ? (uint64_t)*options->format : UINT64_MAX);
    add_text(state, options->key);
    add_text(state, options->separator);
    add_number(state, options->shard_tokens);
    add_number(state, (uint64_t)options->form);
    add_number(state, job->chat);
    for (size_t i = 0; i < options->input_count; i++) {
        add_number(state, job->inputs[i].size);
        add_number(state, job->inputs[i].hash);
    }
}

static void make_key(struct job *job)
{
    XXH3_state_t state;
    XXH128_canonical_t digest;
    XXH3_128bits_reset(&state);
    add_parts(&state, job);
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(&state));
    for (size_t i = 0; i < sizeof digest.digest; i++)
        snprintf(job->key + 2 * i, 3, "%02x", digest.digest[i]);
}

static enum bt_err make_paths(struct job *job, const char *folder, struct bt_diag *diag)
{
    job->folder = bt_sprintf("%s/tokens-%s", folder, job->key);
    job->temporary = bt_sprintf("%s/tokens-%s.tmp", folder, job->key);
    job->lock_path = bt_sprintf("%s/tokens-%s.lock", folder, job->key);
    if (!job->folder || !job->temporary || !job->lock_path)
        return bt_fail_nomem(diag);
    return bt_dir_make(folder, diag);
}

/* Waits for a process that makes or looks at the same tokens. */
static enum bt_err lock(const struct job *job, struct bt_lock **ret_lock, struct bt_diag *diag)
{
    const struct bt_tokenize_options *options = &job->options;
    bool busy = false;
    enum bt_err err = bt_lock_try(job->lock_path, &busy, ret_lock, diag);
    if (busy)
        say(job, "%s; waiting for it", diag ? diag->text : job->lock_path);
    while (busy) {
        if (options->stop && options->stop(options->context))
            return bt_fail(diag, BT_ESTOPPED, "stopped while waiting for %s; the same command continues",
                           job->lock_path);
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
        err = bt_lock_try(job->lock_path, &busy, ret_lock, diag);
    }
    return err;
}

static enum bt_err tokenize(struct job *job, struct bt_diag *diag)
{
    struct bt_tokenize_report report;
    char *prefix = bt_path_join(job->temporary, "tokens");
    if (!prefix)
        return bt_fail_nomem(diag);
    job->options.prefix = prefix;
    say(job, "tokenizing %s%s into %s", job->options.inputs[0], job->options.input_count > 1 ? " and others" : "",
        job->folder);
    const enum bt_err err = bt_tokenize(&job->options, &report, diag);
    if (!err)
        say(job, "tokenized: %" PRIu64 " document%s, %" PRIu64 " tokens", report.done.documents,
            report.done.documents == 1 ? "" : "s", report.done.tokens);
    bt_free(prefix);
    return err;
}

/* Writes beside and renames; what stands there is damaged. */
static enum bt_err make(struct job *job, struct bt_diag *diag)
{
    enum bt_err err;
    if ((err = bt_dir_remove(job->temporary, diag)) || (err = bt_dir_make(job->temporary, diag)))
        return err;
    if (!(err = tokenize(job, diag)) && !(err = bt_token_cache_list_write(job->temporary, job->key, diag)) &&
        !(err = bt_dir_sync(job->temporary, diag)) && !(err = bt_dir_remove(job->folder, diag)))
        err = bt_file_rename(job->temporary, job->folder, diag);
    if (err)
        bt_dir_remove(job->temporary, NULL); /* as well as it goes: the next one clears the rest away */
    return err;
}

static enum bt_err find_or_make(struct job *job, struct bt_token_cache *cache, struct bt_diag *diag)
{
    struct bt_diag damage = {""};
    enum bt_err err = BT_EINPUT;
    if (bt_file_exists(job->folder)) {
        err = bt_token_cache_list_read(job->folder, job->key, &cache->shards, &cache->shard_count, &damage);
        if (err && err != BT_EINPUT)
            return bt_fail(diag, err, "%s", damage.text);
        if (err)
            say(job, "%s; the tokens are made again", damage.text);
    }
    if (!err)
        return BT_OK;
    err = make(job, diag);
    return err ? err : bt_token_cache_list_read(job->folder, job->key, &cache->shards, &cache->shard_count, diag);
}

static enum bt_err get(struct job *job, const char *folder, struct bt_token_cache *cache, struct bt_diag *diag)
{
    struct bt_lock *held = NULL;
    enum bt_err err;
    if ((err = check_names(&job->options, diag)) || (err = hash_inputs(job, diag)) || (err = hash_chat(job, diag)))
        return err;
    make_key(job);
    if ((err = make_paths(job, folder, diag)) || (err = lock(job, &held, diag)))
        return err;
    err = find_or_make(job, cache, diag);
    bt_lock_release(held);
    return err;
}

enum bt_err bt_token_cache_get(const char *folder, const struct bt_tokenize_options *options,
                               void (*say_to)(void *context, const char *sentence), struct bt_token_cache *ret_cache,
                               struct bt_diag *diag)
{
    struct bt_token_cache cache = {0};
    struct job job = {.options = *options, .say = say_to};
    job.options.shard_tokens = BT_SHARD_TOKENS_USUAL;
    job.options.skip = false;
    const enum bt_err err = get(&job, folder, &cache, diag);
    if (err) {
        bt_token_cache_finish(&cache);
    } else {
        cache.inputs = job.inputs;
        job.inputs = NULL;
        *ret_cache = cache;
    }
    bt_free(job.inputs);
    bt_free(job.hashes);
    bt_free(job.folder);
    bt_free(job.temporary);
    bt_free(job.lock_path);
    return err;
}

void bt_token_cache_finish(struct bt_token_cache *cache)
{
    bt_names_free(cache->shards, cache->shard_count);
    bt_free(cache->inputs);
    *cache = (struct bt_token_cache){0};
}
