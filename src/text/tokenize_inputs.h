/* text/tokenize_inputs.h - what the inputs of bt_tokenize hold, and so what their tokens depend on besides them. */
#ifndef BT_TEXT_TOKENIZE_INPUTS_H
#define BT_TEXT_TOKENIZE_INPUTS_H

#include "text/tokenize.h"

struct bt_tokenize_inputs { /* zeroed: nothing is known */
    enum bt_form *forms;    /* (input_count) */
    struct bt_chat *chat;   /* NULL: they are text, not examples */
};
/* Looks into the files and, for examples, for the chat format. BT_EINPUT: an input is not there, text among examples, a
 * chat template that is not known; BT_EUSAGE: a chat format that there is not, or that text has no use for. */
enum bt_err bt_tokenize_inputs_find(const struct bt_tokenize_options *options, struct bt_tokenize_inputs *ret_inputs,
                                    struct bt_diag *diag);
void bt_tokenize_inputs_finish(struct bt_tokenize_inputs *inputs);

#endif
