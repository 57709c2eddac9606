/* nn/distill.h - the loss of a stage that learns from a teacher: a weighted sum of up to four terms (docs/numerics.md
 * section 8; BitDistill, arXiv 2510.13998; OneBit, arXiv 2402.11295). The teacher is another model, frozen, that has
 * seen the same batch. */
#ifndef BT_NN_DISTILL_H
#define BT_NN_DISTILL_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernels.h"

enum bt_term {
    BT_TERM_CROSS_ENTROPY, /* summed over the labels */
    BT_TERM_LOGITS,        /* summed over the labels */
    BT_TERM_HIDDEN,        /* summed over all tokens that are not padding; layer weights applied */
    BT_TERM_RELATION,      /* the same; the means over the heads of Q, K and V added up */
    BT_TERM_COUNT
};

struct bt_model;

struct bt_distill { /* what a stage asks for */
    bool terms[BT_TERM_COUNT];
    float temperature; /* logits */
    bool tau_squared;
    enum bt_hidden_loss hidden;
    const double *layer_weights; /* (layers), their sum is 1; borrowed */
    size_t split_heads;          /* groups of the form `algorithm`, or 0: the heads, form `equation` */
    float relation_temperature;  /* algorithm */
};

/* What is known of a batch when the student sees it. */
struct bt_lesson {
    struct bt_model *teacher;      /* that has just run forward on it, or NULL: no term needs it */
    const struct bt_top_rows *top; /* the teacher's logits as they were kept, or NULL: of the teacher itself */
    double scale[BT_TERM_COUNT];   /* weight of a term over its count in the update; 0: measured only */
};

#endif
