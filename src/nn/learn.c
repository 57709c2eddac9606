/* One pass of a student beside its teacher: bt_model_learn. */
#include <math.h>
#include <string.h>

#include "nn/model_inside.h"

static const double relation_floor = 1e-8; /* of the form `algorithm` */

static size_t groups_of(const struct bt_distill *distill, size_t heads)
{
    return distill->split_heads ? distill->split_heads : heads;
}

void bt_pupil_carve(struct bt_pupil *pupil, struct bt_arena *arena, const struct bt_shape *shape,
                    const struct bt_distill *distill, size_t rows, size_t seq)
{
    const size_t n = rows * seq, groups = groups_of(distill, shape->heads);
    if (distill->terms[BT_TERM_LOGITS])
        pupil->kl = bt_arena_take(arena, n, sizeof(double));
    if (distill->terms[BT_TERM_HIDDEN])
        pupil->hidden = bt_arena_take(arena, n, sizeof(double));
    if (!distill->terms[BT_TERM_RELATION])
        return;
    pupil->slope = bt_qkv_carve(arena, shape, n);
    pupil->stats = bt_arena_take(arena, n, 3 * groups * sizeof(float));
    pupil->length = bt_arena_take(arena, n, groups * sizeof(float));
    pupil->relation = bt_arena_take(arena, n, groups * sizeof(double));
}

static double sum_of(const double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* Cross entropy and logits, with dx the gradient of what enters the final norm. */
static void learn_logits(struct bt_model *m, const struct bt_batch *batch, const struct bt_lesson *lesson, double *sums)
{
    const struct bt_distill *d = m->options.distill;
    const double square = d->tau_squared ? (double)d->temperature * (double)d->temperature : 1.0;
    const struct bt_head_context c = bt_model_head(m, batch);
    struct bt_head_context of_teacher;
    struct bt_head_lesson l = {.loss = {.temperature = d->temperature,
                                        .label_scale = (float)lesson->scale[BT_TERM_CROSS_ENTROPY],
                                        .teacher_scale = (float)(lesson->scale[BT_TERM_LOGITS] * square)},
                               .kl = m->pupil.kl,
                               .top = lesson->top};
    if (!l.top) {
        of_teacher = bt_model_head(lesson->teacher, batch);
        l.teacher = &of_teacher;
        l.teacher_head = &lesson->teacher->head;
    }
    bt_head_learn(&m->head, &c, &l, m->dx);
    if (d->terms[BT_TERM_CROSS_ENTROPY])
        sums[BT_TERM_CROSS_ENTROPY] = sum_of(m->head.loss, c.n);
    sums[BT_TERM_LOGITS] = square * sum_of(l.kl, c.n);
}

static void learn_head(struct bt_model *m, const struct bt_batch *batch, const struct bt_lesson *lesson, double *sums)
{
    const struct bt_distill *d = m->options.distill;
    const struct bt_head_context c = bt_model_head(m, batch);
    const float scale = (float)lesson->scale[BT_TERM_CROSS_ENTROPY];
    if (d->terms[BT_TERM_LOGITS]) {
        learn_logits(m, batch, lesson, sums);
    } else if (d->terms[BT_TERM_CROSS_ENTROPY] && scale != 0.0f) {
        sums[BT_TERM_CROSS_ENTROPY] = bt_head_backward(&m->head, &c, scale, m->dx);
    } else {
        if (d->terms[BT_TERM_CROSS_ENTROPY])
            sums[BT_TERM_CROSS_ENTROPY] = bt_head_loss(&m->head, &c);
        memset(m->dx, 0, c.n * m->shape->hidden * sizeof *m->dx);
    }
}

/* Adds to dx, the gradient of block i's output, what its distance from the teacher's gives. */
static void learn_hidden(struct bt_model *m, size_t i, const struct bt_batch *batch, const struct bt_lesson *lesson,
                         double *sums)
{
    const double weight = m->options.distill->layer_weights[i];
    if (weight == 0.0)
        return;
    m->compute->kernels.hidden_loss(m->pupil.hidden, m->dx, bt_model_block_input(m, i + 1),
                                    bt_model_block_input(lesson->teacher, i + 1), batch->used, batch->rows, batch->seq,
                                    m->shape->hidden, m->options.distill->hidden,
                                    (float)(weight * lesson->scale[BT_TERM_HIDDEN]));
    sums[BT_TERM_HIDDEN] += weight * sum_of(m->pupil.hidden, batch->rows * batch->seq);
}

/* One of Q, K and V, on both sides. */
struct side_by_side {
    float *student, *teacher, *slope;
    size_t heads, teacher_heads;
};

/* The sum over the batch's tokens of the mean over heads (or groups); slope is overwritten unless scale is 0. */
static double relate(struct bt_model *m, const struct side_by_side *x, const struct bt_model *teacher,
                     const struct bt_batch *batch, double scale)
{
    const struct bt_distill *d = m->options.distill;
    const struct bt_kernels *kernels = &m->compute->kernels;
    const struct bt_pupil *p = &m->pupil;
    const size_t n = batch->rows * batch->seq, groups = groups_of(d, x->heads);
    const size_t dim = x->heads * m->shape->head_dim / groups;
    const size_t teacher_dim = x->teacher_heads * teacher->shape->head_dim / groups;
    const bool split = d->split_heads > 0;
    const struct bt_relation_shape shape = {
        .rows = batch->rows,
        .seq = batch->seq,
        .groups = groups,
        .dim = dim,
        .teacher_dim = teacher_dim,
        .rate = (float)(split ? 1.0 / (double)d->relation_temperature : 1.0 / sqrt((double)dim)),
        .teacher_rate = (float)(split ? 1.0 / (double)d->relation_temperature : 1.0 / sqrt((double)teacher_dim)),
        .log_floor = split ? (float)log(relation_floor) : -INFINITY,
        .first = batch->first};
    if (split) {
        kernels->unit_fwd(x->teacher, p->length, n * groups, teacher_dim);
        kernels->unit_fwd(x->student, p->length, n * groups, dim);
    }
    kernels->relation(p->relation, x->slope, p->stats, x->student, x->teacher, &shape, (float)(scale / (double)groups));
    if (split && scale != 0.0)
        kernels->unit_bwd(x->slope, x->student, p->length, n * groups, dim);
    return sum_of(p->relation, n * groups) / (double)groups;
}

static void learn_relation(struct bt_model *m, const struct bt_batch *batch, const struct bt_lesson *lesson,
                           double *sums)
{
    const struct bt_model *teacher = lesson->teacher;
    const struct bt_qkv *s = &m->qkv, *t = &teacher->qkv, *slope = &m->pupil.slope;
    const struct side_by_side parts[] = {
        {s->q, t->q, slope->q, m->shape->heads, teacher->shape->heads},
        {s->k, t->k, slope->k, m->shape->kv_heads, teacher->shape->kv_heads},
        {s->v, t->v, slope->v, m->shape->kv_heads, teacher->shape->kv_heads},
    };
    const double scale = lesson->scale[BT_TERM_RELATION];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        sums[BT_TERM_RELATION] += relate(m, &parts[i], teacher, batch, scale);
    m->blocks[m->options.qkv_layer].extra = scale != 0.0 ? *slope : (struct bt_qkv){NULL, NULL, NULL};
}

bool bt_model_learn(struct bt_model *m, const struct bt_batch *batch, float lambda, const struct bt_lesson *lesson,
                    double sums[BT_TERM_COUNT])
{
    const struct bt_block_context context = bt_model_context(m, batch, lambda);
    const bool *terms = m->options.distill->terms;
    memset(sums, 0, BT_TERM_COUNT * sizeof *sums);
    bt_model_run(m, &context, batch, m->shape->layers);
    learn_head(m, batch, lesson, sums);
    if (terms[BT_TERM_RELATION])
        learn_relation(m, batch, lesson, sums);
    for (size_t i = m->shape->layers; i-- > 0;) {
        if (terms[BT_TERM_HIDDEN])
            learn_hidden(m, i, batch, lesson, sums);
        bt_model_block_bwd(m, &context, i);
    }
    bt_model_embedding_bwd(m, batch);
    return terms[BT_TERM_LOGITS] || terms[BT_TERM_CROSS_ENTROPY];
}
