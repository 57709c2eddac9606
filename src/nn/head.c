#include "nn/head.h"

#include <assert.h>

/* A slice's logits take about this many floats (64 MiB: each slice passes over the head's gradient once), but a slice
 * has at least so many rows that the product is a matrix product. */
enum { SLICE_FLOATS = 1 << 24, SLICE_MIN_ROWS = 64, SLICE_MAX_ROWS = 1024 };

static size_t slice_rows(const struct bt_shape *shape, size_t n)
{
    size_t rows = SLICE_FLOATS / shape->vocab;
    if (rows < SLICE_MIN_ROWS)
        rows = SLICE_MIN_ROWS;
    if (rows > SLICE_MAX_ROWS)
        rows = SLICE_MAX_ROWS;
    return rows < n ? rows : n;
}

void bt_head_carve_scratch(struct bt_head *head, struct bt_arena *arena, const struct bt_shape *shape, size_t n,
                           bool gradients)
{
    head->slice = slice_rows(shape, n);
    head->normed = bt_arena_take(arena, n, shape->hidden * sizeof(float));
    head->rstd = bt_arena_take(arena, n, sizeof(float));
    head->dnormed = gradients ? bt_arena_take(arena, n, shape->hidden * sizeof(float)) : NULL;
    head->logits = bt_arena_take(arena, head->slice, shape->vocab * sizeof(float));
}

static void final_norm(struct bt_head *head, const struct bt_head_context *c)
{
    c->compute->kernels.rmsnorm_fwd(head->normed, head->rstd, c->x, c->norm.gain, c->n, c->shape->hidden,
                                    c->shape->eps);
}

static size_t rows_from(const struct bt_head *head, const struct bt_head_context *c, size_t row)
{
    return c->n - row < head->slice ? c->n - row : head->slice;
}

static void slice_logits(struct bt_head *head, const struct bt_head_context *c, size_t row, size_t rows, float *logits)
{
    bt_matmul_run(c->compute->matmul, BT_NT, rows, c->shape->vocab, c->shape->hidden,
                  head->normed + row * c->shape->hidden, c->weight, logits, false);
}

static double sum_in_order(const double *loss, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += loss[i];
    return sum;
}

double bt_head_loss(struct bt_head *head, const struct bt_head_context *c)
{
    final_norm(head, c);
    for (size_t row = 0; row < c->n; row += head->slice) {
        const size_t rows = rows_from(head, c, row);
        slice_logits(head, c, row, rows, head->logits);
        c->compute->kernels.cross_entropy(head->loss + row, head->logits, c->labels + row, rows, c->shape->vocab, 0.0f);
    }
    return sum_in_order(head->loss, c->n);
}

/* From the gradient of a slice's logits, which stands in their place, to its part of dnormed and of the head's. */
static void slice_backward(struct bt_head *head, const struct bt_head_context *c, size_t row, size_t rows)
{
    const size_t hidden = c->shape->hidden, vocab = c->shape->vocab;
    bt_matmul_run(c->compute->matmul, BT_NN, rows, hidden, vocab, head->logits, c->weight, head->dnormed + row * hidden,
                  false);
    bt_matmul_run(c->compute->matmul, BT_TN, vocab, hidden, rows, head->logits, head->normed + row * hidden, c->dweight,
                  true);
}

static void final_norm_backward(struct bt_head *head, const struct bt_head_context *c, float *dx)
{
    c->compute->kernels.rmsnorm_bwd(dx, 0, c->norm.dgain, head->dnormed, c->x, c->norm.gain, head->rstd, c->n,
                                    c->shape->hidden);
}

double bt_head_backward(struct bt_head *head, const struct bt_head_context *c, float scale, float *dx)
{
    assert(scale != 0.0f); /* to cross_entropy it would mean: leave the logits alone */
    final_norm(head, c);
    for (size_t row = 0; row < c->n; row += head->slice) {
        const size_t rows = rows_from(head, c, row);
        slice_logits(head, c, row, rows, head->logits);
        c->compute->kernels.cross_entropy(head->loss + row, head->logits, c->labels + row, rows, c->shape->vocab,
                                          scale);
        slice_backward(head, c, row, rows);
    }
    final_norm_backward(head, c, dx);
    return sum_in_order(head->loss, c->n);
}

/* Losses of a slice and the gradient of its logits. */
static void slice_lesson(struct bt_head *head, const struct bt_head_context *c, const struct bt_head_lesson *l,
                         size_t row, size_t rows)
{
    const struct bt_kernels *kernels = &c->compute->kernels;
    const size_t vocab = c->shape->vocab;
    if (l->teacher) {
        slice_logits(l->teacher_head, l->teacher, row, rows, l->teacher_head->logits);
        kernels->teacher_logits(head->loss + row, l->kl + row, head->logits, l->teacher_head->logits, c->labels + row,
                                rows, vocab, &l->loss);
        return;
    }
    const size_t count = l->top->count;
    const struct bt_top_rows top = {.count = count,
                                    .ids = l->top->ids + row * count,
                                    .levels = l->top->levels + row * count,
                                    .rest = l->top->rest + row};
    kernels->teacher_top(head->loss + row, l->kl + row, head->logits, &top, c->labels + row, rows, vocab, &l->loss);
}

void bt_head_learn(struct bt_head *head, const struct bt_head_context *c, const struct bt_head_lesson *lesson,
                   float *dx)
{
    final_norm(head, c);
    if (lesson->teacher) {
        assert(lesson->teacher->shape->vocab == c->shape->vocab && lesson->teacher_head->slice == head->slice);
        final_norm(lesson->teacher_head, lesson->teacher);
    }
    for (size_t row = 0; row < c->n; row += head->slice) {
        const size_t rows = rows_from(head, c, row);
        slice_logits(head, c, row, rows, head->logits);
        slice_lesson(head, c, lesson, row, rows);
        slice_backward(head, c, row, rows);
    }
    final_norm_backward(head, c, dx);
}

void bt_head_logits(struct bt_head *head, const struct bt_head_context *c, float *logits)
{
    final_norm(head, c);
    for (size_t row = 0; row < c->n; row += head->slice)
        slice_logits(head, c, row, rows_from(head, c, row), logits + row * c->shape->vocab);
}

void bt_head_each(struct bt_head *head, const struct bt_head_context *c,
                  void (*each)(void *context, size_t first, size_t rows, const float *logits), void *context)
{
    final_norm(head, c);
    for (size_t row = 0; row < c->n; row += head->slice) {
        const size_t rows = rows_from(head, c, row);
        slice_logits(head, c, row, rows, head->logits);
        each(context, row, rows, head->logits);
    }
}
