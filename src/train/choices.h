/* train/choices.h - multiple choice: of several ways to go on, which does the model find most likely?
 *
 * A jsonl file with an object a line: {"context": "The sky is", "endings": ["blue", "a fish"], "label": 0}. The score
 * of an ending is the sum of log p of its tokens behind the context, and that sum divided by the ending's length in
 * bytes; the answer is the ending with the largest score, of equal ones the first. */
#ifndef BT_TRAIN_CHOICES_H
#define BT_TRAIN_CHOICES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/infer.h"
#include "text/tokenizer.h"

struct bt_choices_options { /* all borrowed */
    struct bt_infer *engine;
    const struct bt_compute *compute;
    const struct bt_tokenizer *tokenizer;
    size_t vocab, context; /* of the engine */
    int32_t before;        /* stands before every context; BT_NO_TOKEN: nothing does */
    const char *delimiter; /* between context and ending: a part of what is scored, not of its length */
};

struct bt_choices_result {
    uint64_t items, right, right_by_length;
};

/* The score of each item, for those who want to look: sums (endings) in nats. May be NULL. */
typedef void bt_choices_seen(void *context, uint64_t item, const double *sums, size_t endings);

/* BT_EINPUT naming file and line: not such an object, fewer than two endings, an empty one, a label that names none, a
 * text that does not fit the engine's context, logits that are not finite; or no item at all. */
enum bt_err bt_choices_run(const char *path, const struct bt_choices_options *options, bt_choices_seen *seen,
                           void *seen_context, struct bt_choices_result *ret_result, struct bt_diag *diag);

#endif
