#include "nn/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

const struct bt_sampling bt_sampling_greedy = {.top_p = 1.0, .repetition_penalty = 1.0};

struct candidate {
    int32_t id;
    double weight; /* exp((l - max) / T), in proportion to the probability */
};

struct bt_sampler {
    size_t vocab;
    struct candidate *list; /* (vocab) */
    unsigned char *seen;    /* (vocab) */
};

static enum bt_err fail_value(const char *option, double value, const char *expected, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EUSAGE, "%s: found %g, expected %s", option, value, expected);
}

/* Comparisons are written so that NaN fails them. */
enum bt_err bt_sampling_check(const struct bt_sampling *s, struct bt_diag *diag)
{
    if (!(s->temperature >= 0.0 && s->temperature <= 1e6))
        return fail_value("--temperature", s->temperature, "a number from 0 to 1e6", diag);
    if (!(s->top_p > 0.0 && s->top_p <= 1.0))
        return fail_value("--top-p", s->top_p, "a number above 0 and up to 1", diag);
    if (!(s->min_p >= 0.0 && s->min_p <= 1.0))
        return fail_value("--min-p", s->min_p, "a number from 0 to 1", diag);
    if (!(s->repetition_penalty > 0.0 && s->repetition_penalty <= 1e6))
        return fail_value("--repetition-penalty", s->repetition_penalty, "a number above 0 and up to 1e6", diag);
    return BT_OK;
}

enum bt_err bt_sampler_create(size_t vocab, struct bt_sampler **ret_sampler, struct bt_diag *diag)
{
    struct bt_sampler *sampler = bt_zalloc(1, sizeof *sampler);
    if (!sampler)
        return bt_fail_nomem(diag);
    sampler->vocab = vocab;
    sampler->list = bt_zalloc(vocab, sizeof *sampler->list);
    sampler->seen = bt_zalloc(vocab, 1);
    if (!sampler->list || !sampler->seen) {
        bt_sampler_destroy(sampler);
        return bt_fail_nomem(diag);
    }
    *ret_sampler = sampler;
    return BT_OK;
}

void bt_sampler_destroy(struct bt_sampler *sampler)
{
    if (!sampler)
        return;
    bt_free(sampler->list);
    bt_free(sampler->seen);
    bt_free(sampler);
}

static void penalise(struct bt_sampler *sampler, float *logits, const int32_t *text, size_t length, double penalty)
{
    memset(sampler->seen, 0, sampler->vocab);
    for (size_t i = 0; i < length; i++) {
        const int32_t id = text[i];
        if (sampler->seen[id])
            continue;
        sampler->seen[id] = 1;
        logits[id] = (float)(logits[id] > 0.0f ? (double)logits[id] / penalty : (double)logits[id] * penalty);
    }
}

/* The largest logit's id, or -1 when one is not finite. */
static int32_t best_id(const float *logits, size_t vocab)
{
    size_t best = 0;
    for (size_t i = 0; i < vocab; i++) {
        if (!isfinite(logits[i]))
            return -1;
        best = logits[i] > logits[best] ? i : best;
    }
    return (int32_t)best;
}

/* The more probable one first; of equals the lower id. */
static int by_weight(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static double sum_of(const struct candidate *list, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += list[i].weight;
    return sum;
}

/* Of n candidates those of at least `least`, in their order. */
static size_t keep_from(struct candidate *list, size_t n, double least)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].weight >= least)
            list[kept++] = list[i];
    return kept;
}

/* A heap whose root comes last in the order: n candidates are in it, the one at `at` may be out of place. */
static void sift(struct candidate *heap, size_t n, size_t at)
{
    for (;;) {
        size_t last = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < n; child++)
            last = by_weight(&heap[child], &heap[last]) > 0 ? child : last;
        if (last == at)
            return;
        const struct candidate moved = heap[at];
        heap[at] = heap[last];
        heap[last] = moved;
        at = last;
    }
}

/* The k first in the order, in any order, at the front. */
static size_t keep_first(struct candidate *list, size_t n, uint64_t k)
{
    if (k >= n)
        return n;
    const size_t count = (size_t)k;
    for (size_t i = count / 2; i-- > 0;)
        sift(list, count, i);
    for (size_t i = count; i < n; i++)
        if (by_weight(&list[i], &list[0]) < 0) {
            list[0] = list[i];
            sift(list, count, 0);
        }
    return count;
}

/* The shortest front that has the share p. What is below (1 - p) / n of the sum has less than 1 - p all together: none
 * of it is in the front, and it need not be sorted. */
static size_t keep_share(struct candidate *list, size_t n, double p)
{
    const double sum = sum_of(list, n);
    double have = 0.0;
    size_t kept = 0;
    n = keep_from(list, n, sum * (1.0 - p) / (double)n);
    qsort(list, n, sizeof *list, by_weight);
    while (kept < n && have < p * sum)
        have += list[kept++].weight;
    return kept;
}

static int32_t draw(struct candidate *list, size_t n, double u)
{
    const double target = u * sum_of(list, n);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += list[i].weight;
        if (sum > target)
            return list[i].id;
    }
    return list[n - 1].id; /* u is below 1; rounding alone leads here */
}

int32_t bt_sample(struct bt_sampler *sampler, const struct bt_sampling *sampling, float *logits, const int32_t *text,
                  size_t length)
{
    struct candidate *list = sampler->list;
    size_t n = sampler->vocab;
    if (sampling->repetition_penalty != 1.0)
        penalise(sampler, logits, text, length, sampling->repetition_penalty);
    const int32_t best = best_id(logits, n);
    if (best < 0 || sampling->temperature == 0.0)
        return best;
    const double max = (double)logits[best];
    for (size_t i = 0; i < n; i++)
        list[i] = (struct candidate){(int32_t)i, exp(((double)logits[i] - max) / sampling->temperature)};
    if (sampling->top_k)
        n = keep_first(list, n, sampling->top_k);
    if (sampling->top_p < 1.0)
        n = keep_share(list, n, sampling->top_p);
    if (sampling->min_p > 0.0)
        n = keep_from(list, n, sampling->min_p); /* the first has a weight of 1 */
    qsort(list, n, sizeof *list, by_id);
    return draw(list, n, bt_rng_uniform(bt_rng_key(sampling->seed, "sample"), length));
}
