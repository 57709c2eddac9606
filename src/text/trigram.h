/* text/trigram.h - the baseline that a model has to beat: the chance of a token given the two before it.
 *
 * Interpolated after Witten and Bell (1991): a context seen n times with t different successors trusts its own counts
 * with n / (n + t) and leaves the rest to the shorter context, down to the uniform distribution over the vocabulary. No
 * number to tune, and no token is impossible. */
#ifndef BT_TEXT_TRIGRAM_H
#define BT_TEXT_TRIGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bt_trigram;
/* Counts a stream of ids below vocab_size. A document begins with `before`, which hides what stood in front of it. */
enum bt_err bt_trigram_create(const int32_t *tokens, size_t count, uint32_t vocab_size, int32_t before,
                              struct bt_trigram **ret_trigram, struct bt_diag *diag);
void bt_trigram_destroy(struct bt_trigram *trigram); /* takes NULL */
/* log P(token | older, newer), in nats. */
double bt_trigram_log_probability(const struct bt_trigram *trigram, int32_t older, int32_t newer, int32_t token);
/* The mean of -log P over every token of the stream but the first; 0 when there is none. */
double bt_trigram_loss(const struct bt_trigram *trigram, const int32_t *tokens, size_t count);

#endif
