#include "text/tokenizer_train.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/bpe_train.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

struct job {
    const struct bt_tokenizer_training *training;
    struct bt_pre_tokenizer pre;
    struct bt_word_table kept; /* the bytes that special tokens would stand for, were they read as letters */
    struct bt_word_table words;
    struct bt_bpe_trained trained;
    struct bt_tokenizer_training_report report;
};

/* The text as letters of byte-level BPE; false when one of its characters is none. */
static bool letters_to_bytes(const char *text, struct bt_buffer *bytes, bool *ret_out_of_memory)
{
    const size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += bt_utf8_take(text + at, &code);
        const int byte = bt_letter_to_byte(code);
        if (byte < 0)
            return false;
        if (!bt_buffer_put(bytes, &(char){(char)byte}, 1)) {
            *ret_out_of_memory = true;
            return false;
        }
    }
    return true;
}

/* No merge may make a token that is spelled like a special one: the file could not tell them apart. */
static enum bt_err keep_special(struct job *job, const char *special, struct bt_diag *diag)
{
    struct bt_buffer bytes = {0};
    bool out_of_memory = false;
    enum bt_err err = BT_OK;
    if (letters_to_bytes(special, &bytes, &out_of_memory)) {
        if (bytes.size == 1)
            err = bt_fail(diag, BT_EUSAGE,
                          "the special token \"%s\" is spelled like the token of the byte 0x%02X; expected another one",
                          special, (unsigned)(unsigned char)bytes.at[0]);
        else if (!bt_word_table_enter(&job->kept, bytes.at, bytes.size))
            out_of_memory = true;
    }
    bt_buffer_finish(&bytes);
    return out_of_memory ? bt_fail_nomem(diag) : err;
}

/* The words are those that the new tokenizer will see. */
static enum bt_err open_pattern(struct job *job, struct bt_diag *diag)
{
    const struct bt_where where = {"the split pattern"};
    json_t *value = bt_word_pattern_json(job->training->pattern);
    const enum bt_err err = value ? bt_pre_tokenizer_read(value, &where, &job->pre, diag) : bt_fail_nomem(diag);
    json_decref(value);
    return err;
}

static enum bt_err count_words(struct job *job, struct bt_diag *diag)
{
    struct bt_word_count_options options = job->training->text;
    options.pre = &job->pre;
    options.longest = BT_BPE_TRAIN_WORD;
    const enum bt_err err = bt_word_count(&options, &job->words, &job->report.text, diag);
    if (!err && job->words.count == 0)
        return bt_fail(diag, BT_EINPUT, "%s: the inputs hold no text, so there is nothing to learn tokens from",
                       options.inputs[0]);
    job->report.different_words = job->words.count;
    return err;
}

static enum bt_err train(struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenizer_training *training = job->training;
    const struct bt_bpe_training bpe = {.words = &job->words,
                                        .tokens = training->vocab_size - training->special_count,
                                        .min_frequency = training->min_frequency,
                                        .kept = &job->kept,
                                        .progress = training->progress,
                                        .context = training->context};
    const enum bt_err err = bt_bpe_train(&bpe, &job->trained, diag);
    const struct bt_word_table *tokens = &job->trained.tokens;
    job->report.vocab_size = tokens->count + training->special_count;
    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->words[i].size > job->report.longest)
            job->report.longest = tokens->words[i].size;
    return err;
}

/* What makes the value of an array's or object's element i. */
typedef json_t *make_fn(const struct job *job, size_t i);

static json_t *make_array(const struct job *job, size_t count, make_fn *make)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++)
        if (json_array_append_new(array, make(job, i))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *make_added(const struct job *job, size_t i)
{
    return bt_tokenizer_json_added(job->training->special[i], (int32_t)i);
}

static json_t *make_spelling(const struct job *job, size_t token)
{
    const struct bt_word_table *tokens = &job->trained.tokens;
    return bt_tokenizer_json_letters(bt_word_table_bytes(tokens, &tokens->words[token]), tokens->words[token].size);
}

/* "left right": every version of Hugging Face's library reads that, and no letter is a space. */
static json_t *make_merge(const struct job *job, size_t i)
{
    const struct bt_bpe_pair *pair = &job->trained.merges[i];
    json_t *left = make_spelling(job, (size_t)pair->left), *right = make_spelling(job, (size_t)pair->right);
    json_t *merge = left && right ? json_sprintf("%s %s", json_string_value(left), json_string_value(right)) : NULL;
    json_decref(left);
    json_decref(right);
    return merge;
}

static bool add_token(const struct job *job, json_t *vocab, size_t token)
{
    json_t *spelling = make_spelling(job, token);
    const json_int_t id = (json_int_t)(token + job->training->special_count);
    const bool ok = spelling && !json_object_set_new(vocab, json_string_value(spelling), json_integer(id));
    json_decref(spelling);
    return ok;
}

static json_t *make_vocab(const struct job *job)
{
    json_t *vocab = json_object();
    bool ok = vocab;
    for (size_t i = 0; ok && i < job->training->special_count; i++)
        ok = !json_object_set_new(vocab, job->training->special[i], json_integer((json_int_t)i));
    for (size_t i = 0; ok && i < job->trained.tokens.count; i++)
        ok = add_token(job, vocab, i);
    if (ok)
        return vocab;
    json_decref(vocab);
    return NULL;
}

static const char *special(const struct bt_tokenizer_training *training, int32_t id)
{
    return id >= 0 ? training->special[id] : NULL;
}

static json_t *make_tokenizer(const struct job *job)
{
    const struct bt_tokenizer_training *training = job->training;
    const struct bt_tokenizer_json_parts parts = {
        .added = make_array(job, training->special_count, make_added),
        .pre_tokenizer = bt_word_pattern_json(training->pattern),
        .vocab = make_vocab(job),
        .merges = make_array(job, job->trained.merge_count, make_merge),
        .ignore_merges = bt_word_pattern_ignores_merges(training->pattern),
        .bos = special(training, training->bos),
        .bos_id = training->bos,
    };
    return bt_tokenizer_json(&parts);
}

static json_t *make_other_special(const struct job *job)
{
    const struct bt_tokenizer_training *training = job->training;
    json_t *list = json_array();
    for (size_t i = 0; list && i < training->special_count; i++) {
        if ((int32_t)i == training->bos || (int32_t)i == training->eos)
            continue;
        if (json_array_append_new(list, json_string(training->special[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *make_special_map(const struct job *job)
{
    const struct bt_tokenizer_training *training = job->training;
    return json_pack("{s:s*, s:s*, s:o}", "bos_token", special(training, training->bos), "eos_token",
                     special(training, training->eos), "additional_special_tokens", make_other_special(job));
}

static enum bt_err write_files(const struct job *job, struct bt_diag *diag)
{
    const struct bt_tokenizer_training *t = job->training;
    const char *bos = special(t, t->bos), *eos = special(t, t->eos);
    enum bt_err err = bt_dir_make(t->folder, diag);
    if (!err)
        err = bt_tokenizer_json_write(t->folder, "tokenizer_config.json", bt_tokenizer_json_config(bos, eos), diag);
    if (!err)
        err = bt_tokenizer_json_write(t->folder, "special_tokens_map.json", make_special_map(job), diag);
    if (!err)
        err = bt_tokenizer_json_write(t->folder, "generation_config.json",
                                      bt_tokenizer_json_generation(bos, t->bos, eos, t->eos), diag);
    return err ? err : bt_tokenizer_json_write(t->folder, "tokenizer.json", make_tokenizer(job), diag);
}

enum bt_err bt_tokenizer_train(const struct bt_tokenizer_training *training,
                               struct bt_tokenizer_training_report *ret_report, struct bt_diag *diag)
{
    struct job job = {.training = training};
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < training->special_count; i++)
        err = keep_special(&job, training->special[i], diag);
    if (!err)
        err = open_pattern(&job, diag);
    if (!err)
        err = count_words(&job, diag);
    if (!err)
        err = train(&job, diag);
    if (!err)
        err = write_files(&job, diag);
    if (!err)
        *ret_report = job.report;
    bt_bpe_trained_finish(&job.trained);
    bt_word_table_finish(&job.words);
    bt_word_table_finish(&job.kept);
    bt_pre_tokenizer_finish(&job.pre);
    return err;
}
