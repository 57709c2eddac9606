/* text/chat.h - conversations as the models of each family were trained to see them.
 *
 * A format is what a chat template (Jinja, in tokenizer_config.json or chat_template.jinja) makes of plain messages.
 * Templates are not run: the well-known ones are recognised by the expressions they are made of, anything else is
 * refused. Formats, by what they give for a user who says U and an assistant who says A (S: system; $ stands for a
 * line break, trim(x) for x without white space around it, <x> for a control token):
 *
 *   chatml          <|im_start|>user$U<|im_end|>$<|im_start|>assistant$A<|im_end|>$       every role alike; BOS in
 * front and a default system message where the template has them qwen3           chatml, and answers behind the last
 * user message begin with "<think>$$</think>$$" or with the thoughts that they hold; thoughts of earlier ones are left
 * out llama3          <BOS><|start_header_id|>user<|end_header_id|>$$trim(U)<|eot_id|>...     every role alike llama3.1
 * llama3, and always a system message: "Cutting Knowledge Date: December 2023$Today Date: 26 Jul 2024$$S" llama2
 * <s>[INST] trim(U) [/INST] trim(A) </s>     <s> in each turn; the first U is "<<SYS>>$S$<</SYS>>$$U" mistral-v0.1
 * <s>[INST] U [/INST]A</s> [INST] ...        no system message (Instruct v0.1 as it first was) mistral-v0.2 <s>[INST] U
 * [/INST]A</s>[INST] ...         no system message (v0.2 and Mixtral as they first were) mistral-v1      <s> [INST] U
 * [/INST] A</s> [INST] ...      the first U is "S$$U" (v0.1 and v0.2 as they are now) mistral-v3      <s><[INST]>
 * U<[/INST]> trim(A)</s><[INST]> ...   the last U is "S$$U" (Instruct v0.3) mistral-tekken
 * <s><[INST]>U<[/INST]>A</s><[INST]> ...     the last U is "S$$U" (Nemo) none            no conversations: text goes on
 * behind text
 *
 * Every answer is labelled, with the token that ends its turn; what stands around it is not. Text between two control
 * tokens is encoded as one text, as Hugging Face's library does that renders first, with one exception: it is cut where
 * an answer begins, because that is where a prompt ends when text is generated. Special tokens that are spelled out in
 * messages stay text. */
#ifndef BT_TEXT_CHAT_H
#define BT_TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"

#define BT_CHAT_FORMATS                                                                                                \
    "chatml, qwen3, llama3, llama3.1, llama2, mistral-v0.1, mistral-v0.2, mistral-v1, mistral-v3, mistral-tekken, "    \
    "none"

enum bt_chat_role { BT_CHAT_SYSTEM, BT_CHAT_USER, BT_CHAT_ASSISTANT };

struct bt_chat_message { /* borrowed UTF-8 */
    enum bt_chat_role role;
    const char *text;
    size_t size;
};

/* Token ids, and which of them are there to be learned. */
struct bt_labelled { /* zeroed: empty */
    struct bt_ids ids;
    unsigned char *label; /* (ids.count) 1: part of an answer, else 0 */
    size_t label_capacity;
};
void bt_labelled_finish(struct bt_labelled *out);

/* A format, bound to a tokenizer, which it borrows. Never written to once it is open: any number of threads may use it.
 */
struct bt_chat;
/* path: a model folder, or a tokenizer.json in one. format: a name from above, or NULL for the one of the folder's
 * template: chat_template.jinja, else "chat_template" in tokenizer_config.json (of several the one named "default"),
 * and "none" where there is no template. BT_EUSAGE: no such format, or its control tokens are not special tokens of
 * this tokenizer; BT_EINPUT: a template that is not known, or such tokens are missing for one that is. */
enum bt_err bt_chat_open(const char *path, const struct bt_tokenizer *tokenizer, const char *format,
                         struct bt_chat **ret_chat, struct bt_diag *diag);
void bt_chat_close(struct bt_chat *chat); /* takes NULL */
/* Of all that tokens depend on besides the tokenizer. */
uint64_t bt_chat_hash(const struct bt_chat *chat);
const char *bt_chat_name(const struct bt_chat *chat);
bool bt_chat_is_none(const struct bt_chat *chat);
/* The token that ends an answer; EOS, or BT_NO_TOKEN where there is none, for the format "none". */
int32_t bt_chat_end_token(const struct bt_chat *chat);

/* Appends a conversation. A system message may only stand first. BT_EINPUT says what the format cannot have: roles that
 * do not take turns, a system message, a conversation under "none". On failure out is as it was. */
enum bt_err bt_chat_encode(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                           const struct bt_chat_message *messages, size_t count, struct bt_labelled *out,
                           struct bt_diag *diag);
/* The same with what the next answer follows behind it: the prompt to generate it from. The last message is not an
 * assistant's. */
enum bt_err bt_chat_encode_prompt(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                                  const struct bt_chat_message *messages, size_t count, struct bt_labelled *out,
                                  struct bt_diag *diag);
/* A prompt and the text that goes on behind it, for the format "none": both encoded on their own, the second as a text
 * that stands right behind the first, and labelled. No separators. */
enum bt_err bt_chat_encode_plain(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                                 const struct bt_chat_message *prompt, const struct bt_chat_message *answer,
                                 struct bt_labelled *out, struct bt_diag *diag);
/* Appends a token by its id. */
bool bt_labelled_put(struct bt_labelled *out, int32_t id, bool label);

#endif
