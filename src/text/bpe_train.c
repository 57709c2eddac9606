#include "text/bpe_train.h"

#include <assert.h>

#include "base/mem.h"
#include "text/u64_map.h"
#include "text/utf8.h"

#define LETTER_END 0x144 /* letters are code points below it */

struct pair {
    int32_t left, right;
    uint64_t count; /* occurrences in all words, as of now */
    /* Numbers of words in which it occurs, or did. */
    uint32_t *words;
    size_t word_count, word_capacity;
};

struct entry {
    uint64_t count;
    uint32_t pair;
};

struct trainer {
    const struct bt_bpe_training *training;
    struct bt_bpe_trained *trained;
    int32_t *symbols; /* of all words, one behind the other */
    size_t *starts;   /* (words): where a word's symbols begin */
    uint32_t *sizes;  /* (words): how many it has left */
    struct pair *pairs;
    size_t pair_count, pair_capacity;
    size_t queued_count;       /* pairs that the heap was told of: the newer ones wait */
    struct bt_u64_map numbers; /* of pairs */
    struct entry *heap;
    size_t heap_count, heap_capacity;
    struct bt_buffer bytes; /* of the token in the making */
};

/* The array with room for one more element, and NULL when memory is out: then it is as it was. */
static void *with_room(void *array, size_t *capacity, size_t count, size_t size)
{
    const size_t wider = *capacity + *capacity / 2 + 4;
    void *larger = count < *capacity ? array : bt_realloc(array, wider, size);
    if (larger && count == *capacity)
        *capacity = wider;
    return larger;
}

/* Whether a is taken before b. */
static bool is_before(const struct trainer *t, struct entry a, struct entry b)
{
    const struct pair *x = &t->pairs[a.pair], *y = &t->pairs[b.pair];
    if (a.count != b.count)
        return a.count > b.count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static bool heap_push(struct trainer *t, uint32_t pair)
{
    const struct entry entry = {t->pairs[pair].count, pair};
    struct entry *heap = with_room(t->heap, &t->heap_capacity, t->heap_count, sizeof *heap);
    if (!heap)
        return false;
    t->heap = heap;
    size_t i = t->heap_count++;
    for (; i > 0 && is_before(t, entry, t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = entry;
    return true;
}

static struct entry heap_pop(struct trainer *t)
{
    const struct entry top = t->heap[0], moved = t->heap[--t->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < t->heap_count; i = child) {
        if (child + 1 < t->heap_count && is_before(t, t->heap[child + 1], t->heap[child]))
            child++;
        if (!is_before(t, t->heap[child], moved))
            break;
        t->heap[i] = t->heap[child];
    }
    t->heap[i] = moved;
    return top;
}

/* The number of a pair, a new one if it was never seen. */
static bool find_pair(struct trainer *t, int32_t left, int32_t right, uint32_t *ret_pair)
{
    bool is_new;
    struct pair *pairs = with_room(t->pairs, &t->pair_capacity, t->pair_count, sizeof *pairs);
    if (!pairs)
        return false;
    t->pairs = pairs;
    const uint32_t *number = bt_u64_map_enter(&t->numbers, (uint64_t)(uint32_t)left << 32 | (uint32_t)right,
                                              (uint32_t)t->pair_count, &is_new);
    if (!number)
        return false;
    if (is_new && t->pair_count == UINT32_MAX)
        return false;
    if (is_new)
        t->pairs[t->pair_count++] = (struct pair){.left = left, .right = right};
    *ret_pair = *number;
    return true;
}

/* The pair was found in a word, which is looked at from its front to its end before another one is. */
static bool gain(struct trainer *t, uint32_t word, int32_t left, int32_t right)
{
    uint32_t number;
    if (!find_pair(t, left, right, &number))
        return false;
    struct pair *pair = &t->pairs[number];
    pair->count += t->training->words->words[word].count;
    if (pair->word_count && pair->words[pair->word_count - 1] == word)
        return true;
    uint32_t *words = with_room(pair->words, &pair->word_capacity, pair->word_count, sizeof *words);
    if (!words)
        return false;
    pair->words = words;
    pair->words[pair->word_count++] = word;
    return true;
}

static bool lose(struct trainer *t, uint32_t word, int32_t left, int32_t right)
{
    uint32_t number;
    if (!find_pair(t, left, right, &number))
        return false;
    t->pairs[number].count -= t->training->words->words[word].count;
    return true;
}

/* A token is made by one merge and never again, so a pair is found in the round in which the later one of its two
 * tokens is made, and from then on its count only falls. The heap keeps the old count: that shows when the pair comes
 * out. */
static bool queue_new_pairs(struct trainer *t)
{
    for (; t->queued_count < t->pair_count; t->queued_count++)
        if (t->pairs[t->queued_count].count && !heap_push(t, (uint32_t)t->queued_count))
            return false;
    return true;
}

static bool add_bytes(struct trainer *t, int32_t number_of[256])
{
    for (uint32_t letter = 0; letter < LETTER_END; letter++) {
        const int byte = bt_letter_to_byte(letter);
        if (byte < 0)
            continue;
        number_of[byte] = (int32_t)t->trained->tokens.count;
        if (!bt_word_table_enter(&t->trained->tokens, &(char){(char)byte}, 1))
            return false;
    }
    return true;
}

/* Words as symbols, a byte each. */
static bool spell_words(struct trainer *t)
{
    const struct bt_word_table *words = t->training->words;
    int32_t number_of[256];
    t->symbols = bt_zalloc(words->bytes.size, sizeof *t->symbols);
    t->starts = bt_zalloc(words->count, sizeof *t->starts);
    t->sizes = bt_zalloc(words->count, sizeof *t->sizes);
    if (!t->symbols || !t->starts || !t->sizes || !add_bytes(t, number_of))
        return false;
    for (size_t i = 0; i < words->bytes.size; i++)
        t->symbols[i] = number_of[(unsigned char)words->bytes.at[i]];
    for (size_t i = 0; i < words->count; i++) {
        t->starts[i] = words->words[i].start;
        t->sizes[i] = words->words[i].size;
    }
    return true;
}

static bool count_pairs(struct trainer *t)
{
    for (size_t i = 0; i < t->training->words->count; i++) {
        const int32_t *symbols = t->symbols + t->starts[i];
        for (uint32_t k = 1; k < t->sizes[i]; k++)
            if (!gain(t, (uint32_t)i, symbols[k - 1], symbols[k]))
                return false;
    }
    return queue_new_pairs(t);
}

/* The pair that is next. False when none is left that occurs often enough. */
static bool next_pair(struct trainer *t, uint32_t *ret_pair, bool *ret_out_of_memory)
{
    const uint64_t least = t->training->min_frequency ? t->training->min_frequency : 1;
    while (t->heap_count) {
        const struct entry top = heap_pop(t);
        struct pair *pair = &t->pairs[top.pair];
        *ret_pair = top.pair;
        if (pair->count < least) {
            bt_free(pair->words);
            pair->words = NULL;
        } else if (top.count == pair->count) {
            return true;
        } else if (!heap_push(t, top.pair)) {
            *ret_out_of_memory = true;
            return false;
        }
    }
    return false;
}

/* The bytes of a pair, in t->bytes. */
static bool join(struct trainer *t, const struct pair *pair)
{
    const struct bt_word_table *tokens = &t->trained->tokens;
    const struct bt_word *left = &tokens->words[pair->left], *right = &tokens->words[pair->right];
    t->bytes.size = 0;
    return bt_buffer_put(&t->bytes, bt_word_table_bytes(tokens, left), left->size) &&
           bt_buffer_put(&t->bytes, bt_word_table_bytes(tokens, right), right->size);
}

/* Replaces the pair in a word and keeps the counts of its neighbours. Where the pair overlaps itself, as in "aaa", it
 * is its own neighbour. */
static bool merge_in_word(struct trainer *t, uint32_t word, uint32_t number, int32_t token)
{
    const int32_t left = t->pairs[number].left, right = t->pairs[number].right;
    int32_t *symbols = t->symbols + t->starts[word];
    const uint32_t size = t->sizes[word];
    uint32_t kept = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < size; i++) {
        if (symbols[i] != left || i + 1 == size || symbols[i + 1] != right) {
            symbols[kept++] = symbols[i];
            continue;
        }
        if (kept > 0)
            ok = lose(t, word, symbols[kept - 1], left) && gain(t, word, symbols[kept - 1], token);
        if (ok && i + 2 < size)
            ok = lose(t, word, right, symbols[i + 2]) && gain(t, word, token, symbols[i + 2]);
        t->pairs[number].count -= t->training->words->words[word].count;
        symbols[kept++] = token;
        i++;
    }
    t->sizes[word] = kept;
    return ok;
}

static bool merge_everywhere(struct trainer *t, uint32_t number, int32_t token)
{
    uint32_t *words = t->pairs[number].words; /* pairs may move */
    const size_t count = t->pairs[number].word_count;
    bool ok = true;
    t->pairs[number].words = NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = merge_in_word(t, words[i], number, token);
    bt_free(words);
    assert(!ok || t->pairs[number].count == 0);
    return ok && queue_new_pairs(t);
}

static bool note_merge(struct trainer *t, const struct pair *pair)
{
    struct bt_bpe_trained *trained = t->trained;
    struct bt_bpe_pair *merges =
        with_room(trained->merges, &trained->merge_capacity, trained->merge_count, sizeof *merges);
    if (!merges)
        return false;
    trained->merges = merges;
    trained->merges[trained->merge_count++] = (struct bt_bpe_pair){pair->left, pair->right};
    return true;
}

static bool is_kept(const struct trainer *t)
{
    const struct bt_word_table *kept = t->training->kept;
    return kept && bt_word_table_find(kept, t->bytes.at, t->bytes.size);
}

static bool merge_pairs(struct trainer *t)
{
    const struct bt_bpe_training *training = t->training;
    struct bt_word_table *tokens = &t->trained->tokens;
    uint32_t number;
    bool out_of_memory = false;
    while (tokens->count < training->tokens && next_pair(t, &number, &out_of_memory)) {
        if (!join(t, &t->pairs[number]))
            return false;
        if (is_kept(t))
            continue;
        const struct bt_word *token = bt_word_table_enter(tokens, t->bytes.at, t->bytes.size);
        if (!token || !note_merge(t, &t->pairs[number]) ||
            !merge_everywhere(t, number, (int32_t)(token - tokens->words)))
            return false;
        if (training->progress)
            training->progress(training->context, tokens->count, training->tokens);
    }
    return !out_of_memory;
}

static void finish(struct trainer *t)
{
    for (size_t i = 0; i < t->pair_count; i++)
        bt_free(t->pairs[i].words);
    bt_free(t->pairs);
    bt_u64_map_finish(&t->numbers);
    bt_free(t->heap);
    bt_free(t->symbols);
    bt_free(t->starts);
    bt_free(t->sizes);
    bt_buffer_finish(&t->bytes);
}

enum bt_err bt_bpe_train(const struct bt_bpe_training *training, struct bt_bpe_trained *trained, struct bt_diag *diag)
{
    struct trainer t = {.training = training, .trained = trained};
    *trained = (struct bt_bpe_trained){0};
    const bool ok = spell_words(&t) && count_pairs(&t) && merge_pairs(&t);
    finish(&t);
    if (ok)
        return BT_OK;
    bt_bpe_trained_finish(trained);
    return bt_fail_nomem(diag);
}

void bt_bpe_trained_finish(struct bt_bpe_trained *trained)
{
    bt_word_table_finish(&trained->tokens);
    bt_free(trained->merges);
    *trained = (struct bt_bpe_trained){0};
}
