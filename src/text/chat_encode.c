/* Conversations put into a format: what the chat templates do, step by step. */
#include <string.h>

#include "base/mem.h"
#include "text/bpe.h"
#include "text/buffer.h"
#include "text/chat_parts.h"
#include "text/utf8.h"

/* Text is gathered until a control token comes, or an answer begins or ends. */
struct writer {
    const struct bt_chat *chat;
    struct bt_tokenizer_scratch *scratch;
    struct bt_labelled *out;
    struct bt_diag *diag;
    struct bt_buffer text;
    bool label; /* of the text */
    enum bt_text_place place;
    enum bt_err err; /* the first; after it nothing is done */
};

struct span {
    const char *at;
    size_t size;
};

void bt_labelled_finish(struct bt_labelled *out)
{
    bt_ids_finish(&out->ids);
    bt_free(out->label);
    *out = (struct bt_labelled){0};
}

/* Labels the ids from `first` on. */
static bool mark(struct bt_labelled *out, size_t first, bool label)
{
    if (out->ids.count > out->label_capacity) {
        unsigned char *larger = bt_realloc(out->label, out->ids.capacity, 1);
        if (!larger)
            return false;
        out->label = larger;
        out->label_capacity = out->ids.capacity;
    }
    if (out->ids.count > first)
        memset(out->label + first, label, out->ids.count - first);
    return true;
}

bool bt_labelled_put(struct bt_labelled *out, int32_t id, bool label)
{
    const size_t first = out->ids.count;
    if (bt_ids_put(&out->ids, &id, 1) && mark(out, first, label))
        return true;
    out->ids.count = first;
    return false;
}

static void flush(struct writer *w)
{
    const size_t first = w->out->ids.count;
    if (w->err || w->text.size == 0)
        return;
    w->err = bt_tokenizer_encode_plain(w->chat->tokenizer, w->scratch, w->text.at, w->text.size, w->place, &w->out->ids,
                                       w->diag);
    if (!w->err && !mark(w->out, first, w->label))
        w->err = bt_fail_nomem(w->diag);
    w->text.size = 0;
    w->place = BT_PLACE_INSIDE;
}

static void put_span(struct writer *w, struct span span, bool label)
{
    if (span.size == 0)
        return;
    if (label != w->label)
        flush(w);
    w->label = label;
    if (!w->err && !bt_buffer_put(&w->text, span.at, span.size))
        w->err = bt_fail_nomem(w->diag);
}

/* NULL: nothing. */
static void put_text(struct writer *w, const char *text, bool label)
{
    if (text)
        put_span(w, (struct span){text, strlen(text)}, label);
}

/* Nothing where the format has no such token. */
static void put_token(struct writer *w, int number, bool label)
{
    const int32_t id = w->chat->tokens[number];
    if (id == BT_NO_TOKEN)
        return;
    flush(w);
    if (!w->err && !bt_labelled_put(w->out, id, label))
        w->err = bt_fail_nomem(w->diag);
    w->place = BT_PLACE_LATER;
}

static struct span span_of(const struct bt_chat_message *message)
{
    return (struct span){message->text, message->size};
}

/* White space as Python's str.strip has it. */
static bool is_space(uint32_t code)
{
    return bt_code_is_space(code) || (code >= 0x1c && code <= 0x1f);
}

static struct span trim_end(struct span s)
{
    uint32_t code;
    for (size_t n; s.size && (n = bt_utf8_before(s.at, s.size), bt_utf8_take(s.at + n, &code), is_space(code));)
        s.size = n;
    return s;
}

static struct span trim(struct span s)
{
    uint32_t code;
    for (size_t n; s.size && (n = bt_utf8_take(s.at, &code), is_space(code)); s.size -= n)
        s.at += n;
    return trim_end(s);
}

static struct span trim_left(struct span s, char c)
{
    for (; s.size && *s.at == c; s.size--)
        s.at++;
    return s;
}

static struct span trim_right(struct span s, char c)
{
    while (s.size && s.at[s.size - 1] == c)
        s.size--;
    return s;
}

static struct span trim_if(bool wanted, struct span s)
{
    return wanted ? trim(s) : s;
}

static const char *const role_names[] = {
    [BT_CHAT_SYSTEM] = "system", [BT_CHAT_USER] = "user", [BT_CHAT_ASSISTANT] = "assistant"};

static const char think[] = "<think>", think_end[] = "</think>";

/* Thoughts end at the first </think>, and what is answered begins behind the last one. */
static void split_thoughts(struct span content, struct span *ret_thoughts, struct span *ret_answer)
{
    const char *end = content.at + content.size, *mark_at;
    const char *first = bt_find(content.at, content.size, think_end, sizeof think_end - 1);
    *ret_thoughts = (struct span){content.at, 0};
    *ret_answer = content;
    if (!first)
        return;
    struct span thoughts = trim_right((struct span){content.at, (size_t)(first - content.at)}, '\n');
    while ((mark_at = bt_find(thoughts.at, thoughts.size, think, sizeof think - 1))) {
        thoughts.size -= (size_t)(mark_at + sizeof think - 1 - thoughts.at);
        thoughts.at = mark_at + sizeof think - 1;
    }
    *ret_thoughts = trim_left(thoughts, '\n');
    for (; first; first = bt_find(first, (size_t)(end - first), think_end, sizeof think_end - 1)) {
        first += sizeof think_end - 1;
        *ret_answer = (struct span){first, (size_t)(end - first)};
    }
    *ret_answer = trim_left(*ret_answer, '\n');
}

/* qwen3. latest: behind the last user message. The empty thoughts of an answer that has none are part of the prompt:
 * with them the model is asked not to think. */
static void put_thoughtful(struct writer *w, struct span content, bool latest, bool last)
{
    struct span thoughts, answer;
    split_thoughts(content, &thoughts, &answer);
    if (!latest || !(last || thoughts.size)) {
        put_span(w, answer, true);
        return;
    }
    thoughts = trim_left(trim_right(thoughts, '\n'), '\n');
    put_text(w, "<think>\n", thoughts.size > 0);
    put_span(w, thoughts, true);
    put_text(w, "\n</think>\n\n", thoughts.size > 0);
    put_span(w, trim_left(answer, '\n'), true);
}

static void put_ml_opening(struct writer *w, enum bt_chat_role role)
{
    put_token(w, BT_CHAT_OPEN, false);
    put_text(w, role_names[role], false);
    put_text(w, "\n", false);
}

static bool wraps(struct span s, const char *front, const char *back)
{
    const size_t front_size = strlen(front), back_size = strlen(back);
    return s.size >= front_size && s.size >= back_size && !memcmp(s.at, front, front_size) &&
           !memcmp(s.at + s.size - back_size, back, back_size);
}

/* The last message that is a user's own, and not a tool's in a user's place; the last of all when there is none. */
static size_t last_query(const struct bt_chat_message *messages, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (messages[i - 1].role == BT_CHAT_USER &&
            !wraps(span_of(&messages[i - 1]), "<tool_response>", "</tool_response>"))
            return i - 1;
    return count - 1;
}

static void put_ml(struct writer *w, const struct bt_chat_message *messages, size_t count)
{
    const size_t query = last_query(messages, count);
    put_token(w, BT_CHAT_BOS, false);
    if (w->chat->system && messages[0].role != BT_CHAT_SYSTEM) {
        put_ml_opening(w, BT_CHAT_SYSTEM);
        put_text(w, w->chat->system, false);
        put_token(w, BT_CHAT_END, false);
        put_text(w, "\n", false);
    }
    for (size_t i = 0; i < count; i++) {
        const bool answer = messages[i].role == BT_CHAT_ASSISTANT;
        put_ml_opening(w, messages[i].role);
        if (answer && w->chat->format->thoughts)
            put_thoughtful(w, span_of(&messages[i]), i > query, i + 1 == count);
        else
            put_span(w, span_of(&messages[i]), answer);
        put_token(w, BT_CHAT_END, answer);
        put_text(w, "\n", false);
    }
}

static void put_header(struct writer *w, enum bt_chat_role role)
{
    put_token(w, BT_CHAT_OPEN, false);
    put_text(w, role_names[role], false);
    put_token(w, BT_CHAT_CLOSE, false);
    put_text(w, "\n\n", false);
}

static void put_headers(struct writer *w, const struct bt_chat_message *messages, size_t count)
{
    put_token(w, BT_CHAT_BOS, false);
    if (w->chat->format->dates) {
        put_header(w, BT_CHAT_SYSTEM);
        put_text(w, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", false);
        if (messages[0].role == BT_CHAT_SYSTEM) {
            put_span(w, trim(span_of(messages)), false);
            messages++;
            count--;
        }
        put_token(w, BT_CHAT_END, false);
    }
    for (size_t i = 0; i < count; i++) {
        const bool answer = messages[i].role == BT_CHAT_ASSISTANT;
        put_header(w, messages[i].role);
        put_span(w, trim(span_of(&messages[i])), answer);
        put_token(w, BT_CHAT_END, answer);
    }
}

/* llama2 trims system message and first user message as one text, so only the end of the latter. */
static void put_bracket_user(struct writer *w, const struct bt_chat_message *system,
                             const struct bt_chat_message *message)
{
    const struct bt_chat_format *format = w->chat->format;
    const bool marked = system && format->system == BT_CHAT_SYSTEM_MARKED;
    put_token(w, BT_CHAT_OPEN, false);
    put_text(w, format->open, false);
    if (system) {
        put_text(w, marked ? "<<SYS>>\n" : NULL, false);
        put_span(w, span_of(system), false);
        put_text(w, marked ? "\n<</SYS>>\n\n" : "\n\n", false);
    }
    put_span(w, marked ? trim_end(span_of(message)) : trim_if(format->trim_user, span_of(message)), false);
    put_text(w, format->close, false);
    put_token(w, BT_CHAT_CLOSE, false);
}

static void put_bracket_answer(struct writer *w, const struct bt_chat_message *message)
{
    const struct bt_chat_format *format = w->chat->format;
    put_text(w, format->lead, true);
    put_span(w, trim_if(format->trim_answer, span_of(message)), true);
    put_text(w, format->tail, true);
    put_token(w, BT_CHAT_END, true);
    put_text(w, format->behind, false);
}

/* Checked before: user and assistant take turns, the user first. */
static void put_brackets(struct writer *w, const struct bt_chat_message *messages, size_t count)
{
    const struct bt_chat_format *format = w->chat->format;
    const struct bt_chat_message *system = messages[0].role == BT_CHAT_SYSTEM ? messages : NULL;
    const size_t first = system != NULL;
    const size_t last_user = messages[count - 1].role == BT_CHAT_USER ? count - 1 : count - 2;
    const size_t with_system = format->system == BT_CHAT_SYSTEM_LAST ? last_user : first;
    for (size_t i = first; i < count; i++) {
        if (messages[i].role == BT_CHAT_ASSISTANT) {
            put_bracket_answer(w, &messages[i]);
            continue;
        }
        if (i == first || format->bos_each)
            put_token(w, BT_CHAT_BOS, false);
        put_bracket_user(w, i == with_system ? system : NULL, &messages[i]);
    }
}

static enum bt_err check_turns(const struct bt_chat *chat, const struct bt_chat_message *messages, size_t count,
                               struct bt_diag *diag)
{
    const size_t first = messages[0].role == BT_CHAT_SYSTEM;
    if (first && chat->format->system == BT_CHAT_SYSTEM_NONE)
        return bt_fail(diag, BT_EINPUT, "the chat format %s has no system messages", chat->format->name);
    if (first == count)
        return bt_fail(diag, BT_EINPUT, "there is only a system message");
    for (size_t i = first; i < count; i++) {
        const enum bt_chat_role expected = (i - first) % 2 ? BT_CHAT_ASSISTANT : BT_CHAT_USER;
        if (messages[i].role != expected)
            return bt_fail(diag, BT_EINPUT,
                           "message %zu has the role %s, but in the chat format %s user and assistant take turns", i,
                           role_names[messages[i].role], chat->format->name);
    }
    return BT_OK;
}

static enum bt_err check_messages(const struct bt_chat *chat, const struct bt_chat_message *messages, size_t count,
                                  bool prompt, struct bt_diag *diag)
{
    if (bt_chat_is_none(chat))
        return bt_fail(diag, BT_EINPUT,
                       "messages need a chat format, and the model has no chat template; name one (--chat-format, or "
                       "chat_format in a config)");
    if (count == 0)
        return bt_fail(diag, BT_EINPUT, "there is no message");
    for (size_t i = 1; i < count; i++)
        if (messages[i].role == BT_CHAT_SYSTEM)
            return bt_fail(diag, BT_EINPUT, "message %zu is a system message, which may only stand first", i);
    if (prompt && messages[count - 1].role == BT_CHAT_ASSISTANT)
        return bt_fail(diag, BT_EINPUT, "the last message is the assistant's, and an answer to it was asked for");
    return chat->format->family == BT_CHAT_BRACKETS ? check_turns(chat, messages, count, diag) : BT_OK;
}

/* What stands between the last message and the answer to it. */
static void put_prompt(struct writer *w)
{
    const struct bt_chat_format *format = w->chat->format;
    if (format->family == BT_CHAT_ML)
        put_ml_opening(w, BT_CHAT_ASSISTANT);
    if (format->family == BT_CHAT_HEADERS)
        put_header(w, BT_CHAT_ASSISTANT);
    if (format->thoughts)
        put_text(w, "<think>\n\n</think>\n\n", false);
}

static enum bt_err writer_finish(struct writer *w, size_t first)
{
    flush(w);
    bt_buffer_finish(&w->text);
    if (w->err)
        w->out->ids.count = first;
    return w->err;
}

static enum bt_err encode(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                          const struct bt_chat_message *messages, size_t count, bool prompt, struct bt_labelled *out,
                          struct bt_diag *diag)
{
    struct writer w = {.chat = chat, .scratch = scratch, .out = out, .diag = diag};
    const size_t first = out->ids.count;
    const enum bt_err err = check_messages(chat, messages, count, prompt, diag);
    if (err)
        return err;
    if (chat->format->family == BT_CHAT_ML)
        put_ml(&w, messages, count);
    else if (chat->format->family == BT_CHAT_HEADERS)
        put_headers(&w, messages, count);
    else
        put_brackets(&w, messages, count);
    if (prompt)
        put_prompt(&w);
    return writer_finish(&w, first);
}

enum bt_err bt_chat_encode(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                           const struct bt_chat_message *messages, size_t count, struct bt_labelled *out,
                           struct bt_diag *diag)
{
    return encode(chat, scratch, messages, count, false, out, diag);
}

enum bt_err bt_chat_encode_prompt(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                                  const struct bt_chat_message *messages, size_t count, struct bt_labelled *out,
                                  struct bt_diag *diag)
{
    return encode(chat, scratch, messages, count, true, out, diag);
}

enum bt_err bt_chat_encode_plain(const struct bt_chat *chat, struct bt_tokenizer_scratch *scratch,
                                 const struct bt_chat_message *prompt, const struct bt_chat_message *answer,
                                 struct bt_labelled *out, struct bt_diag *diag)
{
    struct writer w = {.chat = chat, .scratch = scratch, .out = out, .diag = diag};
    const size_t first = out->ids.count;
    put_span(&w, span_of(prompt), false);
    put_span(&w, span_of(answer), true);
    return writer_finish(&w, first);
}
