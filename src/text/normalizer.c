#include "text/normalizer.h"

#include <string.h>

#include "base/mem.h"

static enum bt_err keep(char **ret_copy, size_t *ret_size, struct bt_json_text text, struct bt_diag *diag)
{
    *ret_copy = bt_strndup(text.at, text.size);
    *ret_size = text.size;
    return *ret_copy ? BT_OK : bt_fail_nomem(diag);
}

static enum bt_err read_nfc(struct bt_normalizer *normalizer, struct bt_normalizer_step *step, struct bt_diag *diag)
{
    step->kind = BT_NORMALIZE_NFC;
    if (normalizer->nfc)
        return BT_OK;
    if (!(normalizer->nfc = bt_zalloc(1, sizeof *normalizer->nfc)))
        return bt_fail_nomem(diag);
    bt_nfc_init(normalizer->nfc);
    return BT_OK;
}

static enum bt_err read_prepend(const json_t *value, const struct bt_where *where, struct bt_normalizer_step *step,
                                struct bt_diag *diag)
{
    struct bt_json_text text;
    const enum bt_err err = bt_field_text(value, "prepend", where, &text, diag);
    step->kind = BT_NORMALIZE_PREPEND;
    return err ? err : keep(&step->to, &step->to_size, text, diag);
}

static enum bt_err read_replace(const json_t *value, const struct bt_where *where, struct bt_normalizer_step *step,
                                struct bt_diag *diag)
{
    struct bt_json_text from, to;
    step->kind = BT_NORMALIZE_REPLACE;
    enum bt_err err = bt_field_replace(value, where, &from, &to, diag);
    if (err)
        return err;
    if (!(err = keep(&step->from, &step->from_size, from, diag)))
        err = keep(&step->to, &step->to_size, to, diag);
    return err;
}

static enum bt_err read_step(void *reader, const json_t *value, const struct bt_where *where, struct bt_diag *diag)
{
    struct bt_normalizer *normalizer = reader;
    const char *type;
    const enum bt_err err = bt_json_type(value, where, &type, diag);
    if (err)
        return err;
    if (normalizer->count == BT_NORMALIZER_STEPS)
        return bt_fail(diag, BT_EINPUT, "%s: more than %d steps are not supported", where->text, BT_NORMALIZER_STEPS);
    struct bt_normalizer_step *step = &normalizer->steps[normalizer->count++];
    if (!strcmp(type, "NFC"))
        return read_nfc(normalizer, step, diag);
    if (!strcmp(type, "Prepend"))
        return read_prepend(value, where, step, diag);
    if (!strcmp(type, "Replace"))
        return read_replace(value, where, step, diag);
    return bt_fail_type(diag, where, type, "Sequence, NFC, Prepend and Replace");
}

enum bt_err bt_normalizer_read(const json_t *value, const struct bt_where *where, struct bt_normalizer *normalizer,
                               struct bt_diag *diag)
{
    return bt_json_steps(value, "normalizers", where, read_step, normalizer, diag);
}

void bt_normalizer_finish(struct bt_normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->count; i++) {
        bt_free(normalizer->steps[i].from);
        bt_free(normalizer->steps[i].to);
    }
    bt_free(normalizer->nfc);
    *normalizer = (struct bt_normalizer){0};
}

void bt_normalizer_scratch_finish(struct bt_normalizer_scratch *scratch)
{
    bt_buffer_finish(&scratch->texts[0]);
    bt_buffer_finish(&scratch->texts[1]);
    bt_nfc_scratch_finish(&scratch->nfc);
}

/* Whether the step would give the text as it is: for most steps and most texts that is cheap to see. */
static bool changes_nothing(const struct bt_normalizer *normalizer, const struct bt_normalizer_step *step,
                            const char *text, size_t size, enum bt_text_place place)
{
    switch (step->kind) {
    case BT_NORMALIZE_NFC:
        return bt_nfc_quick_prefix(normalizer->nfc, text, size) == size;
    case BT_NORMALIZE_REPLACE:
        return !bt_find(text, size, step->from, step->from_size);
    case BT_NORMALIZE_PREPEND:
        break;
    }
    return place == BT_PLACE_INSIDE;
}

static bool run_step(const struct bt_normalizer *normalizer, const struct bt_normalizer_step *step,
                     struct bt_nfc_scratch *nfc, struct bt_buffer *to, const char *text, size_t size)
{
    to->size = 0;
    if (!bt_buffer_reserve(to, size))
        return false;
    switch (step->kind) {
    case BT_NORMALIZE_NFC:
        return bt_nfc_put(normalizer->nfc, nfc, to, text, size);
    case BT_NORMALIZE_REPLACE:
        return bt_buffer_replace(to, text, size, step->from, step->from_size, step->to, step->to_size);
    case BT_NORMALIZE_PREPEND:
        break;
    }
    return bt_buffer_put(to, step->to, step->to_size) && bt_buffer_put(to, text, size);
}

enum bt_err bt_normalizer_run(const struct bt_normalizer *normalizer, struct bt_normalizer_scratch *scratch,
                              const char *text, size_t size, enum bt_text_place place, const char **ret_text,
                              size_t *ret_size, struct bt_diag *diag)
{
    size_t next = 0; /* of the two buffers, the one that does not hold the text */
    for (size_t i = 0; i < normalizer->count && size > 0; i++) {
        const struct bt_normalizer_step *step = &normalizer->steps[i];
        if (changes_nothing(normalizer, step, text, size, place))
            continue;
        struct bt_buffer *to = &scratch->texts[next];
        if (!run_step(normalizer, step, &scratch->nfc, to, text, size))
            return bt_fail_nomem(diag);
        text = to->at;
        size = to->size;
        next = 1 - next;
    }
    *ret_text = text;
    *ret_size = size;
    return BT_OK;
}
