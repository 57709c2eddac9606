#include "text/corpus.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/bytes.h"

static const char separator[] = "\n<|eos|>\n";
#define SEPARATOR_SIZE (sizeof separator - 1)

/* Appends to the text, whose room is counted in *room. */
static bool append(char **text, size_t *room, size_t size, const char *more, size_t more_size)
{
    if (more_size > *room - size) {
        const size_t wider = 2 * (size + more_size);
        char *moved = bt_realloc(*text, wider, 1);
        if (!moved)
            return false;
        *text = moved;
        *room = wider;
    }
    if (more_size)
        memcpy(*text + size, more, more_size);
    return true;
}

enum bt_err bt_corpus_generate(const struct bt_grammar *grammar, uint64_t seed, uint64_t first, size_t documents,
                               struct bt_corpus *corpus, struct bt_diag *diag)
{
    size_t room = 0;
    enum bt_err err = BT_OK;
    *corpus = (struct bt_corpus){.documents = documents};
    corpus->ends = documents < SIZE_MAX ? bt_zalloc(documents + 1, sizeof *corpus->ends) : NULL;
    if (!corpus->ends)
        err = bt_fail_nomem(diag);
    for (size_t i = 0; !err && i < documents; i++) {
        char *text;
        size_t size;
        if ((err = bt_grammar_generate(grammar, seed, first + i, &text, &size, diag)))
            break;
        corpus->ends[i + 1] = corpus->ends[i] + size;
        if (!append(&corpus->text, &room, corpus->ends[i], text, size))
            err = bt_fail_nomem(diag);
        bt_free(text);
    }
    if (err)
        bt_corpus_finish(corpus);
    return err;
}

enum bt_err bt_corpus_split(const char *text, size_t size, struct bt_corpus *corpus, struct bt_diag *diag)
{
    const char *end = text + size, *found;
    size_t documents = 1;
    for (const char *p = text; (found = memmem(p, (size_t)(end - p), separator, SEPARATOR_SIZE)); documents++)
        p = found + SEPARATOR_SIZE;
    *corpus = (struct bt_corpus){.text = bt_alloc(size), .ends = bt_zalloc(documents + 1, sizeof *corpus->ends)};
    if (!corpus->text || !corpus->ends) {
        bt_corpus_finish(corpus);
        return bt_fail_nomem(diag);
    }
    for (const char *p = text; p < end; p = found + SEPARATOR_SIZE) {
        found = memmem(p, (size_t)(end - p), separator, SEPARATOR_SIZE);
        const size_t length = (size_t)((found ? found : end) - p), at = corpus->ends[corpus->documents];
        memcpy(corpus->text + at, p, length);
        corpus->ends[++corpus->documents] = at + length;
        if (!found)
            break;
    }
    return BT_OK;
}

void bt_corpus_finish(struct bt_corpus *corpus)
{
    bt_free(corpus->text);
    bt_free(corpus->ends);
    *corpus = (struct bt_corpus){0};
}

size_t bt_corpus_bytes(const struct bt_corpus *corpus)
{
    return corpus->ends[corpus->documents];
}

const char *bt_corpus_document(const struct bt_corpus *corpus, size_t i, size_t *ret_size)
{
    *ret_size = corpus->ends[i + 1] - corpus->ends[i];
    return corpus->text ? corpus->text + corpus->ends[i] : ""; /* no text: every document is empty */
}

enum bt_err bt_corpus_tokens(const struct bt_corpus *corpus, int32_t **ret_tokens, size_t *ret_count,
                             struct bt_diag *diag)
{
    const size_t count = bt_corpus_bytes(corpus) + 2 * corpus->documents;
    int32_t *tokens = bt_zalloc(count, sizeof *tokens);
    if (!tokens)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < corpus->documents; i++) {
        size_t size;
        const char *text = bt_corpus_document(corpus, i, &size);
        bt_bytes_encode(text, size, tokens + corpus->ends[i] + 2 * i);
    }
    *ret_tokens = tokens;
    *ret_count = count;
    return BT_OK;
}

enum bt_err bt_corpus_readable(const struct bt_corpus *corpus, char **ret_text, size_t *ret_size, struct bt_diag *diag)
{
    const size_t total = bt_corpus_bytes(corpus) + SEPARATOR_SIZE * corpus->documents;
    char *out = bt_alloc(total);
    if (!out)
        return bt_fail_nomem(diag);
    *ret_text = out;
    *ret_size = total;
    for (size_t i = 0; i < corpus->documents; i++) {
        size_t size;
        const char *text = bt_corpus_document(corpus, i, &size);
        memcpy(out, text, size);
        memcpy(out + size, separator, SEPARATOR_SIZE);
        out += size + SEPARATOR_SIZE;
    }
    return BT_OK;
}

enum bt_err bt_corpus_log_probability(const struct bt_corpus *corpus, const struct bt_grammar *grammar,
                                      double *ret_log_probability, struct bt_diag *diag)
{
    double sum = 0.0;
    for (size_t i = 0; i < corpus->documents; i++) {
        size_t size;
        double one;
        const char *text = bt_corpus_document(corpus, i, &size);
        const enum bt_err err = bt_grammar_log_probability(grammar, text, size, &one, diag);
        if (err)
            return err;
        sum += one;
    }
    *ret_log_probability = sum;
    return BT_OK;
}

struct document {
    const char *text;
    size_t size;
};

static int compare_documents(const void *a, const void *b)
{
    const struct document *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return memcmp(x->text, y->text, x->size);
}

enum bt_err bt_corpus_repeated(const struct bt_corpus *corpus, const struct bt_corpus *other, size_t *ret_count,
                               struct bt_diag *diag)
{
    struct document *sorted = bt_zalloc(other->documents, sizeof *sorted);
    if (!sorted)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < other->documents; i++)
        sorted[i].text = bt_corpus_document(other, i, &sorted[i].size);
    qsort(sorted, other->documents, sizeof *sorted, compare_documents);
    size_t count = 0;
    for (size_t i = 0; i < corpus->documents; i++) {
        struct document key;
        key.text = bt_corpus_document(corpus, i, &key.size);
        count += bsearch(&key, sorted, other->documents, sizeof *sorted, compare_documents) != NULL;
    }
    bt_free(sorted);
    *ret_count = count;
    return BT_OK;
}
