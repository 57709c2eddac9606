#include "train/teacher_cache.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"

static const char magic[8] = "btteach1";

/* Files are written in a moment: one that still has its temporary name after an hour has no writer any more. */
#define BESIDE_END ".tmp"
enum { STALE_S = 3600 };

struct header {
    char magic[8];
    uint64_t key, name[2];
    uint32_t tokens, count;
    uint64_t checksum;
};

struct bt_teacher_cache {
    char *folder; /* with the key */
    uint64_t key;
    size_t seq, vocab, count;
    unsigned char *bytes; /* a file, as long as one can be */
    int32_t *name_of;     /* (2, seq) what a row's name is the hash of */
};

static size_t id_size(const struct bt_teacher_cache *cache)
{
    return cache->vocab <= UINT16_MAX + 1 ? sizeof(uint16_t) : sizeof(int32_t);
}

static size_t file_size(const struct bt_teacher_cache *cache, size_t tokens)
{
    return sizeof(struct header) + tokens * (cache->count * (id_size(cache) + sizeof(uint16_t)) + sizeof(uint16_t));
}

/* Does a file of this name in the cache's folder wait to be renamed? */
static bool is_beside(const char *name)
{
    const size_t length = strlen(name), end = strlen(BESIDE_END);
    return length > end && !strcmp(name + length - end, BESIDE_END);
}

/* What writers left behind that were killed. Another process may be writing, or clearing away, at the same moment. */
static enum bt_err clear_away(const char *folder, struct bt_diag *diag)
{
    char **names;
    size_t count;
    enum bt_err err = bt_dir_list(folder, &names, &count, diag);
    if (err)
        return err;
    for (size_t i = 0; i < count && !err; i++) {
        if (!is_beside(names[i]))
            continue;
        char *path = bt_path_join(folder, names[i]);
        if (!path)
            err = bt_fail_nomem(diag);
        else if (bt_file_is_older(path, STALE_S))
            bt_dir_remove(path, NULL);
        bt_free(path);
    }
    bt_names_free(names, count);
    return err;
}

enum bt_err bt_teacher_cache_open(const char *folder, uint64_t key, size_t seq, size_t vocab, size_t count,
                                  struct bt_teacher_cache **ret_cache, struct bt_diag *diag)
{
    struct bt_teacher_cache *cache = bt_zalloc(1, sizeof *cache);
    enum bt_err err = BT_OK;
    if (cache) {
        *cache = (struct bt_teacher_cache){.key = key, .seq = seq, .vocab = vocab, .count = count};
        cache->folder = bt_sprintf("%s/%016" PRIx64, folder, key);
        cache->bytes = bt_alloc(file_size(cache, seq));
        cache->name_of = bt_zalloc(seq, 2 * sizeof *cache->name_of);
    }
    if (!cache || !cache->folder || !cache->bytes || !cache->name_of)
        err = bt_fail_nomem(diag);
    else
        err = bt_dir_make(cache->folder, diag);
    if (!err)
        err = clear_away(cache->folder, diag);
    if (err)
        bt_teacher_cache_close(cache);
    else
        *ret_cache = cache;
    return err;
}

void bt_teacher_cache_close(struct bt_teacher_cache *cache)
{
    if (!cache)
        return;
    bt_free(cache->folder);
    bt_free(cache->bytes);
    bt_free(cache->name_of);
    bt_free(cache);
}

static size_t tokens_of(const struct bt_batch *batch, size_t row)
{
    return batch->used ? (size_t)batch->used[row] : batch->seq;
}

/* The header that the file of this row must have, but for the checksum. */
static struct header header_of(struct bt_teacher_cache *cache, const struct bt_batch *batch, size_t row)
{
    const size_t tokens = tokens_of(batch, row), at = row * batch->seq;
    struct header header = {.key = cache->key, .tokens = (uint32_t)tokens, .count = (uint32_t)cache->count};
    memcpy(header.magic, magic, sizeof magic);
    memcpy(cache->name_of, batch->ids + at, tokens * sizeof(int32_t));
    memcpy(cache->name_of + tokens, batch->first + at, tokens * sizeof(int32_t));
    const XXH128_hash_t name = XXH3_128bits(cache->name_of, 2 * tokens * sizeof(int32_t));
    header.name[0] = name.high64;
    header.name[1] = name.low64;
    return header;
}

/* NULL when memory is out. */
static char *path_of(const struct bt_teacher_cache *cache, const struct header *header)
{
    return bt_sprintf("%s/%02x/%016" PRIx64 "%016" PRIx64 ".row", cache->folder, (unsigned)(header->name[0] >> 56),
                      header->name[0], header->name[1]);
}

/* Where this process writes it first: all of these lie in one place, where they are found again. */
static char *beside_of(const struct bt_teacher_cache *cache, const struct header *header)
{
    return bt_sprintf("%s/%016" PRIx64 "%016" PRIx64 ".%ld" BESIDE_END, cache->folder, header->name[0], header->name[1],
                      (long)getpid());
}

/* The arrays of one row inside a file. */
struct parts {
    unsigned char *ids, *levels, *rest;
};

static struct parts parts_of(const struct bt_teacher_cache *cache, unsigned char *bytes, size_t tokens)
{
    struct parts p = {.ids = bytes + sizeof(struct header)};
    p.levels = p.ids + tokens * cache->count * id_size(cache);
    p.rest = p.levels + tokens * cache->count * sizeof(uint16_t);
    return p;
}

/* `n` ids as they lie in a file. */
static void widen(const struct bt_teacher_cache *cache, const unsigned char *from, size_t n, int32_t *ids)
{
    uint16_t narrow;
    if (id_size(cache) == sizeof *ids) {
        memcpy(ids, from, n * sizeof *ids);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&narrow, from + i * sizeof narrow, sizeof narrow);
        ids[i] = narrow;
    }
}

/* The ids of one token rise, and are of the vocabulary. */
static bool are_ids(const struct bt_teacher_cache *cache, const int32_t *ids)
{
    bool rise = ids[0] >= 0 && (size_t)ids[cache->count - 1] < cache->vocab;
    for (size_t i = 1; i < cache->count; i++)
        rise &= ids[i] > ids[i - 1];
    return rise;
}

static bool read_ids(const struct bt_teacher_cache *cache, const unsigned char *from, size_t tokens, int32_t *ids)
{
    widen(cache, from, tokens * cache->count, ids);
    for (size_t token = 0; token < tokens; token++)
        if (!are_ids(cache, ids + token * cache->count))
            return false;
    return true;
}

static bool accept(const struct bt_teacher_cache *cache, const struct bt_map *map, struct header want, size_t at,
                   const struct bt_top_block *block)
{
    const size_t tokens = want.tokens, size = file_size(cache, tokens);
    if (map->size != size)
        return false;
    want.checksum = XXH3_64bits(map->data + sizeof want, size - sizeof want);
    if (memcmp(map->data, &want, sizeof want) != 0)
        return false;
    memcpy(cache->bytes, map->data, size);
    const struct parts p = parts_of(cache, cache->bytes, tokens);
    memcpy(block->levels + at * cache->count, p.levels, tokens * cache->count * sizeof(uint16_t));
    memcpy(block->rest + at, p.rest, tokens * sizeof(uint16_t));
    return read_ids(cache, p.ids, tokens, block->ids + at * cache->count);
}

bool bt_teacher_cache_read(struct bt_teacher_cache *cache, const struct bt_batch *batch, size_t row,
                           const struct bt_top_block *block)
{
    const struct header want = header_of(cache, batch, row);
    struct bt_map map = {0};
    char *path = path_of(cache, &want);
    bool found = path && bt_file_exists(path) && !bt_map_open(path, &map, NULL);
    if (found)
        found = accept(cache, &map, want, row * batch->seq, block);
    bt_map_close(&map);
    bt_free(path);
    return found;
}

/* The whole file in cache->bytes; returns its size. */
static size_t compose(struct bt_teacher_cache *cache, struct header *header, size_t at,
                      const struct bt_top_block *block)
{
    const size_t tokens = header->tokens, size = file_size(cache, tokens);
    const struct parts p = parts_of(cache, cache->bytes, tokens);
    const int32_t *ids = block->ids + at * cache->count;
    if (id_size(cache) == sizeof(int32_t))
        memcpy(p.ids, ids, tokens * cache->count * sizeof *ids);
    for (size_t i = 0; id_size(cache) == sizeof(uint16_t) && i < tokens * cache->count; i++)
        memcpy(p.ids + i * sizeof(uint16_t), &(uint16_t){(uint16_t)ids[i]}, sizeof(uint16_t));
    memcpy(p.levels, block->levels + at * cache->count, tokens * cache->count * sizeof(uint16_t));
    memcpy(p.rest, block->rest + at, tokens * sizeof(uint16_t));
    header->checksum = XXH3_64bits(cache->bytes + sizeof *header, size - sizeof *header);
    memcpy(cache->bytes, header, sizeof *header);
    return size;
}

enum bt_err bt_teacher_cache_write(struct bt_teacher_cache *cache, const struct bt_batch *batch, size_t row,
                                   const struct bt_top_block *block, struct bt_diag *diag)
{
    struct header header = header_of(cache, batch, row);
    const size_t size = compose(cache, &header, row * batch->seq, block);
    char *path = path_of(cache, &header), *beside = beside_of(cache, &header);
    char *folder = path ? bt_path_parent(path) : NULL;
    enum bt_err err = path && beside && folder ? bt_dir_make(folder, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_file_write(beside, cache->bytes, size, diag);
    if (!err)
        err = bt_file_rename_over(beside, path, diag);
    bt_free(path);
    bt_free(beside);
    bt_free(folder);
    return err;
}
