#include "base/rng.h"

#include <math.h>

/* Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a keyed
 * bijection of 128-bit counters. The constants are theirs. */
#define PHILOX_ROUNDS 10
#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u /* golden ratio */
#define PHILOX_W1     0xBB67AE85u /* sqrt(3) - 1 */

/* What the third counter word says, so that keys and draws never share a block. */
enum domain { DOMAIN_DRAW = 0, DOMAIN_KEY = 1 };

struct block {
    uint64_t first, second;
};

/* The counter is (index, domain, attempt). */
static struct block philox(uint64_t key, uint64_t index, enum domain domain, uint32_t attempt)
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)domain, c3 = attempt;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * c0, p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    return (struct block){(uint64_t)c1 << 32 | c0, (uint64_t)c3 << 32 | c2};
}

static uint64_t fnv1a(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

uint64_t bt_rng_key(uint64_t seed, const char *name)
{
    return philox(seed, fnv1a(name), DOMAIN_KEY, 0).first;
}

uint64_t bt_rng_u64(uint64_t key, uint64_t index)
{
    return philox(key, index, DOMAIN_DRAW, 0).first;
}

static double unit_interval(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

double bt_rng_uniform(uint64_t key, uint64_t index)
{
    return unit_interval(bt_rng_u64(key, index));
}

double bt_rng_normal(uint64_t key, uint64_t index)
{
    const double two_pi = 6.283185307179586476925;
    const struct block b = philox(key, index, DOMAIN_DRAW, 0);
    const double radius = sqrt(-2.0 * log(1.0 - unit_interval(b.first))); /* 1 - u is never 0 */
    return radius * cos(two_pi * unit_interval(b.second));
}

uint64_t bt_rng_below(uint64_t key, uint64_t index, uint64_t n)
{
    const uint64_t biased = (0 - n) % n; /* 2^64 mod n: draws below it would make small results more likely */
    for (uint32_t attempt = 0;; attempt++) {
        const uint64_t draw = philox(key, index, DOMAIN_DRAW, attempt).first;
        if (draw >= biased)
            return draw % n;
    }
}

void bt_rng_permutation(uint64_t key, uint32_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)bt_rng_below(key, i - 1, i);
        const uint32_t held = order[i - 1];
        order[i - 1] = order[j];
        order[j] = held;
    }
}
