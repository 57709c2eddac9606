#include "text/bpe.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/utf8.h"

bool bt_bpe_reserve_merges(struct bt_bpe *bpe, size_t count)
{
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    bpe->merges = bt_zalloc(slots, sizeof *bpe->merges);
    bpe->merge_mask = slots - 1;
    return bpe->merges;
}

void bt_bpe_add_merge(struct bt_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    struct bt_merge *merge = bt_bpe_slot(bpe, left, right);
    merge->pair = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    merge->rank = rank;
    merge->id = id;
}

static void find_letters(struct bt_bpe *bpe)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char spelling[8];
        snprintf(spelling, sizeof spelling, "<0x%02X>", byte);
        bpe->byte_token[byte] = bpe->byte_fallback ? bt_bpe_find(bpe, spelling, 6) : BT_TOKEN_ABSENT;
        const size_t size = bt_utf8_put(bpe->letters ? bt_byte_to_letter((unsigned char)byte) : byte, spelling);
        bpe->letter_token[byte] = bt_bpe_find(bpe, spelling, size);
    }
}

/* The bytes that a spelling in letters stands for; false when it is none. */
static bool letters_to_bytes(const char *spelling, size_t size, char *bytes, size_t *ret_size)
{
    *ret_size = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += bt_utf8_take(spelling + at, &code);
        const int byte = bt_letter_to_byte(code);
        if (byte < 0)
            return false;
        bytes[(*ret_size)++] = (char)byte;
    }
    return true;
}

/* The model's tokens by the bytes of the words they are. */
static bool make_whole(struct bt_bpe *bpe)
{
    char *bytes = bt_alloc(bpe->tokens->bytes_used);
    bpe->whole_ids = bt_zalloc((size_t)bpe->count, sizeof *bpe->whole_ids);
    const bool ok =
        bytes && bpe->whole_ids && bt_token_table_init(&bpe->whole, (size_t)bpe->count, bpe->tokens->bytes_used);
    for (int32_t id = 0; ok && id < bpe->count; id++) {
        size_t size, byte_count;
        bool is_new;
        const char *spelling = bt_token_table_at(bpe->tokens, id, &size);
        if (!letters_to_bytes(spelling, size, bytes, &byte_count))
            continue;
        bpe->whole_ids[bpe->whole.count] = id;
        bt_token_table_add(&bpe->whole, bytes, byte_count, &is_new);
    }
    bt_free(bytes);
    return ok;
}

/* Whether some other character stands in front of a mark. */
static bool has_inner_mark(const char *spelling, size_t size)
{
    for (size_t at = 1; at + 3 <= size; at++)
        if (!memcmp(spelling + at, BT_BPE_MARK, 3) && (at < 3 || memcmp(spelling + at - 3, BT_BPE_MARK, 3) != 0))
            return true;
    return false;
}

/* A cut is safe when no symbol can ever reach across it. What a symbol spans is what its token spells, except for the
 * unknown token and byte tokens, so those must not take part in merges. The mark must be a token, because unknown
 * characters on both sides could be fused. */
static bool can_cut_at_marks(const struct bt_bpe *bpe)
{
    if (bpe->letters || bpe->ignore_merges || bt_bpe_find(bpe, BT_BPE_MARK, 3) < 0)
        return false;
    for (size_t i = 0; i <= bpe->merge_mask; i++) {
        const struct bt_merge *merge = &bpe->merges[i];
        if (!merge->pair)
            continue;
        const int32_t ids[3] = {(int32_t)((merge->pair - 1) >> 32), (int32_t)(uint32_t)(merge->pair - 1), merge->id};
        for (size_t k = 0; k < 3; k++) {
            size_t size;
            const char *spelling = bt_token_table_at(bpe->tokens, ids[k], &size);
            const bool is_byte = size == 6 && !memcmp(spelling, "<0x", 3);
            if (ids[k] == bpe->unknown || is_byte || (k == 2 && has_inner_mark(spelling, size)))
                return false;
        }
    }
    return true;
}

bool bt_bpe_prepare(struct bt_bpe *bpe)
{
    find_letters(bpe);
    if (bpe->ignore_merges && bpe->letters && !make_whole(bpe))
        return false;
    bpe->cut_at_marks = can_cut_at_marks(bpe);
    return true;
}

void bt_bpe_finish(struct bt_bpe *bpe)
{
    bt_token_table_finish(&bpe->whole);
    bt_free(bpe->whole_ids);
    bt_free(bpe->merges);
    *bpe = (struct bt_bpe){0};
}
