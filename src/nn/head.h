/* nn/head.h - final norm, output head and cross entropy, in slices of rows: logits of a slice, its losses, its
 * gradient, then the slice's part of dx and of the head's gradient. The full logits matrix never exists. */
#ifndef BT_NN_HEAD_H
#define BT_NN_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "nn/block.h"
#include "nn/compute.h"
#include "nn/shape.h"

struct bt_head {    /* memory of the slices */
    size_t slice;   /* rows of a slice: a function of the shape alone */
    float *normed;  /* (n, hidden) */
    float *rstd;    /* (n) */
    float *dnormed; /* (n, hidden); NULL without gradients */
    float *logits;  /* (slice, vocab) */
    double *loss;   /* (n); stays until the next pass */
};

struct bt_head_context { /* one pass; all borrowed */
    const struct bt_shape *shape;
    const struct bt_compute *compute;
    struct bt_norm norm;
    const float *weight; /* (vocab, hidden) */
    float *dweight;
    const float *x; /* (n, hidden) */
    const int32_t *labels;
    size_t n;
};

/* What no one reads once a pass of the head is done: all but loss, which the caller provides. */
void bt_head_carve_scratch(struct bt_head *head, struct bt_arena *arena, const struct bt_shape *shape, size_t n,
                           bool gradients);
/* Sum of the losses, in nats. */
double bt_head_loss(struct bt_head *head, const struct bt_head_context *c);
/* The same; dx (n, hidden) is overwritten with the gradient of scale * sum, dweight and the gain's gradient are added
 * to. scale is not 0. */
double bt_head_backward(struct bt_head *head, const struct bt_head_context *c, float scale, float *dx);
/* What a teacher has to say of the same rows. */
struct bt_head_lesson {
    struct bt_logit_loss loss;             /* temperature and scales */
    struct bt_head *teacher_head;          /* memory of the teacher's slices, which are as long as the student's */
    const struct bt_head_context *teacher; /* NULL: */
    const struct bt_top_rows *top;         /* its likeliest ids are given */
    double *kl;                            /* (n) */
};
/* Leaves the losses of the labels in head->loss and the divergences in kl; gradients as bt_head_backward. */
void bt_head_learn(struct bt_head *head, const struct bt_head_context *c, const struct bt_head_lesson *lesson,
                   float *dx);
/* Gives every slice's logits to a function: rows [first, first + rows) of n. They are gone with the next slice. */
void bt_head_each(struct bt_head *head, const struct bt_head_context *c,
                  void (*each)(void *context, size_t first, size_t rows, const float *logits), void *context);
/* logits (n, vocab). */
void bt_head_logits(struct bt_head *head, const struct bt_head_context *c, float *logits);

#endif
