#include "text/split_pattern.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"
#include "text/buffer.h"

#define PATTERN_MAX 65536 /* bytes; those of real files have a few hundred */
/* A step back over a run of white space counts as one, so runs of this many bytes still pass. */
#define MATCH_LIMIT     (UINT32_C(1) << 30)
#define HEAP_LIMIT_KIB  (UINT32_C(1) << 20)
#define JIT_STACK_FIRST ((size_t)32 << 10)
#define JIT_STACK_MOST  ((size_t)32 << 20)

struct bt_split_pattern {
    pcre2_code *code;
};

struct bt_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static void *pattern_memory(size_t size, void *unused)
{
    (void)unused;
    return bt_alloc(size);
}

static void release_memory(void *p, void *unused)
{
    (void)unused;
    bt_free(p);
}

static pcre2_general_context *make_general(void)
{
    return pcre2_general_context_create(pattern_memory, release_memory, NULL);
}

/* White_Space and the rest, as inner parts of a class. PCRE2's own \s has U+180E besides, which left White_Space with
 * Unicode 6.3. */
#define SPACES "\\t-\\r\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"
#define NOT_SPACES                                                                                                     \
    "\\x00-\\x08\\x0E-\\x1F\\x21-\\x84\\x86-\\x9F\\xA1-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}"                \
    "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{10FFFF}"

struct rewrite {
    struct bt_json_text text;
    size_t at;
    bool in_class;
    struct bt_buffer out;
};

/* What the two engines read differently, or what only one of them has; NULL when all is well at r->at. */
static const char *foreign_escape(char c)
{
    static const char *const names[128] = {
        ['b'] = "\\b", ['B'] = "\\B", ['w'] = "\\w", ['W'] = "\\W", ['h'] = "\\h", ['H'] = "\\H",
        ['R'] = "\\R", ['X'] = "\\X", ['G'] = "\\G", ['K'] = "\\K", ['C'] = "\\C", ['M'] = "\\M",
        ['c'] = "\\c", ['Q'] = "\\Q", ['E'] = "\\E", ['N'] = "\\N", ['v'] = "\\v", ['V'] = "\\V",
        ['y'] = "\\y", ['Y'] = "\\Y", ['O'] = "\\O", ['u'] = "\\u", ['g'] = "\\g", ['k'] = "\\k",
    };
    return (unsigned char)c < 128 ? names[(unsigned char)c] : NULL;
}

static const char *foreign_construct(const struct rewrite *r)
{
    const char *at = r->text.at + r->at;
    if (r->in_class)
        return at[0] == '[' ? "a class inside a class" : at[0] == '&' && at[1] == '&' ? "'&&' in a class" : NULL;
    /* '+' behind {n,m} makes it possessive in one and repeats it in the other */
    if (at[0] == '}' && at[1] == '+')
        return "'}+'";
    return at[0] == '(' && at[1] == '*' ? "'(*'" : NULL;
}

/* Of \p{L}, \x{2581} and the like with their braces, which mean no repetition. */
static size_t escape_length(const char *at, size_t size)
{
    const bool named = at[1] == 'p' || at[1] == 'P' || at[1] == 'x';
    const char *end = named && size > 2 && at[2] == '{' ? memchr(at, '}', size) : NULL;
    return end ? (size_t)(end - at) + 1 : 2;
}

/* One escape or character of the pattern into r->out. NULL, or the construct that is refused; *ret_nomem. */
static const char *rewrite_one(struct rewrite *r, bool *ret_nomem)
{
    const char *at = r->text.at + r->at;
    const char *foreign = foreign_construct(r);
    if (foreign)
        return foreign;
    size_t length = 1;
    const char *put = at;
    if (at[0] == '\\' && r->at + 1 < r->text.size) {
        if ((foreign = foreign_escape(at[1])))
            return foreign;
        if (at[1] == 's')
            put = r->in_class ? SPACES : "[" SPACES "]";
        else if (at[1] == 'S')
            put = r->in_class ? NOT_SPACES : "[" NOT_SPACES "]";
        length = escape_length(at, r->text.size - r->at);
    } else if (r->in_class ? at[0] == ']' : at[0] == '[') {
        r->in_class = !r->in_class;
        if (r->in_class && at[1] == '^')
            length = 2;
    }
    *ret_nomem = !bt_buffer_put(&r->out, put, put == at ? length : strlen(put));
    r->at += length;
    return NULL;
}

static enum bt_err rewrite(struct rewrite *r, const struct bt_where *where, struct bt_diag *diag)
{
    while (r->at < r->text.size) {
        bool nomem = false;
        const char *foreign = rewrite_one(r, &nomem);
        if (foreign)
            return bt_fail(diag, BT_EINPUT, "%s: %s at byte %zu of the pattern has no certain meaning here",
                           where->text, foreign, r->at);
        if (nomem)
            return bt_fail_nomem(diag);
    }
    return BT_OK;
}

static enum bt_err fail_compile(struct bt_diag *diag, const struct bt_where *where, int code, size_t offset)
{
    char message[256];
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
        return bt_fail_nomem(diag);
    pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
    return bt_fail(diag, BT_EINPUT, "%s: this is no valid pattern: %s at byte %zu, with \\s and \\S written out",
                   where->text, message, offset);
}

/* Ruby's ^ and $ stand at every line, and only \n ends one. */
static enum bt_err compile(struct bt_json_text text, bool literal, pcre2_code **ret_code, const struct bt_where *where,
                           struct bt_diag *diag)
{
    const uint32_t options =
        PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    pcre2_general_context *general = make_general();
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    int code = PCRE2_ERROR_NOMEMORY;
    size_t offset = 0;
    if (context) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        *ret_code = pcre2_compile((PCRE2_SPTR)text.at, text.size, options, &code, &offset, context);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return *ret_code ? BT_OK : fail_compile(diag, where, code, offset);
}

enum bt_err bt_split_pattern_compile(struct bt_json_text text, bool literal, const struct bt_where *where,
                                     struct bt_split_pattern **ret_pattern, struct bt_diag *diag)
{
    if (text.size == 0 || text.size > PATTERN_MAX)
        return bt_fail(diag, BT_EINPUT, "%s: the pattern has %zu bytes, expected 1 to %d", where->text, text.size,
                       PATTERN_MAX);
    struct rewrite r = {.text = text};
    enum bt_err err = literal ? BT_OK : rewrite(&r, where, diag);
    struct bt_split_pattern *pattern = err ? NULL : bt_zalloc(1, sizeof *pattern);
    if (!err && !pattern)
        err = bt_fail_nomem(diag);
    if (!err && !literal)
        text = (struct bt_json_text){r.out.at, r.out.size};
    if (!err)
        err = compile(text, literal, &pattern->code, where, diag);
    bt_buffer_finish(&r.out);
    if (err) {
        bt_split_pattern_free(pattern);
        return err;
    }
    /* Where it cannot be translated to machine code, it is interpreted, with the same matches. */
    if (pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == PCRE2_ERROR_NOMEMORY) {
        bt_split_pattern_free(pattern);
        return bt_fail_nomem(diag);
    }
    *ret_pattern = pattern;
    return BT_OK;
}

void bt_split_pattern_free(struct bt_split_pattern *pattern)
{
    if (pattern)
        pcre2_code_free(pattern->code);
    bt_free(pattern);
}

enum bt_err bt_matcher_create(struct bt_matcher **ret_matcher, struct bt_diag *diag)
{
    struct bt_matcher *matcher = bt_zalloc(1, sizeof *matcher);
    pcre2_general_context *general = matcher ? make_general() : NULL;
    if (general) {
        matcher->data = pcre2_match_data_create(1, general);
        matcher->context = pcre2_match_context_create(general);
        matcher->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MOST, general);
    }
    pcre2_general_context_free(general);
    uint32_t has_jit = 0;
    pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
    if (!matcher || !matcher->data || !matcher->context || (has_jit && !matcher->stack)) {
        bt_matcher_destroy(matcher);
        return bt_fail_nomem(diag);
    }
    pcre2_set_match_limit(matcher->context, MATCH_LIMIT);
    pcre2_set_depth_limit(matcher->context, MATCH_LIMIT);
    pcre2_set_heap_limit(matcher->context, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    *ret_matcher = matcher;
    return BT_OK;
}

void bt_matcher_destroy(struct bt_matcher *matcher)
{
    if (!matcher)
        return;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_jit_stack_free(matcher->stack);
    bt_free(matcher);
}

enum bt_err bt_split_pattern_find(const struct bt_split_pattern *pattern, struct bt_matcher *matcher, const char *text,
                                  size_t size, size_t from, bool *ret_found, size_t *ret_start, size_t *ret_end,
                                  struct bt_diag *diag)
{
    const int count =
        pcre2_match(pattern->code, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK, matcher->data, matcher->context);
    *ret_found = count >= 0;
    if (count >= 0) {
        const size_t *ends = pcre2_get_ovector_pointer(matcher->data);
        *ret_start = ends[0];
        *ret_end = ends[1];
        return BT_OK;
    }
    if (count == PCRE2_ERROR_NOMATCH)
        return BT_OK;
    if (count == PCRE2_ERROR_NOMEMORY)
        return bt_fail_nomem(diag);
    return bt_fail(diag, BT_EINPUT,
                   "the tokenizer's split pattern gives up at byte %zu of a piece of %zu bytes (PCRE2 error %d)", from,
                   size, count);
}
