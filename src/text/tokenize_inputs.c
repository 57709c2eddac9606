#include "text/tokenize_inputs.h"

#include "base/mem.h"

static enum bt_err find_form(const struct bt_tokenize_options *options, const char *path, enum bt_form *form,
                             struct bt_diag *diag)
{
    enum bt_text_format format = options->format ? *options->format : BT_TEXT_PLAIN;
    const enum bt_err err = options->format ? BT_OK : bt_text_format_of(path, &format, diag);
    *form = options->form;
    if (err || (options->form != BT_FORM_NONE && format == BT_TEXT_JSONL))
        return err;
    return bt_form_detect(path, format, options->key, form, diag);
}

/* Text has no mask, and examples have one: a set is all of one kind, so that nobody has to wonder. */
static enum bt_err find(const struct bt_tokenize_options *options, struct bt_tokenize_inputs *inputs,
                        struct bt_diag *diag)
{
    const char *text = NULL, *examples = NULL;
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < options->input_count; i++) {
        err = find_form(options, options->inputs[i], &inputs->forms[i], diag);
        if (inputs->forms[i] == BT_FORM_TEXT)
            text = options->inputs[i];
        else if (inputs->forms[i] != BT_FORM_NONE)
            examples = options->inputs[i];
    }
    if (!err && text && examples)
        err = bt_fail(diag, BT_EINPUT, "%s holds text and %s examples, which do not go together", text, examples);
    if (!err && options->chat_format && !examples)
        err = bt_fail(diag, BT_EUSAGE, "the chat format %s is of no use: the inputs hold no examples",
                      options->chat_format);
    if (!err && examples)
        err = bt_chat_open(options->tokenizer_path, options->tokenizer, options->chat_format, &inputs->chat, diag);
    return err;
}

enum bt_err bt_tokenize_inputs_find(const struct bt_tokenize_options *options, struct bt_tokenize_inputs *ret_inputs,
                                    struct bt_diag *diag)
{
    struct bt_tokenize_inputs inputs = {.forms = bt_zalloc(options->input_count, sizeof *inputs.forms)};
    const enum bt_err err = inputs.forms ? find(options, &inputs, diag) : bt_fail_nomem(diag);
    if (err)
        bt_tokenize_inputs_finish(&inputs);
    else
        *ret_inputs = inputs;
    return err;
}

void bt_tokenize_inputs_finish(struct bt_tokenize_inputs *inputs)
{
    bt_chat_close(inputs->chat);
    bt_free(inputs->forms);
    *inputs = (struct bt_tokenize_inputs){0};
}
