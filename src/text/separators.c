#include "text/separators.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/json.h"

/* One of the two: how it is called in each place. */
static const struct role {
    const char *option, *word, *id_key, *token_key;
    int32_t (*own)(const struct bt_tokenizer *tokenizer);
} before_role = {"before", "bos", "bos_token_id", "bos_token", bt_tokenizer_bos},
  after_role = {"after", "eos", "eos_token_id", "eos_token", bt_tokenizer_eos};

/* The value, NULL when the folder has no such file. */
static enum bt_err read_config(const char *folder, const char *name,
                               enum bt_err (*read)(const char *path, json_t **ret_value, struct bt_diag *diag),
                               json_t **ret_value, struct bt_diag *diag)
{
    char *path = bt_path_join(folder, name);
    enum bt_err err = path ? BT_OK : bt_fail_nomem(diag);
    if (!err && bt_file_exists(path))
        err = read(path, ret_value, diag);
    bt_free(path);
    return err;
}

/* A number, or the first one of a list. */
static int32_t id_in_config(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    const json_int_t id = json_is_integer(value) ? json_integer_value(value) : BT_NO_TOKEN;
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : BT_NO_TOKEN;
}

/* A token's text, or an object with the text as "content". */
static int32_t id_of_token(const json_t *config, const char *key, const struct bt_tokenizer *tokenizer)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_object(value))
        value = json_object_get(value, "content");
    return json_is_string(value) ? bt_tokenizer_id(tokenizer, json_string_value(value)) : BT_NO_TOKEN;
}

struct configs {
    json_t *model, *tokenizer; /* may be NULL */
};

static int32_t usual_id(const struct role *role, const struct configs *configs, const struct bt_tokenizer *tokenizer)
{
    int32_t id = id_in_config(configs->model, role->id_key);
    if (id == BT_NO_TOKEN)
        id = id_of_token(configs->tokenizer, role->token_key, tokenizer);
    return id == BT_NO_TOKEN ? role->own(tokenizer) : id;
}

static enum bt_err parse_id(const struct role *role, const char *word, int32_t *ret_id, struct bt_diag *diag)
{
    const size_t length = strlen(word);
    if (length == 0 || length > 9 || strspn(word, "0123456789") != length)
        return bt_fail(diag, BT_EUSAGE, "--%s: found \"%s\", expected a token id, %s or none", role->option, word,
                       role->word);
    *ret_id = (int32_t)strtol(word, NULL, 10);
    return BT_OK;
}

static enum bt_err choose(const struct role *role, const char *word, const struct configs *configs,
                          const struct bt_tokenizer *tokenizer, int32_t *ret_id, struct bt_diag *diag)
{
    int32_t id = BT_NO_TOKEN;
    const bool usual = !word || !strcmp(word, role->word);
    if (usual)
        id = usual_id(role, configs, tokenizer);
    else if (strcmp(word, "none")) {
        const enum bt_err err = parse_id(role, word, &id, diag);
        if (err)
            return err;
    }
    if (word && usual && id == BT_NO_TOKEN)
        return bt_fail(diag, BT_EUSAGE, "--%s: the tokenizer names no such token; give its id", role->option);
    if (id >= bt_tokenizer_vocab_size(tokenizer))
        return bt_fail(diag, BT_EUSAGE, "--%s: the id %d is not below the %d ids of the tokenizer", role->option,
                       (int)id, (int)bt_tokenizer_vocab_size(tokenizer));
    *ret_id = id;
    return BT_OK;
}

static enum bt_err choose_both(const struct configs *configs, const struct bt_tokenizer *tokenizer, const char *before,
                               const char *after, struct bt_separators *ret_separators, struct bt_diag *diag)
{
    struct bt_separators s;
    enum bt_err err = choose(&before_role, before, configs, tokenizer, &s.before, diag);
    if (!err)
        err = choose(&after_role, after, configs, tokenizer, &s.after, diag);
    if (err)
        return err;
    if (s.before == s.after && s.before != BT_NO_TOKEN) {
        if (before && after)
            return bt_fail(diag, BT_EUSAGE,
                           "--before and --after are both the id %d, which would make two documents of "
                           "each; say none for one of them",
                           (int)s.before);
        if (after) /* the one that was asked for stays */
            s.before = BT_NO_TOKEN;
        else
            s.after = BT_NO_TOKEN;
    }
    *ret_separators = s;
    return BT_OK;
}

static enum bt_err read_folder(const char *folder, struct configs *configs, struct bt_diag *diag)
{
    const enum bt_err err = read_config(folder, "config.json", bt_json_read, &configs->model, diag);
    return err ? err : read_config(folder, "tokenizer_config.json", bt_json_read_texts, &configs->tokenizer, diag);
}

/* The keys of a GGUF file under the names that config.json has for them. */
static enum bt_err read_gguf(const char *path, struct configs *configs, struct bt_diag *diag)
{
    static const char *const names[] = {"bos_token_id", "eos_token_id"};
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"};
    struct bt_gguf *file = NULL;
    enum bt_err err = bt_gguf_open(path, &file, diag);
    if (err)
        return err;
    configs->model = json_object();
    for (size_t i = 0; i < 2 && !err; i++) {
        uint32_t id = UINT32_MAX;
        err = bt_gguf_get_u32(file, keys[i], false, &id, diag);
        if (!err && id != UINT32_MAX && json_object_set_new(configs->model, names[i], json_integer(id)))
            err = bt_fail_nomem(diag);
    }
    bt_gguf_close(file);
    return err;
}

enum bt_err bt_separators_choose(const char *path, const struct bt_tokenizer *tokenizer, const char *before,
                                 const char *after, struct bt_separators *ret_separators, struct bt_diag *diag)
{
    struct configs configs = {0};
    char *folder = bt_dir_exists(path) ? bt_strdup(path) : bt_path_parent(path);
    enum bt_err err = folder ? BT_OK : bt_fail_nomem(diag);
    if (!err)
        err = bt_gguf_is_file(path) ? read_gguf(path, &configs, diag) : read_folder(folder, &configs, diag);
    if (!err)
        err = choose_both(&configs, tokenizer, before, after, ret_separators, diag);
    json_decref(configs.tokenizer);
    json_decref(configs.model);
    bt_free(folder);
    return err;
}
