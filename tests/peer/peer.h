/* tests/peer/peer.h - Hugging Face's own tokenizers, in a process of their own, to compare ours with. */
#ifndef BT_TESTS_PEER_H
#define BT_TESTS_PEER_H

#include <stdbool.h>

#include "io/json.h"

struct peer;
/* folder: where the npm package is, or is installed first. threads: it may use several for one batch. NULL when there
 * is no node or the package cannot be had; the reason is then on stderr. */
struct peer *peer_start(const char *folder, bool threads);
void peer_stop(struct peer *peer); /* takes NULL */

/* Sends a request, which is taken, and gives the answer; what can be asked stands in peer.mjs. Ends the program when
 * the peer is gone or answers with an error, so an answer is always one. */
json_t *peer_ask(struct peer *peer, json_t *request);

#endif
