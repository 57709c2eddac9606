/* text/chat_parts.h - what a chat format is made of: for chat.c (which formats there are) and chat_encode.c (putting
 * conversations into them). */
#ifndef BT_TEXT_CHAT_PARTS_H
#define BT_TEXT_CHAT_PARTS_H

#include "text/chat.h"

enum bt_chat_family {
    BT_CHAT_NONE,
    BT_CHAT_ML,      /* chatml, qwen3: roles between <|im_start|> and a line break */
    BT_CHAT_HEADERS, /* llama3: roles between header tokens */
    BT_CHAT_BRACKETS /* llama2, mistral: [INST] and [/INST] around what the user says */
};

enum bt_chat_system {                        /* brackets: where the system message goes */
                      BT_CHAT_SYSTEM_NONE,   /* nowhere: refused */
                      BT_CHAT_SYSTEM_MARKED, /* in front of the first user message, between <<SYS>> and <</SYS>> */
                      BT_CHAT_SYSTEM_FIRST,  /* in front of the first user message, a blank line between them */
                      BT_CHAT_SYSTEM_LAST    /* so in front of the last one */
};

enum { BT_CHAT_BOS, BT_CHAT_END, BT_CHAT_OPEN, BT_CHAT_CLOSE, BT_CHAT_TOKENS };

struct bt_chat_format {
    const char *name;
    enum bt_chat_family family;
    const char *tokens[BT_CHAT_TOKENS]; /* how they are spelled; NULL: has none */
    bool thoughts;                      /* chatml: Qwen3's */
    bool dates;                         /* headers: Llama 3.1's system message */
    /* brackets, all texts; NULL: nothing. */
    const char *open, *close; /* around what the user says, inside of the tokens where there are some */
    const char *lead, *tail;  /* around the answer, and part of it */
    const char *behind;       /* behind the token that ends it */
    bool bos_each;            /* BOS in every turn, not only the first */
    bool trim_user, trim_answer;
    enum bt_chat_system system;
};

struct bt_chat {
    const struct bt_tokenizer *tokenizer;
    const struct bt_chat_format *format;
    int32_t tokens[BT_CHAT_TOKENS]; /* BT_NO_TOKEN: the format has none */
    char *system;                   /* what a conversation without a system message begins with, or NULL */
};

#endif
