/* The model against the reference: forward, and gradients against finite differences. */
#include "model_checks.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

/* Relative to the largest value of a tensor. Single precision over these short sums stays within 1e-6. */
#define TOLERANCE 1e-5
/* A code of an activation that is nearer to its rounding boundary may fall otherwise in float: its x is only good to
 * about 127 * 1e-6 code units. */
#define MARGIN 3e-4

const struct nn_quantisation nn_quantised[] = {
    {true, true, 0.0f}, /* in name only: the float model again */
    {true, true, 0.25f}, {true, true, 1.0f},  {true, false, 0.5f},
    {true, false, 1.0f}, {false, true, 0.5f}, {false, true, 1.0f},
};
const size_t nn_quantised_count = BT_ARRAY_LEN(nn_quantised);

static void compare(const char *what, const float *got, const double *want, size_t n)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= TOLERANCE * largest))
            fail_msg("%s[%zu]: got %.9g, want %.9g", what, i, (double)got[i], want[i]);
}

static void make_world(struct nn_world *world, struct reference *r, const struct nn_setup *s, uint64_t seed)
{
    struct bt_diag diag = {0};
    nn_world_init(world, &s->of->shape, s->of->rows, s->of->seq, s->layout, seed);
    TEST_OK(bt_params_exclude(&world->params, s->exclude, s->exclude_count, &diag), diag);
    if (s->change)
        s->change(world);
    reference_init(r, &world->params, &world->batch, world->document);
    reference_freeze(r, world->weights, s->ternary, s->int8, (double)s->lambda);
}

void nn_settle(struct nn_world *world, struct reference *r, const struct nn_setup *s)
{
    for (uint64_t seed = 1; seed < 300; seed++) {
        make_world(world, r, s, seed);
        if (s->lambda == 0.0f || r->margin > MARGIN) {
            nn_world_model(world, s->ternary, s->int8);
            return;
        }
        nn_unsettle(world, r);
    }
    fail_msg("%s: no batch without a code near a boundary", s->of->name);
}

void nn_unsettle(struct nn_world *world, struct reference *r)
{
    reference_finish(r);
    nn_world_finish(world);
}

void nn_check_forward(struct nn_world *world, struct reference *r, const char *name, float lambda)
{
    const size_t n = world->batch.rows * world->batch.seq, layers = world->shape.layers, hidden = world->shape.hidden;
    const size_t vocab = world->shape.vocab;
    struct reference_trace trace = {.logits = malloc(n * vocab * sizeof(double)),
                                    .hidden = malloc((layers + 1) * n * hidden * sizeof(double))};
    float *logits = malloc(n * vocab * sizeof *logits);
    assert_true(trace.logits && trace.hidden && logits);
    double *weights = reference_doubles(world->weights, world->params.total);
    const double want = reference_loss(r, weights, &trace), got = bt_model_loss(world->model, &world->batch, lambda);
    if (!(fabs(got - want) <= TOLERANCE * want))
        fail_msg("%s: loss %.9g, want %.9g", name, got, want);
    for (size_t i = 0; i <= layers; i++)
        compare(test_format("%s: hidden.%zu", name, i), bt_model_hidden(world->model, i), trace.hidden + i * n * hidden,
                n * hidden);
    bt_model_logits(world->model, &world->batch, lambda, logits);
    compare(test_format("%s: logits", name), logits, trace.logits, n * vocab);
    free(trace.logits);
    free(trace.hidden);
    free(logits);
    free(weights);
}

/* (f(w + h v) - f(w - h v)) / 2h */
static double slope(struct reference *r, const double *w, const double *v, size_t n, double h)
{
    double *moved = malloc(n * sizeof *moved);
    assert_non_null(moved);
    for (size_t i = 0; i < n; i++)
        moved[i] = w[i] + h * v[i];
    const double up = reference_loss(r, moved, NULL);
    for (size_t i = 0; i < n; i++)
        moved[i] = w[i] - h * v[i];
    const double down = reference_loss(r, moved, NULL);
    free(moved);
    return (up - down) / (2.0 * h);
}

static double norm_of(const float *g, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    return sqrt(sum);
}

/* Along a random direction; all parameters at once. */
static void check_direction(struct nn_world *world, struct reference *r, const double *w, const char *name,
                            uint64_t key)
{
    const size_t total = world->params.total;
    double *v = calloc(total, sizeof *v), dot = 0.0;
    assert_non_null(v);
    for (size_t i = 0; i < total; i++) {
        v[i] = bt_rng_normal(key, i);
        dot += v[i] * (double)world->gradients[i];
    }
    const double want = slope(r, w, v, total, 1e-6), norm = norm_of(world->gradients, total);
    if (!(fabs(dot - want) <= TOLERANCE * norm))
        fail_msg("%s: along a direction: got %.9g, want %.9g, norm %.9g", name, dot, want, norm);
    free(v);
}

static size_t largest_at(const float *g, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at = fabsf(g[i]) > fabsf(g[at]) ? i : at;
    return at;
}

/* The largest gradient of a tensor and a random one. That of k_proj.bias nearly vanishes (softmax does not see a
 * constant): what counts there is the size of all gradients. */
static void check_tensor(struct nn_world *world, struct reference *r, const double *w, const char *name,
                         const struct bt_param *p, uint64_t key)
{
    const float *g = world->gradients + p->offset;
    const size_t largest = largest_at(g, p->count), samples[] = {largest, bt_rng_below(key, p->offset, p->count)};
    const double all = norm_of(world->gradients, world->params.total);
    double *v = calloc(world->params.total, sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < BT_ARRAY_LEN(samples); i++) {
        const size_t at = samples[i];
        v[p->offset + at] = 1.0;
        const double want = slope(r, w, v, world->params.total, 1e-5);
        v[p->offset + at] = 0.0;
        if (!(fabs((double)g[at] - want) <= TOLERANCE * fabs((double)g[largest]) + 1e-7 * all))
            fail_msg("%s: %s[%zu]: got %.9g, want %.9g", name, p->name, at, (double)g[at], want);
    }
    free(v);
}

void nn_check_gradients(struct nn_world *world, struct reference *r, const char *name, float lambda)
{
    double *w = reference_doubles(world->weights, world->params.total);
    nn_world_backward(world, lambda, 1.0f);
    for (uint64_t i = 0; i < 4; i++)
        check_direction(world, r, w, name, bt_rng_key(i, "direction"));
    for (size_t i = 0; i < world->params.count; i++)
        check_tensor(world, r, w, name, &world->params.list[i], bt_rng_key(5, "samples"));
    free(w);
}

void nn_check(const struct nn_setup *s, bool gradients)
{
    const char *name = test_format("%s, %s, ternary %d, int8 %d, lambda %g", s->of->name,
                                   s->layout == NN_PLAIN ? "plain" : "packed", s->ternary, s->int8, (double)s->lambda);
    struct nn_world world;
    struct reference r;
    nn_settle(&world, &r, s);
    nn_check_forward(&world, &r, name, s->lambda);
    if (gradients)
        nn_check_gradients(&world, &r, name, s->lambda);
    nn_unsettle(&world, &r);
}
