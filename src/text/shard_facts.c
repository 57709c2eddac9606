#include "text/shard_facts.h"

static int32_t token_at(const struct bt_shard *shard, size_t i)
{
    int32_t id;
    bt_shard_read(shard, i, 1, &id);
    return id;
}

static size_t masked_end(const struct bt_mask *mask, size_t first)
{
    size_t end = first + 1;
    while (end < mask->count && !bt_mask_begins(mask, end))
        end++;
    return end;
}

size_t bt_shard_document_end(const struct bt_shard *shard, const struct bt_mask *mask,
                             const struct bt_separators *separators, size_t first)
{
    if (bt_mask_exists(mask))
        return masked_end(mask, first);
    for (size_t i = first; i < shard->count; i++) {
        const int32_t id = token_at(shard, i);
        if (i > first && id == separators->before && id != BT_NO_TOKEN)
            return i;
        if (id == separators->after && id != separators->before && id != BT_NO_TOKEN)
            return i + 1;
    }
    return shard->count;
}

static void count_documents(const struct bt_shard *shard, const struct bt_mask *mask,
                            const struct bt_separators *separators, struct bt_shard_facts *facts)
{
    for (size_t first = 0, end; first < shard->count; first = end) {
        end = bt_shard_document_end(shard, mask, separators, first);
        const size_t length = end - first;
        if (facts->documents == 0 || length < facts->shortest)
            facts->shortest = length;
        if (length > facts->longest) {
            facts->longest = length;
            facts->longest_at = facts->documents;
        }
        facts->documents++;
    }
}

void bt_shard_facts(const struct bt_shard *shard, const struct bt_mask *mask, const struct bt_separators *separators,
                    const struct bt_tokenizer *tokenizer, struct bt_shard_facts *facts)
{
    const int32_t unknown = tokenizer ? bt_tokenizer_unknown_id(tokenizer) : BT_NO_TOKEN;
    *facts = (struct bt_shard_facts){.smallest_id = token_at(shard, 0), .largest_id = token_at(shard, 0)};
    for (size_t i = 0; i < shard->count; i++) {
        const int32_t id = token_at(shard, i);
        facts->smallest_id = id < facts->smallest_id ? id : facts->smallest_id;
        facts->largest_id = id > facts->largest_id ? id : facts->largest_id;
        facts->unknown += unknown != BT_NO_TOKEN && id == unknown;
        facts->byte_ids += tokenizer && bt_tokenizer_is_byte(tokenizer, id);
    }
    facts->labels = bt_mask_exists(mask) ? bt_mask_labels(mask, 0, mask->count) : shard->count;
    count_documents(shard, mask, separators, facts);
}
