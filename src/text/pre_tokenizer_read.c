/* The field "pre_tokenizer" of a tokenizer file. */
#include <string.h>

#include "text/pre_tokenizer.h"

static const char gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

typedef enum bt_err read_fn(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                            struct bt_pre_step *step, struct bt_diag *diag);

static enum bt_err read_behavior(const json_t *value, const struct bt_where *where, struct bt_pre_step *step,
                                 struct bt_diag *diag)
{
    static const char *const names[] = {
        [BT_SPLIT_REMOVED] = "Removed",
        [BT_SPLIT_ISOLATED] = "Isolated",
        [BT_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [BT_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [BT_SPLIT_CONTIGUOUS] = "Contiguous",
    };
    struct bt_json_text text;
    const enum bt_err err = bt_field_text(value, "behavior", where, &text, diag);
    if (err)
        return err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text.at, names[i])) {
            step->behavior = (enum bt_split_behavior)i;
            return BT_OK;
        }
    return bt_fail(diag, BT_EINPUT, "%s.behavior: '%.80s' is not known", where->text, text.at);
}

static enum bt_err read_split(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                              struct bt_pre_step *step, struct bt_diag *diag)
{
    json_t *pattern;
    struct bt_json_text text;
    struct bt_where inner;
    (void)pre;
    enum bt_err err = read_behavior(value, where, step, diag);
    if (!err)
        err = bt_field_bool(value, "invert", where, &step->invert, diag);
    if (!err)
        err = bt_field_object(value, "pattern", where, &pattern, diag);
    if (err)
        return err;
    bt_where_key(&inner, where, "pattern");
    const bool literal = json_object_get(pattern, "Regex") == NULL;
    err = bt_field_text(pattern, literal ? "String" : "Regex", &inner, &text, diag);
    step->kind = BT_PRE_SPLIT;
    return err ? err : bt_split_pattern_compile(text, literal, &inner, &step->pattern, diag);
}

static enum bt_err read_digits(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                               struct bt_pre_step *step, struct bt_diag *diag)
{
    bool individual;
    (void)pre;
    const enum bt_err err = bt_field_bool(value, "individual_digits", where, &individual, diag);
    if (err)
        return err;
    step->kind = BT_PRE_DIGITS;
    step->behavior = individual ? BT_SPLIT_ISOLATED : BT_SPLIT_CONTIGUOUS;
    return BT_OK;
}

static enum bt_err read_byte_level(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                                   struct bt_pre_step *step, struct bt_diag *diag)
{
    bool prefix, use_regex;
    enum bt_err err = bt_field_bool(value, "add_prefix_space", where, &prefix, diag);
    if (!err)
        err = bt_field_bool_or(value, "use_regex", true, where, &use_regex, diag);
    if (err)
        return err;
    pre->byte_level = true;
    step->kind = BT_PRE_BYTE_LEVEL;
    step->behavior = BT_SPLIT_ISOLATED;
    step->prepend = prefix ? BT_PREPEND_ALWAYS : BT_PREPEND_NEVER;
    return use_regex ? bt_split_pattern_compile((struct bt_json_text){gpt2_pattern, sizeof gpt2_pattern - 1}, false,
                                                where, &step->pattern, diag)
                     : BT_OK;
}

/* Files of before 2024 have add_prefix_space in place of the scheme. */
static enum bt_err read_scheme(const json_t *value, const struct bt_where *where, struct bt_pre_step *step,
                               struct bt_diag *diag)
{
    static const char *const names[] = {
        [BT_PREPEND_NEVER] = "never", [BT_PREPEND_FIRST] = "first", [BT_PREPEND_ALWAYS] = "always"};
    bool prefix;
    struct bt_json_text scheme;
    enum bt_err err = bt_field_bool_or(value, "add_prefix_space", true, where, &prefix, diag);
    if (err)
        return err;
    step->prepend = prefix ? BT_PREPEND_ALWAYS : BT_PREPEND_NEVER;
    if (bt_field_is_null(value, "prepend_scheme"))
        return BT_OK;
    if ((err = bt_field_text(value, "prepend_scheme", where, &scheme, diag)))
        return err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(scheme.at, names[i])) {
            if (!prefix && i != BT_PREPEND_NEVER)
                return bt_fail(diag, BT_EINPUT, "%s: prepend_scheme '%s' contradicts add_prefix_space false",
                               where->text, names[i]);
            step->prepend = (enum bt_prepend)i;
            return BT_OK;
        }
    return bt_fail(diag, BT_EINPUT, "%s.prepend_scheme: '%.80s' is not known, expected first, always or never",
                   where->text, scheme.at);
}

static enum bt_err read_metaspace(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                                  struct bt_pre_step *step, struct bt_diag *diag)
{
    struct bt_json_text mark;
    (void)pre;
    enum bt_err err = bt_field_character(value, "replacement", where, &mark, diag);
    if (err)
        return err;
    step->kind = BT_PRE_METASPACE;
    step->mark_size = mark.size;
    memcpy(step->mark, mark.at, mark.size);
    if (!(err = read_scheme(value, where, step, diag)))
        err = bt_field_bool_or(value, "split", true, where, &step->cut, diag);
    return err;
}

static enum bt_err read_step(void *reader, const json_t *value, const struct bt_where *where, struct bt_diag *diag)
{
    struct bt_pre_tokenizer *pre = reader;
    static const struct {
        const char *type;
        read_fn *read;
    } kinds[] = {
        {"Split", read_split}, {"Digits", read_digits}, {"ByteLevel", read_byte_level}, {"Metaspace", read_metaspace}};
    const char *type;
    const enum bt_err err = bt_json_type(value, where, &type, diag);
    if (err)
        return err;
    /* Behind ByteLevel the text is in its letters, which the later steps would have to see. */
    if (pre->byte_level)
        return bt_fail(diag, BT_EINPUT, "%s: '%.80s' behind ByteLevel is not supported, which must be the last step",
                       where->text, type);
    if (pre->count == BT_PRE_STEPS)
        return bt_fail(diag, BT_EINPUT, "%s: more than %d steps are not supported", where->text, BT_PRE_STEPS);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(type, kinds[i].type))
            return kinds[i].read(value, where, pre, &pre->steps[pre->count++], diag);
    return bt_fail_type(diag, where, type, "Sequence, Split, Digits, ByteLevel and Metaspace");
}

enum bt_err bt_pre_tokenizer_read(const json_t *value, const struct bt_where *where, struct bt_pre_tokenizer *pre,
                                  struct bt_diag *diag)
{
    return bt_json_steps(value, "pretokenizers", where, read_step, pre, diag);
}

void bt_pre_tokenizer_finish(struct bt_pre_tokenizer *pre)
{
    for (size_t i = 0; i < pre->count; i++)
        bt_split_pattern_free(pre->steps[i].pattern);
    *pre = (struct bt_pre_tokenizer){0};
}
