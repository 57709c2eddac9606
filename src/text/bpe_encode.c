/* Encoding a word. Short ones are merged in place in two small arrays; long ones, which may be whole documents, by a
 * list of symbols and a heap of the pairs in it. Words met lately are remembered. */
#include "text/bpe.h"

#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "text/buffer.h"
#include "text/utf8.h"

#define SHORT       32 /* symbols: a scan of so few ranks is faster than a heap */
#define NO_RANK     UINT32_MAX
#define CACHE_WORDS 16384
#define CACHE_BYTES 26
#define CACHE_IDS   9

struct symbol {
    int32_t id; /* -1: merged away */
    int32_t previous, next;
};

/* The pair that begins at a symbol, when it was put into the heap. Lowest rank first, of equals the leftmost. */
struct candidate {
    uint64_t order; /* rank << 32 | symbol */
    int32_t id;     /* what it would become */
};

struct cached {          /* a line of the processor's cache */
    uint8_t size, count; /* size 0: empty */
    char word[CACHE_BYTES];
    int32_t ids[CACHE_IDS];
};

struct bt_bpe_scratch {
    struct symbol *symbols;
    size_t count, capacity;
    int32_t pending_unknown; /* met, but not yet among the symbols; or BT_TOKEN_ABSENT */
    bool unknown_seen;
    struct candidate *heap;
    size_t heap_count, heap_capacity;
    struct cached cache[CACHE_WORDS];
};

struct bt_bpe_scratch *bt_bpe_scratch_create(void)
{
    return bt_zalloc(1, sizeof(struct bt_bpe_scratch));
}

void bt_bpe_scratch_destroy(struct bt_bpe_scratch *scratch)
{
    if (!scratch)
        return;
    bt_free(scratch->symbols);
    bt_free(scratch->heap);
    bt_free(scratch);
}

/* ---- symbols of a word ---- */

static void put_symbol(struct bt_bpe_scratch *s, int32_t id)
{
    const int32_t at = (int32_t)s->count++;
    s->symbols[at] = (struct symbol){.id = id, .previous = at - 1, .next = at + 1};
}

static void put_pending(struct bt_bpe_scratch *s)
{
    if (s->pending_unknown != BT_TOKEN_ABSENT)
        put_symbol(s, s->pending_unknown);
    s->pending_unknown = BT_TOKEN_ABSENT;
}

static bool put_bytes(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, const char *spelling, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bpe->byte_token[(unsigned char)spelling[i]] < 0)
            return false;
    for (size_t i = 0; i < size; i++)
        put_symbol(s, bpe->byte_token[(unsigned char)spelling[i]]);
    return true;
}

/* An unknown one waits for the next known one or the end, as it does in Hugging Face's library: the byte tokens of
 * characters in between come out in front of it. */
static void put_character(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, int32_t id, const char *spelling,
                          size_t size)
{
    if (id >= 0) {
        put_pending(s);
        put_symbol(s, id);
        return;
    }
    if (bpe->byte_fallback && put_bytes(bpe, s, spelling, size))
        return;
    if (!bpe->fuse_unknown)
        put_pending(s);
    s->pending_unknown = bpe->unknown;
    s->unknown_seen = true;
}

static void put_word(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, const char *word, size_t size)
{
    s->count = 0;
    s->unknown_seen = false;
    s->pending_unknown = BT_TOKEN_ABSENT;
    for (size_t at = 0; at < size;) {
        const unsigned char byte = (unsigned char)word[at];
        if (bpe->letters) {
            char letter[4];
            const int32_t id = bpe->letter_token[byte];
            put_character(bpe, s, id, letter, id >= 0 ? 0 : bt_utf8_put(bt_byte_to_letter(byte), letter));
            at++;
        } else {
            uint32_t code;
            const size_t length = bt_utf8_take(word + at, &code);
            const int32_t id = length == 1 ? bpe->letter_token[byte] : bt_bpe_find(bpe, word + at, length);
            put_character(bpe, s, id, word + at, length);
            at += length;
        }
    }
    put_pending(s);
    if (s->count)
        s->symbols[s->count - 1].next = -1;
}

/* ---- short words ---- */

static uint32_t rank_of(const struct bt_bpe *bpe, const struct symbol *left, const struct symbol *right)
{
    const struct bt_merge *merge = bt_bpe_slot(bpe, left->id, right->id);
    return merge->pair ? merge->rank : NO_RANK;
}

/* rank[i] is that of symbols i and i + 1. */
static void merge_short(const struct bt_bpe *bpe, struct bt_bpe_scratch *s)
{
    struct symbol *symbols = s->symbols;
    uint32_t rank[SHORT];
    size_t pairs = s->count - 1;
    for (size_t i = 0; i < pairs; i++)
        rank[i] = rank_of(bpe, &symbols[i], &symbols[i + 1]);
    while (pairs > 0) {
        size_t best = 0;
        for (size_t i = 1; i < pairs; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        symbols[best].id = bt_bpe_slot(bpe, symbols[best].id, symbols[best + 1].id)->id;
        memmove(symbols + best + 1, symbols + best + 2, (pairs - best - 1) * sizeof *symbols);
        memmove(rank + best, rank + best + 1, (pairs - best - 1) * sizeof *rank);
        pairs--;
        if (best > 0)
            rank[best - 1] = rank_of(bpe, &symbols[best - 1], &symbols[best]);
        if (best < pairs)
            rank[best] = rank_of(bpe, &symbols[best], &symbols[best + 1]);
    }
    s->count = pairs + 1;
}

/* ---- long words ---- */

static void push(struct bt_bpe_scratch *s, struct candidate candidate)
{
    size_t at = s->heap_count++;
    for (; at > 0 && s->heap[(at - 1) / 2].order > candidate.order; at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = candidate;
}

static struct candidate pop(struct bt_bpe_scratch *s)
{
    const struct candidate top = s->heap[0], last = s->heap[--s->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < s->heap_count; at = child) {
        if (child + 1 < s->heap_count && s->heap[child + 1].order < s->heap[child].order)
            child++;
        if (s->heap[child].order >= last.order)
            break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = last;
    return top;
}

/* The pair that begins at a symbol goes into the heap, if it is one that merges. */
static void offer(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, int32_t at)
{
    if (at < 0 || s->symbols[at].next < 0)
        return;
    const struct bt_merge *merge = bt_bpe_slot(bpe, s->symbols[at].id, s->symbols[s->symbols[at].next].id);
    if (merge->pair)
        push(s, (struct candidate){.order = (uint64_t)merge->rank << 32 | (uint32_t)at, .id = merge->id});
}

/* Merges what a candidate stands for, unless it is out of date. */
static void take(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, struct candidate candidate)
{
    const int32_t at = (int32_t)(uint32_t)candidate.order;
    struct symbol *left = &s->symbols[at];
    if (left->id < 0 || left->next < 0)
        return;
    struct symbol *right = &s->symbols[left->next];
    const struct bt_merge *merge = bt_bpe_slot(bpe, left->id, right->id);
    if (!merge->pair || merge->id != candidate.id)
        return;
    left->id = candidate.id;
    left->next = right->next;
    right->id = -1;
    if (left->next >= 0)
        s->symbols[left->next].previous = at;
    offer(bpe, s, left->previous);
    offer(bpe, s, at);
}

/* A merge takes one candidate out of the heap and puts two in at most, and there are fewer merges than symbols. */
static bool merge_long(const struct bt_bpe *bpe, struct bt_bpe_scratch *s)
{
    if (s->heap_capacity < 2 * s->count) {
        bt_free(s->heap);
        s->heap_capacity = 0;
        s->heap = bt_zalloc(2 * s->count, sizeof *s->heap);
        if (!s->heap)
            return false;
        s->heap_capacity = 2 * s->count;
    }
    s->heap_count = 0;
    for (size_t i = 0; i + 1 < s->count; i++)
        offer(bpe, s, (int32_t)i);
    while (s->heap_count > 0)
        take(bpe, s, pop(s));
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->symbols[i].id >= 0)
            s->symbols[kept++] = s->symbols[i];
    s->count = kept;
    return true;
}

/* ---- words ---- */

/* Room for two symbols a byte: a letter that is no token falls back to the tokens of its two bytes. */
static bool reserve_symbols(struct bt_bpe_scratch *s, size_t size)
{
    if (2 * size <= s->capacity)
        return true;
    bt_free(s->symbols);
    s->capacity = 0;
    s->symbols = bt_zalloc(2 * size, sizeof *s->symbols);
    if (s->symbols)
        s->capacity = 2 * size;
    return s->symbols;
}

static bool reserve_ids(struct bt_ids *ids, size_t more)
{
    if (ids->at && more <= ids->capacity - ids->count)
        return true;
    const size_t capacity = ids->count + more + ids->capacity / 2 + 64;
    int32_t *larger = bt_realloc(ids->at, capacity, sizeof *larger);
    if (!larger)
        return false;
    ids->at = larger;
    ids->capacity = capacity;
    return true;
}

bool bt_ids_put(struct bt_ids *ids, const int32_t *more, size_t count)
{
    if (!reserve_ids(ids, count))
        return false;
    if (count)
        memcpy(ids->at + ids->count, more, count * sizeof *more);
    ids->count += count;
    return true;
}

/* The token that the whole word is, where merges do not matter for such. */
static int32_t whole_word(const struct bt_bpe *bpe, const char *word, size_t size)
{
    if (!bpe->ignore_merges)
        return BT_TOKEN_ABSENT;
    if (!bpe->letters)
        return bt_bpe_find(bpe, word, size);
    const int32_t number = bt_token_table_find(&bpe->whole, word, size);
    return number >= 0 ? bpe->whole_ids[number] : BT_TOKEN_ABSENT;
}

static bool encode_anew(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, const char *word, size_t size,
                        struct bt_ids *out)
{
    const int32_t whole = whole_word(bpe, word, size);
    if (whole >= 0)
        return bt_ids_put(out, &whole, 1);
    if (!reserve_symbols(s, size))
        return false;
    put_word(bpe, s, word, size);
    /* What an unknown token spells is not what it stands for, and then only the heap is the reference's order. */
    if (s->count > SHORT || (s->unknown_seen && s->count > 1)) {
        if (!merge_long(bpe, s))
            return false;
    } else if (s->count > 1) {
        merge_short(bpe, s);
    }
    if (!reserve_ids(out, s->count))
        return false;
    for (size_t i = 0; i < s->count; i++)
        out->at[out->count++] = s->symbols[i].id;
    return true;
}

/* By the cache, in which every word has one place, taken by whichever came last. */
static bool encode_word(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, const char *word, size_t size,
                        struct bt_ids *out)
{
    if (size > CACHE_BYTES)
        return encode_anew(bpe, s, word, size, out);
    struct cached *cached = &s->cache[XXH3_64bits(word, size) % CACHE_WORDS];
    if (cached->size == size && !memcmp(cached->word, word, size))
        return bt_ids_put(out, cached->ids, cached->count);
    const size_t before = out->count;
    if (!encode_anew(bpe, s, word, size, out))
        return false;
    const size_t count = out->count - before;
    if (count <= CACHE_IDS) {
        cached->size = (uint8_t)size;
        cached->count = (uint8_t)count;
        memcpy(cached->word, word, size);
        memcpy(cached->ids, out->at + before, count * sizeof *cached->ids);
    }
    return true;
}

/* The next mark that does not stand behind another one, at or behind `from`. */
static size_t next_cut(const char *word, size_t size, size_t from)
{
    for (;;) {
        const char *mark = from < size ? bt_find(word + from, size - from, BT_BPE_MARK, 3) : NULL;
        if (!mark)
            return size;
        const size_t at = (size_t)(mark - word);
        if (at < 3 || memcmp(mark - 3, BT_BPE_MARK, 3) != 0)
            return at;
        from = at + 3;
    }
}

bool bt_bpe_encode(const struct bt_bpe *bpe, struct bt_bpe_scratch *s, const char *word, size_t size,
                   struct bt_ids *out)
{
    if (!bpe->cut_at_marks)
        return encode_word(bpe, s, word, size, out);
    for (size_t start = 0, end; start < size; start = end) {
        end = next_cut(word, size, start + 1);
        if (!encode_word(bpe, s, word + start, end - start, out))
            return false;
    }
    return true;
}
