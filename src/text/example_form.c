/* Which form the lines of a file have. */
#include <string.h>

#include "base/mem.h"
#include "text/example.h"

static const char *const names[] = {
    [BT_FORM_NONE] = "none",     [BT_FORM_TEXT] = "text",         [BT_FORM_MESSAGES] = "messages",
    [BT_FORM_PROMPT] = "prompt", [BT_FORM_QUESTION] = "question", [BT_FORM_INSTRUCTION] = "instruction",
};

const char *bt_form_name(enum bt_form form)
{
    return names[form];
}

bool bt_form_parse(const char *name, enum bt_form *ret_form)
{
    for (int i = BT_FORM_TEXT; i <= BT_FORM_INSTRUCTION; i++)
        if (!strcmp(name, names[i])) {
            *ret_form = (enum bt_form)i;
            return true;
        }
    return false;
}

static bool has(const json_t *object, const char *key)
{
    return json_object_get(object, key) != NULL;
}

static enum bt_form form_of(const json_t *object, const char *key)
{
    if (has(object, "messages"))
        return BT_FORM_MESSAGES;
    if (has(object, "prompt") && has(object, "completion"))
        return BT_FORM_PROMPT;
    if (has(object, "question") && has(object, "answer"))
        return BT_FORM_QUESTION;
    if (has(object, "instruction") && has(object, "output"))
        return BT_FORM_INSTRUCTION;
    return has(object, key) ? BT_FORM_TEXT : BT_FORM_NONE;
}

static enum bt_err look_at(const struct bt_record *record, const char *path, const char *key, enum bt_form *ret_form,
                           struct bt_diag *diag)
{
    json_t *value = NULL;
    const enum bt_err err = bt_json_parse_at(record->data, record->size, path, record->line, &value, diag);
    if (!err)
        *ret_form = form_of(value, key);
    json_decref(value);
    return err;
}

/* What cannot be read says nothing; whoever reads it in its turn tells so. */
static enum bt_err look_through(struct bt_documents *documents, const char *path, const char *key,
                                enum bt_form *ret_form, struct bt_diag *diag)
{
    struct bt_record record;
    enum bt_err err;
    while (!(err = bt_documents_next(documents, &record, diag)) && record.data && *ret_form == BT_FORM_NONE)
        if ((err = look_at(&record, path, key, ret_form, diag)) && err != BT_EINPUT)
            return err;
    return err == BT_EINPUT ? BT_OK : err;
}

enum bt_err bt_form_detect(const char *path, enum bt_text_format format, const char *key, enum bt_form *ret_form,
                           struct bt_diag *diag)
{
    struct bt_documents *documents;
    enum bt_form form = BT_FORM_NONE;
    if (format == BT_TEXT_PLAIN) {
        *ret_form = BT_FORM_TEXT;
        return BT_OK;
    }
    enum bt_err err = bt_documents_open(&path, 1, &format, NULL, &documents, diag);
    if (err)
        return err;
    err = look_through(documents, path, key, &form, diag);
    bt_documents_close(documents);
    if (!err)
        *ret_form = form;
    return err;
}
