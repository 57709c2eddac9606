/* A model's tokenizer from a folder or out of a GGUF file. */
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/chat_template.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_json.h"

void bt_tokenizer_source_finish(struct bt_tokenizer_source *source)
{
    json_decref(source->tokenizer);
    bt_free(source->chat_template);
    bt_free(source->what);
    *source = (struct bt_tokenizer_source){0};
}

static enum bt_err read_gguf(const char *path, json_t **ret_tokenizer, struct bt_diag *diag)
{
    struct bt_gguf *file = NULL;
    enum bt_err err = bt_gguf_open(path, &file, diag);
    if (!err)
        err = bt_tokenizer_gguf_read(file, ret_tokenizer, diag);
    bt_gguf_close(file);
    return err;
}

static enum bt_err read_parts(const char *path, bool gguf, struct bt_tokenizer_source *source, struct bt_diag *diag)
{
    char *unused = NULL;
    enum bt_err err = BT_OK;
    source->what = gguf ? bt_strdup(path) : bt_path_join(path, "tokenizer.json");
    if (!source->what)
        return bt_fail_nomem(diag);
    if (gguf)
        err = read_gguf(path, &source->tokenizer, diag);
    else if (bt_file_exists(source->what))
        err = bt_json_read(source->what, &source->tokenizer, diag);
    if (!err)
        err = bt_chat_template_read(path, &source->chat_template, &unused, diag);
    bt_free(unused);
    return err;
}

enum bt_err bt_tokenizer_source_read(const char *path, struct bt_tokenizer_source *ret_source, struct bt_diag *diag)
{
    struct bt_tokenizer_source source = {0};
    const enum bt_err err = read_parts(path, bt_gguf_is_file(path), &source, diag);
    if (err)
        bt_tokenizer_source_finish(&source);
    else
        *ret_source = source;
    return err;
}

/* ---- what it is good for ---- */

enum bt_err bt_tokenizer_source_open(const struct bt_tokenizer_source *source, struct bt_tokenizer **ret_tokenizer,
                                     struct bt_diag *diag)
{
    if (!source->tokenizer)
        return bt_fail(diag, BT_EINPUT, "%s: there is no tokenizer", source->what);
    char *text = bt_json_text(source->tokenizer, 0);
    if (!text)
        return bt_fail_nomem(diag);
    const enum bt_err err = bt_tokenizer_parse(text, strlen(text), source->what, ret_tokenizer, diag);
    bt_free(text);
    return err;
}

enum bt_err bt_tokenizer_source_write(const struct bt_tokenizer_source *source, const char *folder,
                                      struct bt_diag *diag)
{
    if (!source->tokenizer)
        return BT_OK;
    const enum bt_err err = bt_tokenizer_json_write(folder, "tokenizer.json", json_incref(source->tokenizer), diag);
    if (err)
        return err;
    return bt_tokenizer_json_write(folder, "tokenizer_config.json",
                                   json_pack("{s:s, s:b, s:s*}", "tokenizer_class", "PreTrainedTokenizerFast",
                                             "clean_up_tokenization_spaces", 0, "chat_template", source->chat_template),
                                   diag);
}
