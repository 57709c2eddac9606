/* nn/sample.h - from logits to the next token.
 *
 * In this order, each step on what the one before it left (that of Hugging Face's library):
 *   repetition penalty r   a logit l of an id that occurs in the text becomes l / r if l > 0, else l * r
 *                          (Keskar and others, arXiv 1909.05858)
 *   temperature T          p = softmax(l / T); 0 takes the largest logit and ends here
 *   top-k                  the k most probable ids
 *   top-p                  of the most probable ids as few as have at least p together (Holtzman and others,
 * 1904.09751) min-p                  ids at least p times as probable as the first (Nguyen and others, 2407.01082) and
 * then one id, drawn from what is left in proportion to its probability. Of ids that are equally probable the lower one
 * comes first. All in double, on one thread. */
#ifndef BT_NN_SAMPLE_H
#define BT_NN_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bt_sampling {
    double temperature;        /* 0: greedy */
    uint64_t top_k;            /* 0: off */
    double top_p;              /* in (0, 1]; 1: off */
    double min_p;              /* in [0, 1]; 0: off */
    double repetition_penalty; /* > 0; 1: off */
    uint64_t seed;
};

extern const struct bt_sampling bt_sampling_greedy;

/* BT_EUSAGE naming the first value that is out of bounds, as the command line calls it. */
enum bt_err bt_sampling_check(const struct bt_sampling *sampling, struct bt_diag *diag);

struct bt_sampler;
enum bt_err bt_sampler_create(size_t vocab, struct bt_sampler **ret_sampler, struct bt_diag *diag);
void bt_sampler_destroy(struct bt_sampler *sampler); /* takes NULL */

/* The id that follows `length` tokens of text: a function of the logits (vocab, overwritten), of the text and of
 * (seed, length) alone. Allocates nothing. -1 when a logit is not finite. */
int32_t bt_sample(struct bt_sampler *sampler, const struct bt_sampling *sampling, float *logits, const int32_t *text,
                  size_t length);

#endif
