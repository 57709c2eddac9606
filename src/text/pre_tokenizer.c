/* Cutting a text into words. Each step cuts every piece of the step before it; a piece goes all the way down before the
 * next one is cut, so nothing is collected. */
#include "text/pre_tokenizer.h"

#include <string.h>

#include "text/utf8.h"

struct walk {
    const struct bt_pre_tokenizer *pre;
    struct bt_pre_scratch *scratch;
    bt_word_fn *take;
    void *context;
    struct bt_diag *diag;
};

/* The text that one step is cutting. */
struct cutter {
    struct walk *walk;
    size_t step;
    const char *text;
    enum bt_text_place place;
    enum bt_split_behavior behavior;
    bool held, held_match; /* a piece that the next one may join */
    size_t held_start, held_end;
};

static enum bt_err run_step(struct walk *walk, size_t step, const char *text, size_t size, enum bt_text_place place);

static enum bt_err emit(struct cutter *cutter, size_t start, size_t end)
{
    return start == end ? BT_OK
                        : run_step(cutter->walk, cutter->step + 1, cutter->text + start, end - start,
                                   start == 0 ? cutter->place : BT_PLACE_LATER);
}

static enum bt_err emit_held(struct cutter *cutter)
{
    const bool held = cutter->held;
    cutter->held = false;
    return held ? emit(cutter, cutter->held_start, cutter->held_end) : BT_OK;
}

/* Whether the piece that is held and the one that follows it belong together. */
static bool joins(const struct cutter *cutter, bool match)
{
    if (!cutter->held)
        return false;
    if (cutter->behavior == BT_SPLIT_CONTIGUOUS)
        return match == cutter->held_match;
    /* a match goes to the gap beside it, never to another match */
    if (cutter->behavior == BT_SPLIT_MERGED_WITH_PREVIOUS)
        return match && !cutter->held_match;
    return !match && cutter->held_match;
}

/* The next piece of the text, a match or a gap between two. */
static enum bt_err cut(struct cutter *cutter, size_t start, size_t end, bool match)
{
    if (cutter->behavior == BT_SPLIT_ISOLATED)
        return emit(cutter, start, end);
    if (cutter->behavior == BT_SPLIT_REMOVED)
        return match ? BT_OK : emit(cutter, start, end);
    if (joins(cutter, match)) {
        cutter->held_end = end;
        cutter->held_match = match;
        return BT_OK;
    }
    const enum bt_err err = emit_held(cutter);
    cutter->held = true;
    cutter->held_match = match;
    cutter->held_start = start;
    cutter->held_end = end;
    return err;
}

static enum bt_err cut_pattern(struct cutter *cutter, const struct bt_pre_step *step, size_t size)
{
    size_t previous = 0, from = 0;
    bool found = true;
    enum bt_err err = BT_OK;
    while (!err && from <= size) {
        size_t start = 0, end = 0;
        err = bt_split_pattern_find(step->pattern, cutter->walk->scratch->matcher, cutter->text, size, from, &found,
                                    &start, &end, cutter->walk->diag);
        if (err || !found)
            break;
        /* Nothing, matched right behind a match, is no match. */
        const bool skip = start == end && start == previous && from != 0 && from == previous;
        if (!skip) {
            if (previous < start)
                err = cut(cutter, previous, start, step->invert);
            if (!err)
                err = cut(cutter, start, end, !step->invert);
            previous = end;
        }
        uint32_t code;
        from = end;
        if (start == end)
            from += end < size ? bt_utf8_take(cutter->text + end, &code) : 1;
    }
    if (!err && previous < size)
        err = cut(cutter, previous, size, step->invert);
    return err ? err : emit_held(cutter);
}

static enum bt_err cut_digits(struct cutter *cutter, size_t size)
{
    size_t previous = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        const size_t length = bt_utf8_take(cutter->text + at, &code);
        if (bt_code_is_number(code)) {
            enum bt_err err = previous < at ? cut(cutter, previous, at, false) : BT_OK;
            if (!err)
                err = cut(cutter, at, at + length, true);
            if (err)
                return err;
            previous = at + length;
        }
        at += length;
    }
    const enum bt_err err = previous < size ? cut(cutter, previous, size, false) : BT_OK;
    return err ? err : emit_held(cutter);
}

/* A cut in front of every mark. */
static enum bt_err cut_marks(struct cutter *cutter, const struct bt_pre_step *step, size_t size)
{
    size_t start = 0;
    while (start < size) {
        const char *next = bt_find(cutter->text + start + 1, size - start - 1, step->mark, step->mark_size);
        const size_t end = next ? (size_t)(next - cutter->text) : size;
        const enum bt_err err = emit(cutter, start, end);
        if (err)
            return err;
        start = end;
    }
    return BT_OK;
}

static bool begins_with(const char *text, size_t size, const char *with, size_t with_size)
{
    return size >= with_size && !memcmp(text, with, with_size);
}

static enum bt_err run_metaspace(struct cutter *cutter, const struct bt_pre_step *step, size_t size)
{
    struct bt_buffer *to = &cutter->walk->scratch->texts[cutter->step];
    const bool wanted = (step->prepend == BT_PREPEND_ALWAYS && cutter->place != BT_PLACE_INSIDE) ||
                        (step->prepend == BT_PREPEND_FIRST && cutter->place == BT_PLACE_FRONT);
    const bool there =
        begins_with(cutter->text, size, " ", 1) || begins_with(cutter->text, size, step->mark, step->mark_size);
    to->size = 0;
    if ((wanted && !there && !bt_buffer_put(to, step->mark, step->mark_size)) ||
        !bt_buffer_replace(to, cutter->text, size, " ", 1, step->mark, step->mark_size))
        return bt_fail_nomem(cutter->walk->diag);
    cutter->text = to->at;
    return step->cut ? cut_marks(cutter, step, to->size) : emit(cutter, 0, to->size);
}

static enum bt_err run_byte_level(struct cutter *cutter, const struct bt_pre_step *step, size_t size)
{
    if (step->prepend == BT_PREPEND_ALWAYS && cutter->place != BT_PLACE_INSIDE && cutter->text[0] != ' ') {
        struct bt_buffer *to = &cutter->walk->scratch->texts[cutter->step];
        to->size = 0;
        if (!bt_buffer_put(to, " ", 1) || !bt_buffer_put(to, cutter->text, size))
            return bt_fail_nomem(cutter->walk->diag);
        cutter->text = to->at;
        size = to->size;
    }
    return step->pattern ? cut_pattern(cutter, step, size) : emit(cutter, 0, size);
}

static enum bt_err run_step(struct walk *walk, size_t number, const char *text, size_t size, enum bt_text_place place)
{
    if (number == walk->pre->count)
        return walk->take(walk->context, text, size, walk->diag);
    const struct bt_pre_step *step = &walk->pre->steps[number];
    struct cutter cutter = {.walk = walk, .step = number, .text = text, .place = place, .behavior = step->behavior};
    switch (step->kind) {
    case BT_PRE_SPLIT:
        return cut_pattern(&cutter, step, size);
    case BT_PRE_DIGITS:
        return cut_digits(&cutter, size);
    case BT_PRE_BYTE_LEVEL:
        return run_byte_level(&cutter, step, size);
    case BT_PRE_METASPACE:
        break;
    }
    return run_metaspace(&cutter, step, size);
}

enum bt_err bt_pre_tokenizer_run(const struct bt_pre_tokenizer *pre, struct bt_pre_scratch *scratch, const char *text,
                                 size_t size, enum bt_text_place place, bt_word_fn *take, void *context,
                                 struct bt_diag *diag)
{
    struct walk walk = {.pre = pre, .scratch = scratch, .take = take, .context = context, .diag = diag};
    return size ? run_step(&walk, 0, text, size, place) : BT_OK;
}

void bt_pre_scratch_finish(struct bt_pre_scratch *scratch)
{
    bt_matcher_destroy(scratch->matcher);
    for (size_t i = 0; i < BT_PRE_STEPS; i++)
        bt_buffer_finish(&scratch->texts[i]);
    *scratch = (struct bt_pre_scratch){0};
}
