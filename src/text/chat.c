/* The formats there are, and how one is chosen for a tokenizer. */
#include "text/chat.h"

#include <string.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf.h"
#include "text/chat_parts.h"
#include "text/chat_template.h"
#include "text/separators.h"

#define CHATML_TOKENS                                                                                                  \
    {                                                                                                                  \
        [BT_CHAT_OPEN] = "<|im_start|>", [BT_CHAT_END] = "<|im_end|>"                                                  \
    }
#define LLAMA3_TOKENS                                                                                                  \
    {                                                                                                                  \
        [BT_CHAT_BOS] = "<|begin_of_text|>", [BT_CHAT_END] = "<|eot_id|>", [BT_CHAT_OPEN] = "<|start_header_id|>",     \
        [BT_CHAT_CLOSE] = "<|end_header_id|>"                                                                          \
    }
#define SENTENCE_TOKENS                                                                                                \
    {                                                                                                                  \
        [BT_CHAT_BOS] = "<s>", [BT_CHAT_END] = "</s>"                                                                  \
    }
#define BRACKET_TOKENS                                                                                                 \
    {                                                                                                                  \
        [BT_CHAT_BOS] = "<s>", [BT_CHAT_END] = "</s>", [BT_CHAT_OPEN] = "[INST]", [BT_CHAT_CLOSE] = "[/INST]"          \
    }

static const struct bt_chat_format formats[] = {
    {.name = "none", .family = BT_CHAT_NONE},
    {.name = "chatml", .family = BT_CHAT_ML, .tokens = CHATML_TOKENS},
    {.name = "qwen3", .family = BT_CHAT_ML, .tokens = CHATML_TOKENS, .thoughts = true},
    {.name = "llama3", .family = BT_CHAT_HEADERS, .tokens = LLAMA3_TOKENS},
    {.name = "llama3.1", .family = BT_CHAT_HEADERS, .tokens = LLAMA3_TOKENS, .dates = true},
    {.name = "llama2",
     .family = BT_CHAT_BRACKETS,
     .tokens = SENTENCE_TOKENS,
     .open = "[INST] ",
     .close = " [/INST]",
     .lead = " ",
     .tail = " ",
     .bos_each = true,
     .trim_user = true,
     .trim_answer = true,
     .system = BT_CHAT_SYSTEM_MARKED},
    {.name = "mistral-v0.1",
     .family = BT_CHAT_BRACKETS,
     .tokens = SENTENCE_TOKENS,
     .open = "[INST] ",
     .close = " [/INST]",
     .behind = " "},
    {.name = "mistral-v0.2",
     .family = BT_CHAT_BRACKETS,
     .tokens = SENTENCE_TOKENS,
     .open = "[INST] ",
     .close = " [/INST]"},
    {.name = "mistral-v1",
     .family = BT_CHAT_BRACKETS,
     .tokens = SENTENCE_TOKENS,
     .open = " [INST] ",
     .close = " [/INST]",
     .lead = " ",
     .system = BT_CHAT_SYSTEM_FIRST},
    {.name = "mistral-v3",
     .family = BT_CHAT_BRACKETS,
     .tokens = BRACKET_TOKENS,
     .open = " ",
     .lead = " ",
     .trim_answer = true,
     .system = BT_CHAT_SYSTEM_LAST},
    {.name = "mistral-tekken", .family = BT_CHAT_BRACKETS, .tokens = BRACKET_TOKENS, .system = BT_CHAT_SYSTEM_LAST},
};

static const struct bt_chat_format *find_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

/* told: by the user, who then has to know; else by a template. */
static enum bt_err find_tokens(struct bt_chat *chat, bool told, struct bt_diag *diag)
{
    for (int i = 0; i < BT_CHAT_TOKENS; i++) {
        const char *token = chat->format->tokens[i];
        chat->tokens[i] = token ? bt_tokenizer_id(chat->tokenizer, token) : BT_NO_TOKEN;
        if (token && !bt_tokenizer_is_special(chat->tokenizer, chat->tokens[i]))
            return bt_fail(diag, told ? BT_EUSAGE : BT_EINPUT,
                           "the chat format %s needs the special token \"%s\", which the tokenizer does not have",
                           chat->format->name, token);
    }
    return BT_OK;
}

/* What the folder says of BOS, which some chatml templates put in front, and of EOS, which ends plain answers. */
static enum bt_err find_sentence_tokens(struct bt_chat *chat, const char *path, bool bos, struct bt_diag *diag)
{
    struct bt_separators only = {BT_NO_TOKEN, BT_NO_TOKEN};
    enum bt_err err = BT_OK;
    if (chat->format->family == BT_CHAT_NONE) {
        err = bt_separators_choose(path, chat->tokenizer, "none", NULL, &only, diag);
        chat->tokens[BT_CHAT_END] = only.after;
    } else if (bos) {
        err = bt_separators_choose(path, chat->tokenizer, NULL, "none", &only, diag);
        chat->tokens[BT_CHAT_BOS] = only.before;
    }
    return err;
}

static enum bt_err find_in_folder(const char *path, struct bt_chat_found *ret_found, struct bt_diag *diag)
{
    char *folder = bt_dir_exists(path) || bt_gguf_is_file(path) ? bt_strdup(path) : bt_path_parent(path);
    const enum bt_err err = folder ? bt_chat_template_find(folder, ret_found, diag) : bt_fail_nomem(diag);
    bt_free(folder);
    return err;
}

enum bt_err bt_chat_open(const char *path, const struct bt_tokenizer *tokenizer, const char *format,
                         struct bt_chat **ret_chat, struct bt_diag *diag)
{
    struct bt_chat_found found = {.format = format};
    enum bt_err err = format ? BT_OK : find_in_folder(path, &found, diag);
    if (err)
        return err;
    struct bt_chat *chat = bt_zalloc(1, sizeof *chat);
    if (!chat) {
        bt_free(found.system);
        return bt_fail_nomem(diag);
    }
    *chat = (struct bt_chat){.tokenizer = tokenizer, .format = find_format(found.format), .system = found.system};
    if (!chat->format)
        err = bt_fail(diag, BT_EUSAGE, "found the chat format \"%s\", expected one of " BT_CHAT_FORMATS, format);
    if (!err)
        err = find_tokens(chat, format != NULL, diag);
    if (!err)
        err = find_sentence_tokens(chat, path, found.bos, diag);
    if (err)
        bt_chat_close(chat);
    else
        *ret_chat = chat;
    return err;
}

void bt_chat_close(struct bt_chat *chat)
{
    if (!chat)
        return;
    bt_free(chat->system);
    bt_free(chat);
}

const char *bt_chat_name(const struct bt_chat *chat)
{
    return chat->format->name;
}

uint64_t bt_chat_hash(const struct bt_chat *chat)
{
    uint64_t hash = XXH3_64bits(chat->format->name, strlen(chat->format->name));
    hash = XXH3_64bits_withSeed(chat->tokens, sizeof chat->tokens, hash);
    return chat->system ? XXH3_64bits_withSeed(chat->system, strlen(chat->system), hash) : hash;
}

bool bt_chat_is_none(const struct bt_chat *chat)
{
    return chat->format->family == BT_CHAT_NONE;
}

int32_t bt_chat_end_token(const struct bt_chat *chat)
{
    return chat->tokens[BT_CHAT_END];
}
