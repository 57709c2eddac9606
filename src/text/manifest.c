#include "text/manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/mask.h"
#include "text/json_field.h"

#define KIND        "token shards"
#define NUMBER_SIZE (sizeof "-000000.bin" - 1)

char *bt_manifest_shard_path(const char *prefix, size_t i)
{
    return bt_sprintf("%s-%06zu.bin", prefix, i);
}

char *bt_manifest_mask_path(const char *prefix, size_t i)
{
    char *shard = bt_manifest_shard_path(prefix, i);
    char *path = shard ? bt_mask_path(shard) : NULL;
    bt_free(shard);
    return path;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static json_t *hash_value(uint64_t hash)
{
    return json_string(bt_hash_text(hash).text);
}

static json_t *id_value(int32_t id)
{
    return id == BT_NO_TOKEN ? json_null() : json_integer(id);
}

/* Appends the value, taking it; NULL stands for memory that is out. */
static bool append(json_t *array, json_t *value)
{
    return value && !json_array_append_new(array, value);
}

static json_t *mask_value(const char *prefix, size_t i, const struct bt_shard_entry *shard)
{
    char *path = bt_manifest_mask_path(prefix, i);
    json_t *value = path ? json_pack("{s:s, s:I, s:o}", "file", name_of(path), "labels", (json_int_t)shard->labels,
                                     "xxh3_64", hash_value(shard->mask_hash))
                         : NULL;
    bt_free(path);
    return value;
}

static json_t *shard_value(const char *prefix, size_t i, const struct bt_shard_entry *shard)
{
    char *path = bt_manifest_shard_path(prefix, i);
    json_t *value = path ? json_pack("{s:s, s:I, s:I, s:I, s:o}", "file", name_of(path), "tokens",
                                     (json_int_t)shard->tokens, "documents", (json_int_t)shard->documents, "bytes",
                                     (json_int_t)shard->bytes, "xxh3_64", hash_value(shard->hash))
                         : NULL;
    bt_free(path);
    if (value && shard->masked && json_object_set_new(value, "mask", mask_value(prefix, i, shard))) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static json_t *shard_list(const char *prefix, const struct bt_manifest *m)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < m->shard_count; i++)
        if (!append(list, shard_value(prefix, i, &m->shards[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *input_list(const struct bt_manifest *m)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < m->input_count; i++) {
        const struct bt_input *input = bt_documents_input(m->documents, i);
        if (!append(list, json_pack("{s:s, s:s, s:I, s:I, s:o}", "path", input->path, "form", bt_form_name(m->forms[i]),
                                    "bytes", (json_int_t)input->bytes, "documents", (json_int_t)input->records,
                                    "xxh3_64", hash_value(input->hash)))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *totals(const struct bt_manifest *m)
{
    struct bt_shard_entry sum = {0};
    for (size_t i = 0; i < m->shard_count; i++) {
        sum.tokens += m->shards[i].tokens;
        sum.documents += m->shards[i].documents;
        sum.bytes += m->shards[i].bytes;
        sum.labels += m->shards[i].masked ? m->shards[i].labels : m->shards[i].tokens;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "tokens", (json_int_t)sum.tokens, "labels",
                     (json_int_t)sum.labels, "documents", (json_int_t)sum.documents, "bytes", (json_int_t)sum.bytes,
                     "skipped", (json_int_t)m->skipped, "empty", (json_int_t)m->empty);
}

static json_t *tokenizer_value(const struct bt_manifest *m)
{
    return json_pack("{s:s, s:o, s:i}", "path", m->tokenizer_path, "xxh3_64", hash_value(m->tokenizer_hash),
                     "vocab_size", (int)m->vocab_size);
}

static json_t *options_value(const struct bt_manifest *m)
{
    return json_pack("{s:I, s:s, s:o, s:o, s:s}", "shard_tokens", (json_int_t)m->shard_tokens, "key", m->key,
                     "separator", m->separator ? json_string(m->separator) : json_null(), "chat_format",
                     m->chat_format ? json_string(m->chat_format) : json_null(), "on_error", m->skip ? "skip" : "stop");
}

static json_t *manifest_value(const char *prefix, const struct bt_manifest *m)
{
    return json_pack("{s:s, s:i, s:o, s:i, s:{s:o, s:o}, s:o, s:o, s:o, s:o}", "kind", KIND, "version", 1, "tokenizer",
                     tokenizer_value(m), "token_bytes", (int)m->width, "separators", "before",
                     id_value(m->separators.before), "after", id_value(m->separators.after), "options",
                     options_value(m), "totals", totals(m), "shards", shard_list(prefix, m), "inputs", input_list(m));
}

enum bt_err bt_manifest_write(const char *prefix, const struct bt_manifest *manifest, struct bt_diag *diag)
{
    char *path = bt_sprintf("%s.json", prefix);
    json_t *value = manifest_value(prefix, manifest);
    const enum bt_err err = path && value ? bt_json_replace(path, value, diag) : bt_fail_nomem(diag);
    json_decref(value);
    bt_free(path);
    return err;
}

/* PREFIX.json for PREFIX-000003.bin; *ret_path stays NULL for any other name. */
static enum bt_err manifest_path(const char *shard_path, char **ret_path, struct bt_diag *diag)
{
    const size_t length = strlen(shard_path);
    const char *number = shard_path + (length > NUMBER_SIZE ? length - NUMBER_SIZE : length);
    if (*number != '-' || strcmp(number + 7, ".bin"))
        return BT_OK;
    for (int i = 1; i < 7; i++)
        if (!isdigit((unsigned char)number[i]))
            return BT_OK;
    *ret_path = bt_sprintf("%.*s.json", (int)(number - shard_path), shard_path);
    return *ret_path ? BT_OK : bt_fail_nomem(diag);
}

/* The manifest's entry for a shard, or NULL. */
static const json_t *find_shard(const json_t *manifest, const char *name)
{
    const json_t *shard;
    size_t i;
    json_array_foreach(json_object_get(manifest, "shards"), i, shard)
    {
        const char *file = json_string_value(json_object_get(shard, "file"));
        if (file && !strcmp(file, name))
            return shard;
    }
    return NULL;
}

static int32_t separator_of(const json_t *manifest, const char *key)
{
    int32_t id;
    return bt_json_is_id(json_object_get(json_object_get(manifest, "separators"), key), &id) ? id : BT_NO_TOKEN;
}

static bool read_hash(const json_t *object, uint64_t *ret_hash)
{
    const char *hash = json_string_value(json_object_get(object, "xxh3_64"));
    if (!hash || strlen(hash) != 16 || strspn(hash, "0123456789abcdef") != 16)
        return false;
    *ret_hash = strtoull(hash, NULL, 16);
    return true;
}

static enum bt_err read_origin(const char *path, const json_t *manifest, const char *shard_name,
                               struct bt_shard_origin *ret_origin, struct bt_diag *diag)
{
    const char *kind = json_string_value(json_object_get(manifest, "kind"));
    const json_t *tokenizer = json_object_get(manifest, "tokenizer");
    const char *name = json_string_value(json_object_get(tokenizer, "path"));
    const json_t *shard = find_shard(manifest, shard_name);
    uint64_t tokenizer_hash, hash = 0;
    if (!kind || strcmp(kind, KIND) || !shard) /* another file of that name */
        return BT_OK;
    if (!read_hash(tokenizer, &tokenizer_hash) || !name)
        return bt_fail(diag, BT_EINPUT, "%s: \"tokenizer\" has no path, or no xxh3_64 of 16 hexadecimal digits", path);
    const bool hashed = read_hash(shard, &hash);
    const json_int_t documents = json_integer_value(json_object_get(shard, "documents"));
    *ret_origin = (struct bt_shard_origin){
        .known = true,
        .masked = json_is_object(json_object_get(shard, "mask")),
        .hashed = hashed,
        .tokenizer_hash = tokenizer_hash,
        .hash = hash,
        .documents = documents > 0 ? (uint64_t)documents : 0,
        .separators = {.before = separator_of(manifest, "before"), .after = separator_of(manifest, "after")}};
    snprintf(ret_origin->tokenizer, sizeof ret_origin->tokenizer, "%s", name);
    return BT_OK;
}

enum bt_err bt_manifest_open(const char *shard_path, struct bt_manifest_file *ret_file, struct bt_diag *diag)
{
    struct bt_manifest_file file = {0};
    enum bt_err err = manifest_path(shard_path, &file.path, diag);
    if (!err && file.path && bt_file_exists(file.path)) {
        err = bt_json_read(file.path, &file.value, diag);
        if (!err)
            err = read_origin(file.path, file.value, name_of(shard_path), &file.origin, diag);
    }
    if (err || !file.origin.known)
        bt_manifest_close(&file);
    if (!err)
        *ret_file = file;
    return err;
}

void bt_manifest_close(struct bt_manifest_file *file)
{
    json_decref(file->value);
    bt_free(file->path);
    *file = (struct bt_manifest_file){0};
}

enum bt_err bt_manifest_find(const char *shard_path, struct bt_shard_origin *ret_origin, struct bt_diag *diag)
{
    struct bt_manifest_file file;
    const enum bt_err err = bt_manifest_open(shard_path, &file, diag);
    if (err)
        return err;
    *ret_origin = file.origin;
    bt_manifest_close(&file);
    return BT_OK;
}

uint64_t bt_manifest_shard_tokens(const struct bt_manifest_file *file)
{
    const json_t *tokens = json_object_get(json_object_get(file->value, "options"), "shard_tokens");
    const json_int_t count = json_integer_value(tokens); /* 0 when it is none */
    return count > 0 && count <= INT32_MAX ? (uint64_t)count : 0;
}

static bool forget_bytes(json_t *object)
{
    return object && !json_object_set_new(object, "bytes", json_null());
}

static json_t *part_shards(const char *prefix, const struct bt_manifest *m)
{
    json_t *list = shard_list(prefix, m), *shard;
    size_t i;
    json_array_foreach(list, i, shard)
    {
        if (!forget_bytes(shard)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* What was left out when the text was read is told of the whole set. */
static json_t *part_totals(const struct bt_manifest *m)
{
    json_t *value = totals(m);
    if (!forget_bytes(value)) {
        json_decref(value);
        return NULL;
    }
    json_object_del(value, "skipped");
    json_object_del(value, "empty");
    return value;
}

enum bt_err bt_manifest_write_part(const char *prefix, const struct bt_manifest_file *of,
                                   const struct bt_shard_entry *shards, size_t shard_count, json_t *split,
                                   struct bt_diag *diag)
{
    const struct bt_manifest m = {.shards = shards, .shard_count = shard_count};
    char *path = bt_sprintf("%s.json", prefix);
    json_t *value = json_copy(of->value);
    const bool ok = path && value && !json_object_set_new(value, "totals", part_totals(&m)) &&
                    !json_object_set_new(value, "shards", part_shards(prefix, &m)) &&
                    !json_object_set(value, "split", split);
    const enum bt_err err = ok ? bt_json_replace(path, value, diag) : bt_fail_nomem(diag);
    json_decref(split);
    json_decref(value);
    bt_free(path);
    return err;
}
