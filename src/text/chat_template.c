#include "text/chat_template.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/json.h"
#include "text/buffer.h"
#include "text/chat.h"

/* Templates of one format differ in white space, in quotes and in how a field is asked for (message.role,
 * message['role']). So a template is first brought into one form: comments are dropped, and so is white space outside
 * of strings; strings have single quotes and no escapes; the dashes that control white space are gone. What is looked
 * for then are the expressions that make the text of a plain conversation. */

#define IM_START "<|im_start|>"
#define MESSAGE  "'" IM_START "'+message['role']+'\n'+message['content']+'<|im_end|>"
#define THOUGHTS "'\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+content.lstrip('\n')"
#define HEADER   "'<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+'<|eot_id|>'"

#define PARTS 4

/* Every one of `with` has to be there, none of `without`. The first entry that fits counts. */
static const struct known {
    const char *format, *with[PARTS], *without[PARTS];
} known[] = {
    {"qwen3", {MESSAGE "'+'\n'", THOUGHTS, "enable_thinking"}, {NULL}},
    {"chatml", {MESSAGE "'+'\n'"}, {"<think>", "[INST]"}},
    {"chatml", {MESSAGE "\n'"}, {"<think>", "[INST]"}},
    {"llama3.1",
     {HEADER, "bos_token", "'Cutting Knowledge Date: December 2023\n'", "'Today Date: '+date_string+'\n\n'"},
     {NULL}},
    {"llama3", {HEADER, "bos_token"}, {"Knowledge Date"}},
    {"llama2",
     {"bos_token+'[INST] '+content.strip()+' [/INST]'", "' '+content.strip()+' '+eos_token",
      "'<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message['content']"},
     {"true==true"}}, /* a system message of its own where there is none */
    {"mistral-v0.1",
     {"{{bos_token}}", "{{'[INST] '+message['content']+' [/INST]'}}", "{{message['content']+eos_token+' '}}"},
     {"<<SYS>>", "system_message"}},
    {"mistral-v0.2",
     {"{{bos_token}}", "{{'[INST] '+message['content']+' [/INST]'}}", "{{message['content']+eos_token}}"},
     {"<<SYS>>", "system_message"}},
    {"mistral-v1",
     {"{{bos_token}}", "{{' [INST] '+message['content']+' [/INST]'}}", "{{' '+message['content']+eos_token}}",
      "{{' [INST] '+system_message+'\n\n'+message['content']+' [/INST]'}}"},
     {NULL}},
    {"mistral-v3",
     {"{{bos_token}}", "{{'[INST] '+message['content']+'[/INST]'}}", "{{' '+message['content']|trim+eos_token}}",
      "{{'[INST] '+system_message+'\n\n'+message['content']+'[/INST]'}}"},
     {NULL}},
    {"mistral-tekken",
     {"{{bos_token}}", "{{'[INST]'+message['content']+'[/INST]'}}", "{{message['content']+eos_token}}",
      "{{'[INST]'+system_message+'\n\n'+message['content']+'[/INST]'}}"},
     {NULL}},
};

struct source {
    const char *at, *end;
};

static bool begins(const struct source *s, const char *with)
{
    const size_t size = strlen(with);
    return (size_t)(s->end - s->at) >= size && !memcmp(s->at, with, size);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void pass_comment(struct source *s)
{
    const char *end = bt_find(s->at, (size_t)(s->end - s->at), "#}", 2);
    s->at = end ? end + 2 : s->end;
}

/* A string from its quote to the one that ends it. */
static bool put_string(struct source *s, struct bt_buffer *out)
{
    const char quote = *s->at++;
    bool ok = bt_buffer_put(out, "'", 1);
    while (ok && s->at < s->end && *s->at != quote) {
        char c = *s->at++;
        if (c == '\\' && s->at < s->end) {
            c = *s->at++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        ok = bt_buffer_put(out, &c, 1);
    }
    s->at += s->at < s->end;
    return ok && bt_buffer_put(out, "'", 1);
}

/* One step inside of {{ }} or {% %}. */
static bool put_code(struct source *s, struct bt_buffer *out, bool *inside)
{
    if (*s->at == '\'' || *s->at == '"')
        return put_string(s, out);
    if (begins(s, "-}}") || begins(s, "-%}"))
        s->at++;
    if (begins(s, "}}") || begins(s, "%}")) {
        *inside = false;
        s->at += 2;
        return bt_buffer_put(out, s->at - 2, 2);
    }
    const char *c = s->at++;
    return is_space(*c) || bt_buffer_put(out, c, 1);
}

/* One step between them. */
static bool put_outside(struct source *s, struct bt_buffer *out, bool *inside)
{
    if (begins(s, "{#")) {
        pass_comment(s);
        return true;
    }
    if (begins(s, "{{") || begins(s, "{%")) {
        *inside = true;
        const bool ok = bt_buffer_put(out, s->at, 2);
        s->at += 2;
        s->at += begins(s, "-");
        return ok;
    }
    const char *c = s->at++;
    return is_space(*c) || bt_buffer_put(out, c, 1);
}

static bool one_form(const char *text, size_t size, struct bt_buffer *out)
{
    static const char *const fields[][2] = {{"message.role", "message['role']"},
                                            {"message.content", "message['content']"}};
    struct source source = {text, text + size};
    struct bt_buffer code = {0}, roles = {0};
    bool inside = false, ok = true;
    while (ok && source.at < source.end)
        ok = inside ? put_code(&source, &code, &inside) : put_outside(&source, &code, &inside);
    ok = ok && bt_buffer_replace(&roles, code.at, code.size, fields[0][0], strlen(fields[0][0]), fields[0][1],
                                 strlen(fields[0][1]));
    ok = ok && bt_buffer_replace(out, roles.at, roles.size, fields[1][0], strlen(fields[1][0]), fields[1][1],
                                 strlen(fields[1][1]));
    bt_buffer_finish(&code);
    bt_buffer_finish(&roles);
    return ok;
}

static const char *find(const struct bt_buffer *form, const char *what)
{
    return form->size ? bt_find(form->at, form->size, what, strlen(what)) : NULL;
}

static bool fits(const struct bt_buffer *form, const struct known *entry)
{
    for (size_t i = 0; i < PARTS && entry->with[i]; i++)
        if (!find(form, entry->with[i]))
            return false;
    for (size_t i = 0; i < PARTS && entry->without[i]; i++)
        if (find(form, entry->without[i]))
            return false;
    return true;
}

/* chatml's default system message, which stands in one string with the tokens around it. False: there is something
 * else in its place. */
static bool find_system(const struct bt_buffer *form, const char **ret_start, size_t *ret_size)
{
    static const char opening[] = "'" IM_START "system\n", closing[] = "<|im_end|>";
    const char *end = form->at + form->size, *at = form->at;
    while ((at = bt_find(at, (size_t)(end - at), opening, sizeof opening - 1))) {
        at += sizeof opening - 1;
        if (at < end && *at == '\'') /* a message's own content goes on from here */
            continue;
        const char *stop = bt_find(at, (size_t)(end - at), closing, sizeof closing - 1);
        if (!stop || memchr(at, '\'', (size_t)(stop - at)))
            return false;
        *ret_start = at;
        *ret_size = (size_t)(stop - at);
        return true;
    }
    return true;
}

static enum bt_err fail_unknown(const char *what, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EINPUT,
                   "%s: this chat template is not one of those that are known; say which format it comes nearest to "
                   "(--chat-format, or chat_format in a config): " BT_CHAT_FORMATS,
                   what);
}

static enum bt_err describe(const struct bt_buffer *form, const struct known *entry, const char *what,
                            struct bt_chat_found *ret_found, struct bt_diag *diag)
{
    struct bt_chat_found found = {.format = entry->format};
    const char *system = NULL;
    size_t size = 0;
    if (!strcmp(entry->format, "chatml")) {
        found.bos = find(form, "bos_token") != NULL;
        if (!find_system(form, &system, &size))
            return fail_unknown(what, diag);
    }
    if (system && !(found.system = bt_strndup(system, size)))
        return bt_fail_nomem(diag);
    *ret_found = found;
    return BT_OK;
}

enum bt_err bt_chat_template_recognise(const char *text, size_t size, const char *what, struct bt_chat_found *ret_found,
                                       struct bt_diag *diag)
{
    const struct known *entry = NULL;
    struct bt_buffer form = {0};
    enum bt_err err = one_form(text, size, &form) ? BT_OK : bt_fail_nomem(diag);
    for (size_t i = 0; !err && !entry && i < sizeof known / sizeof *known; i++)
        if (fits(&form, &known[i]))
            entry = &known[i];
    if (!err)
        err = entry ? describe(&form, entry, what, ret_found, diag) : fail_unknown(what, diag);
    bt_buffer_finish(&form);
    return err;
}

/* Several templates stand in a list of {"name", "template"}. */
static const json_t *template_of(const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template"), *entry;
    size_t i;
    if (!json_is_array(value))
        return value;
    json_array_foreach(value, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && !strcmp(name, "default"))
            return json_object_get(entry, "template");
    }
    return value;
}

static enum bt_err keep_text(const char *text, size_t size, char **ret_text, struct bt_diag *diag)
{
    *ret_text = bt_strndup(text, size);
    return *ret_text ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err read_config(const char *path, char **ret_text, struct bt_diag *diag)
{
    json_t *config = NULL;
    enum bt_err err = bt_json_read_texts(path, &config, diag);
    const json_t *value = err ? NULL : template_of(config);
    if (!err && json_is_string(value))
        err = keep_text(json_string_value(value), json_string_length(value), ret_text, diag);
    else if (!err && value && !json_is_null(value))
        err = bt_fail(diag, BT_EINPUT, "%s: \"chat_template\" is neither a string nor a list with one named default",
                      path);
    json_decref(config);
    return err;
}

static enum bt_err read_gguf(const char *path, char **ret_text, struct bt_diag *diag)
{
    struct bt_gguf *file = NULL;
    struct bt_gguf_text text = {0};
    enum bt_err err = bt_gguf_open(path, &file, diag);
    if (!err)
        err = bt_gguf_get_text(file, "tokenizer.chat_template", false, &text, diag);
    if (!err && text.at)
        err = keep_text(text.at, text.size, ret_text, diag);
    bt_gguf_close(file);
    return err;
}

static bool ends_in_jinja(const char *path)
{
    static const char ending[] = ".jinja";
    const size_t length = strlen(path), n = sizeof ending - 1;
    return length > n && !strcmp(path + length - n, ending);
}

/* The file that holds the template, whether or not it is there. */
static char *place_of(const char *path)
{
    if (bt_gguf_is_file(path))
        return bt_strdup(path);
    char *file = bt_path_join(path, "chat_template.jinja");
    if (!file || bt_file_exists(file))
        return file;
    bt_free(file);
    return bt_path_join(path, "tokenizer_config.json");
}

enum bt_err bt_chat_template_read(const char *path, char **ret_text, char **ret_what, struct bt_diag *diag)
{
    char *text = NULL, *what = place_of(path);
    size_t size;
    enum bt_err err = what ? BT_OK : bt_fail_nomem(diag);
    if (!err && bt_gguf_is_file(path))
        err = read_gguf(path, &text, diag);
    else if (!err && bt_file_exists(what))
        err = ends_in_jinja(what) ? bt_file_read(what, &text, &size, diag) : read_config(what, &text, diag);
    if (err) {
        bt_free(what);
        return err;
    }
    *ret_text = text;
    *ret_what = what;
    return BT_OK;
}

enum bt_err bt_chat_template_find(const char *path, struct bt_chat_found *ret_found, struct bt_diag *diag)
{
    struct bt_chat_found found = {.format = "none"};
    char *text = NULL, *what = NULL;
    enum bt_err err = bt_chat_template_read(path, &text, &what, diag);
    if (!err && text)
        err = bt_chat_template_recognise(text, strlen(text), what, &found, diag);
    bt_free(what);
    bt_free(text);
    if (!err)
        *ret_found = found;
    return err;
}
