/* text/example.h - lines of .jsonl files that hold something to learn by example: a conversation, or what is asked and
 * what is answered. */
#ifndef BT_TEXT_EXAMPLE_H
#define BT_TEXT_EXAMPLE_H

#include "base/err.h"
#include "text/chat.h"
#include "text/documents.h"
#include "text/separators.h"

/* What a line holds, told by its keys in this order, the first that has all of them:
 *   messages      "messages": a list of {"role": "system" | "user" | "assistant", "content": "..."}
 *   prompt        "prompt", "completion"
 *   question      "question", "answer"
 *   instruction   "instruction", "output", and maybe "input"
 *   text          the key of documents (text/documents.h): not an example
 *   none          nothing of all that */
enum bt_form { BT_FORM_NONE, BT_FORM_TEXT, BT_FORM_MESSAGES, BT_FORM_PROMPT, BT_FORM_QUESTION, BT_FORM_INSTRUCTION };
const char *bt_form_name(enum bt_form form);
/* "messages" and so on; false for any other name, "none" among them. */
bool bt_form_parse(const char *name, enum bt_form *ret_form);
/* The form of a file: that of its first line that has one; text for plain text; none when no line has one. A line that
 * is not a JSON object has none, and what cannot be read is as if it were not there. key: of documents. BT_EINPUT: no
 * such file. */
enum bt_err bt_form_detect(const char *path, enum bt_text_format format, const char *key, enum bt_form *ret_form,
                           struct bt_diag *diag);

/* One line, of any form but text. */
struct bt_example {
    struct bt_chat_message *messages; /* owned; their texts lie in `value` and `asked` */
    size_t count;
    uint64_t bytes; /* of all texts */
    enum bt_form form;
    json_t *value;
    char *asked; /* an instruction with its input, put together */
};
/* chat: whose format decides how instructions are put: in none as Stanford Alpaca's prompt has it, else the
 * instruction, a blank line and the input. BT_EINPUT names file and line: not JSON, keys missing or no strings, roles
 * that are not known, tool calls, no assistant message. Threads may do this at the same time. */
enum bt_err bt_example_read(const struct bt_record *record, const char *path, enum bt_form form,
                            const struct bt_chat *chat, struct bt_example *ret_example, struct bt_diag *diag);
void bt_example_finish(struct bt_example *example); /* takes a zeroed one */

/* Appends its tokens: as the chat's format has it, without separators; in none what is asked and what is answered right
 * behind it, with the separators around them. The one behind is labelled; it is there too where one id is both, which
 * `separators` have in front alone. The caller knows file and line, the sentence of an error does not. */
enum bt_err bt_example_encode(const struct bt_example *example, const struct bt_chat *chat,
                              const struct bt_separators *separators, struct bt_tokenizer_scratch *scratch,
                              struct bt_labelled *out, struct bt_diag *diag);

#endif
