/* base/rng.h - counter-based random numbers: every draw is a pure function of (key, index), never of how many calls
 * came before. That is what makes a resumed run equal an unbroken one. */
#ifndef BT_BASE_RNG_H
#define BT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* A key for one purpose, from a seed and a name ("init/model.norm.weight", "order/stage2/0/3"). */
uint64_t bt_rng_key(uint64_t seed, const char *name);
uint64_t bt_rng_u64(uint64_t key, uint64_t index);
double bt_rng_uniform(uint64_t key, uint64_t index);             /* [0, 1), 53 bits */
double bt_rng_normal(uint64_t key, uint64_t index);              /* Box-Muller, mean 0, deviation 1 */
uint64_t bt_rng_below(uint64_t key, uint64_t index, uint64_t n); /* [0, n), n > 0; unbiased */

/* Fisher-Yates: a permutation of 0 .. n - 1. */
void bt_rng_permutation(uint64_t key, uint32_t *order, size_t n);

#endif
