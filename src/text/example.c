/* Examples out of lines, and their tokens. */
#include "text/example.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/json_field.h"

static enum bt_err read_role(const json_t *message, const struct bt_where *where, enum bt_chat_role *ret_role,
                             struct bt_diag *diag)
{
    static const char *const roles[] = {
        [BT_CHAT_SYSTEM] = "system", [BT_CHAT_USER] = "user", [BT_CHAT_ASSISTANT] = "assistant"};
    struct bt_json_text role;
    const enum bt_err err = bt_field_text(message, "role", where, &role, diag);
    if (err)
        return err;
    for (int i = 0; i < 3; i++)
        if (!strcmp(role.at, roles[i])) {
            *ret_role = (enum bt_chat_role)i;
            return BT_OK;
        }
    return bt_fail(diag, BT_EINPUT, "%s.role: found \"%.40s\", expected system, user or assistant", where->text,
                   role.at);
}

static enum bt_err read_text(const json_t *object, const char *key, const struct bt_where *where,
                             struct bt_chat_message *message, struct bt_diag *diag)
{
    struct bt_json_text text;
    const enum bt_err err = bt_field_text(object, key, where, &text, diag);
    if (err)
        return err;
    message->text = text.at;
    message->size = text.size;
    return BT_OK;
}

static enum bt_err read_message(const json_t *value, const struct bt_where *where, struct bt_chat_message *message,
                                struct bt_diag *diag)
{
    if (!json_is_object(value))
        return bt_fail(diag, BT_EINPUT, "%s: expected an object with \"role\" and \"content\"", where->text);
    if (!bt_field_is_null(value, "tool_calls"))
        return bt_fail(diag, BT_EINPUT, "%s.tool_calls: calls of tools are not supported", where->text);
    const enum bt_err err = read_role(value, where, &message->role, diag);
    return err ? err : read_text(value, "content", where, message, diag);
}

static bool has_answer(const struct bt_example *example)
{
    for (size_t i = 0; i < example->count; i++)
        if (example->messages[i].role == BT_CHAT_ASSISTANT)
            return true;
    return false;
}

static enum bt_err read_messages(struct bt_example *example, const struct bt_where *line, struct bt_diag *diag)
{
    json_t *list;
    struct bt_where where, place;
    enum bt_err err = bt_field_array(example->value, "messages", line, &list, diag);
    if (err)
        return err;
    example->messages = bt_zalloc(json_array_size(list), sizeof *example->messages);
    if (!example->messages)
        return bt_fail_nomem(diag);
    bt_where_key(&where, line, "messages");
    for (; !err && example->count < json_array_size(list); example->count++) {
        bt_where_index(&place, &where, example->count);
        err = read_message(json_array_get(list, example->count), &place, &example->messages[example->count], diag);
    }
    if (!err && !has_answer(example))
        err = bt_fail(diag, BT_EINPUT, "%s: no message is an assistant's, so there is nothing to learn", where.text);
    return err;
}

/* Two keys, two messages. */
static enum bt_err read_pair(struct bt_example *example, const char *asked, const char *answered,
                             const struct bt_where *line, struct bt_diag *diag)
{
    example->messages = bt_zalloc(2, sizeof *example->messages);
    if (!example->messages)
        return bt_fail_nomem(diag);
    example->count = 2;
    example->messages[0].role = BT_CHAT_USER;
    example->messages[1].role = BT_CHAT_ASSISTANT;
    const enum bt_err err = read_text(example->value, asked, line, &example->messages[0], diag);
    return err ? err : read_text(example->value, answered, line, &example->messages[1], diag);
}

/* The prompts of github.com/tatsu-lab/stanford_alpaca, train.py. */
static char *alpaca_prompt(const char *instruction, const char *input)
{
    static const char head[] = "Below is an instruction that describes a task%s. "
                               "Write a response that appropriately completes the request.\n\n### Instruction:\n%s";
    char *start = bt_sprintf(head, *input ? ", paired with an input that provides further context" : "", instruction);
    char *prompt = !start   ? NULL
                   : *input ? bt_sprintf("%s\n\n### Input:\n%s\n\n### Response:", start, input)
                            : bt_sprintf("%s\n\n### Response:", start);
    bt_free(start);
    return prompt;
}

static enum bt_err read_instruction(struct bt_example *example, const struct bt_chat *chat, const struct bt_where *line,
                                    struct bt_diag *diag)
{
    struct bt_json_text input = {"", 0};
    enum bt_err err = read_pair(example, "instruction", "output", line, diag);
    if (!err && !bt_field_is_null(example->value, "input"))
        err = bt_field_text(example->value, "input", line, &input, diag);
    if (err)
        return err;
    struct bt_chat_message *asked = &example->messages[0];
    if (bt_chat_is_none(chat))
        example->asked = alpaca_prompt(asked->text, input.at);
    else
        example->asked = bt_sprintf("%s%s%s", asked->text, input.size ? "\n\n" : "", input.at);
    if (!example->asked)
        return bt_fail_nomem(diag);
    asked->text = example->asked;
    asked->size = strlen(example->asked);
    return BT_OK;
}

static enum bt_err read_form(struct bt_example *example, const struct bt_chat *chat, const struct bt_where *line,
                             struct bt_diag *diag)
{
    if (!json_is_object(example->value))
        return bt_fail(diag, BT_EINPUT, "%s: this is not an object", line->text);
    switch (example->form) {
    case BT_FORM_MESSAGES:
        return read_messages(example, line, diag);
    case BT_FORM_PROMPT:
        return read_pair(example, "prompt", "completion", line, diag);
    case BT_FORM_QUESTION:
        return read_pair(example, "question", "answer", line, diag);
    case BT_FORM_INSTRUCTION:
        return read_instruction(example, chat, line, diag);
    case BT_FORM_TEXT:
    case BT_FORM_NONE:
        break;
    }
    return bt_fail(diag, BT_EINPUT,
                   "%s: the object has none of the keys that are looked for: messages, prompt and completion, question "
                   "and answer, instruction and output, or that of a text",
                   line->text);
}

enum bt_err bt_example_read(const struct bt_record *record, const char *path, enum bt_form form,
                            const struct bt_chat *chat, struct bt_example *ret_example, struct bt_diag *diag)
{
    struct bt_example example = {.form = form};
    struct bt_where line;
    enum bt_err err = bt_json_parse_at(record->data, record->size, path, record->line, &example.value, diag);
    if (err)
        return err;
    snprintf(line.text, sizeof line.text, "%.400s: line %llu: $", path, (unsigned long long)record->line);
    err = read_form(&example, chat, &line, diag);
    for (size_t i = 0; i < example.count; i++)
        example.bytes += example.messages[i].size;
    if (err)
        bt_example_finish(&example);
    else
        *ret_example = example;
    return err;
}

void bt_example_finish(struct bt_example *example)
{
    bt_free(example->messages);
    bt_free(example->asked);
    json_decref(example->value);
    *example = (struct bt_example){0};
}

static enum bt_err put_id(struct bt_labelled *out, int32_t id, bool label, struct bt_diag *diag)
{
    return id == BT_NO_TOKEN || bt_labelled_put(out, id, label) ? BT_OK : bt_fail_nomem(diag);
}

/* Where one id is both, the separators keep it in front alone; an example needs an end to learn. */
static int32_t end_of(const struct bt_chat *chat, const struct bt_separators *separators)
{
    const int32_t end = bt_chat_end_token(chat);
    return separators->before == end ? end : separators->after;
}

enum bt_err bt_example_encode(const struct bt_example *example, const struct bt_chat *chat,
                              const struct bt_separators *separators, struct bt_tokenizer_scratch *scratch,
                              struct bt_labelled *out, struct bt_diag *diag)
{
    if (!bt_chat_is_none(chat) || example->form == BT_FORM_MESSAGES)
        return bt_chat_encode(chat, scratch, example->messages, example->count, out, diag);
    enum bt_err err = put_id(out, separators->before, false, diag);
    if (!err)
        err = bt_chat_encode_plain(chat, scratch, &example->messages[0], &example->messages[1], out, diag);
    return err ? err : put_id(out, end_of(chat, separators), true, diag);
}
