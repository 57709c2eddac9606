/* kernels/relation.c - how the tokens of a document relate to each other, the student's way against a teacher's
 * (docs/numerics.md section 8; MiniLM, Wang and others 2020; BitDistill):
 *
 *   R = row-softmax(rate a a^T)      loss of a token = sum over its document of R_T (log R_T - log R_S)
 *
 * With every R held at `floor` from below, H being 1 where R_S is not held and M the sum of R_T H over a row, the
 * gradient of the scores is G = M R_S - H R_T (R_S - R_T without a floor), and because the scores are symmetric
 * da_i = rate * sum_j (G_ij + G_ji) a_j: a task that owns the tokens i of a tile makes both from the same scores.
 *
 * Tiles are those of attention; nothing grows with seq^2. Three passes: the softmax of every token on both sides, loss
 * and M, gradient. */
#include <math.h>

#include "kernels/lanes.h"
#include "kernels/strip.h"

/* What the first two passes leave for each (token, group). */
struct stats {
    bt_real *student, *teacher; /* log of the softmax's denominator */
    bt_real *mass;              /* M */
};

/* One group of one row. Token i is of the document that begins at first[i]. */
struct relation {
    struct tokens student, teacher;
    const int32_t *first;
    const struct bt_relation_shape *shape;
    size_t at;          /* of (first token of the row, group) in arrays of (n, groups) */
    struct stats stats; /* of the row's first token and this group; a token is `groups` further */
};

/* The tokens of a tile, as lanes of both sides. */
struct side_lanes {
    struct lanes student, teacher;
    size_t begin, end; /* of the documents that the lanes are in */
    int32_t document[TILE];
};

/* Group `which` of all rows' groups. */
static struct relation find_relation(const struct bt_relation_shape *s, size_t which, const bt_real *student,
                                     const bt_real *teacher, bt_real *stats)
{
    const size_t token = which / s->groups * s->seq, all = s->rows * s->seq * s->groups;
    const size_t at = token * s->groups + which % s->groups;
    return (struct relation){.at = at,
                             .student = {student + at * s->dim, s->groups * s->dim},
                             .teacher = {teacher + at * s->teacher_dim, s->groups * s->teacher_dim},
                             .first = s->first + token,
                             .shape = s,
                             .stats = {stats + at, stats + all + at, stats + 2 * all + at}};
}

static void pack_sides(struct side_lanes *l, strip student, strip teacher, const struct relation *r, size_t tile)
{
    const struct bt_relation_shape *s = r->shape;
    const size_t from = tile * TILE, count = BT_MIN((size_t)TILE, s->seq - from);
    l->student = pack_lanes(student, r->student, from, count, s->dim, s->rate);
    l->teacher = pack_lanes(teacher, r->teacher, from, count, s->teacher_dim, s->teacher_rate);
    l->begin = (size_t)r->first[from];
    l->end = from + count;
    while (l->end < s->seq && r->first[l->end] == r->first[from + count - 1])
        l->end++;
    for (size_t lane = 0; lane < TILE; lane++)
        l->document[lane] = lane < count ? r->first[from + lane] : -1;
}

/* The values of one statistic for the lanes; 0 where there is no token. */
static void gather(bt_real out[TILE], const bt_real *stat, const struct relation *r, size_t from, size_t count)
{
    for (size_t lane = 0; lane < TILE; lane++)
        out[lane] = lane < count ? stat[(from + lane) * r->shape->groups] : 0;
}

static void mask_documents(square s, const struct relation *r, const struct side_lanes *l, size_t token, size_t count)
{
    for (size_t row = 0; row < count; row++) {
        const int32_t document = r->first[token + row];
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++)
            s[row][lane] = l->document[lane] == document ? s[row][lane] : (bt_real)-INFINITY;
    }
}

/* The softmax of each lane over its document, on one side. */
static void side_softmax(bt_real *lse, const struct relation *r, const struct side_lanes *l, struct tokens tokens,
                         const struct lanes *lanes, size_t from)
{
    _Alignas(64) square s;
    _Alignas(64) bt_real rescale[TILE];
    struct softmax softmax;
    softmax_begin(&softmax);
    for (size_t token = l->begin; token < l->end; token += TILE) {
        const size_t count = BT_MIN((size_t)TILE, l->end - token);
        dots(s, tokens, token, count, lanes);
        mask_documents(s, r, l, token, count);
        softmax_step(&softmax, rescale, s, count);
    }
    for (size_t lane = 0; lane < lanes->count; lane++)
        lse[(from + lane) * r->shape->groups] = softmax_lse(&softmax, lane);
}

static void softmax_tile(const struct relation *r, size_t tile)
{
    _Alignas(64) strip student, teacher;
    struct side_lanes l;
    pack_sides(&l, student, teacher, r, tile);
    side_softmax(r->stats.student, r, &l, r->student, &l.student, tile * TILE);
    side_softmax(r->stats.teacher, r, &l, r->teacher, &l.teacher, tile * TILE);
}

static bt_real at_least(bt_real x, bt_real floor)
{
    return x < floor ? floor : x;
}

/* Adds to the lanes what the tokens of the rows give to their loss and M. */
static void add_loss(double loss[TILE], double mass[TILE], square s, square t, const struct relation *r,
                     const struct side_lanes *l, size_t token, size_t count, const bt_real lse_s[TILE],
                     const bt_real lse_t[TILE])
{
    const bt_real floor = r->shape->log_floor;
    for (size_t row = 0; row < count; row++) {
        const int32_t document = r->first[token + row];
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++) {
            const bt_real log_s = s[row][lane] - lse_s[lane], log_t = at_least(t[row][lane] - lse_t[lane], floor);
            const bt_real p = l->document[lane] == document ? bt_exp(log_t) : 0;
            loss[lane] += (double)(p * (log_t - at_least(log_s, floor)));
            mass[lane] += log_s >= floor ? (double)p : 0.0;
        }
    }
}

static void loss_tile(double *out, const struct relation *r, size_t tile)
{
    _Alignas(64) strip student, teacher;
    _Alignas(64) square s, t;
    bt_real lse_s[TILE], lse_t[TILE];
    double loss[TILE] = {0}, mass[TILE] = {0};
    const size_t from = tile * TILE;
    struct side_lanes l;
    pack_sides(&l, student, teacher, r, tile);
    gather(lse_s, r->stats.student, r, from, l.student.count);
    gather(lse_t, r->stats.teacher, r, from, l.student.count);
    for (size_t token = l.begin; token < l.end; token += TILE) {
        const size_t count = BT_MIN((size_t)TILE, l.end - token);
        dots(s, r->student, token, count, &l.student);
        dots(t, r->teacher, token, count, &l.teacher);
        add_loss(loss, mass, s, t, r, &l, token, count, lse_s, lse_t);
    }
    for (size_t lane = 0; lane < l.student.count; lane++) {
        out[(from + lane) * r->shape->groups] = loss[lane];
        r->stats.mass[(from + lane) * r->shape->groups] = (bt_real)mass[lane];
    }
}

struct lane_stats {
    bt_real student[TILE], teacher[TILE], mass[TILE];
};

/* Turns the student's scores into G_ij + G_ji, i being the lane and j the row. */
static void score_gradient(square s, square t, const struct relation *r, const struct side_lanes *l, size_t token,
                           size_t count, const struct lane_stats *stats)
{
    const bt_real floor = r->shape->log_floor;
    for (size_t row = 0; row < count; row++) {
        const size_t at = (token + row) * r->shape->groups;
        const bt_real row_s = r->stats.student[at], row_t = r->stats.teacher[at], row_mass = r->stats.mass[at];
        const int32_t document = r->first[token + row];
#pragma omp simd
        for (size_t lane = 0; lane < TILE; lane++) {
            const bt_real s_ij = s[row][lane] - stats->student[lane], s_ji = s[row][lane] - row_s;
            const bt_real t_ij = bt_exp(at_least(t[row][lane] - stats->teacher[lane], floor));
            const bt_real t_ji = bt_exp(at_least(t[row][lane] - row_t, floor));
            const bt_real g = stats->mass[lane] * bt_exp(s_ij) - (s_ij >= floor ? t_ij : 0) + row_mass * bt_exp(s_ji) -
                              (s_ji >= floor ? t_ji : 0);
            s[row][lane] = l->document[lane] == document ? g : 0;
        }
    }
}

static void gradient_tile(bt_real *da, const struct relation *r, size_t tile, bt_real scale)
{
    _Alignas(64) strip student, teacher, sum;
    _Alignas(64) square s, t;
    struct lane_stats stats;
    const struct bt_relation_shape *shape = r->shape;
    const size_t from = tile * TILE;
    struct side_lanes l;
    pack_sides(&l, student, teacher, r, tile);
    gather(stats.student, r->stats.student, r, from, l.student.count);
    gather(stats.teacher, r->stats.teacher, r, from, l.student.count);
    gather(stats.mass, r->stats.mass, r, from, l.student.count);
    for (size_t d0 = 0; d0 < shape->dim; d0 += DIM) {
        const size_t dims = BT_MIN((size_t)DIM, shape->dim - d0);
        memset(sum, 0, dims * sizeof *sum);
        for (size_t token = l.begin; token < l.end; token += TILE) {
            const size_t count = BT_MIN((size_t)TILE, l.end - token);
            dots(s, r->student, token, count, &l.student);
            dots(t, r->teacher, token, count, &l.teacher);
            score_gradient(s, t, r, &l, token, count, &stats);
            add_weighted(sum, r->student, d0, dims, token, count, s);
        }
        unpack(da + from * r->student.step, r->student.step, sum, d0, dims, l.student.count, scale * shape->rate);
    }
}

void BT_FN(relation)(double *loss, bt_real *da, bt_real *stats, const bt_real *a, const bt_real *teacher,
                     const struct bt_relation_shape *s, bt_real scale)
{
    const size_t groups = s->rows * s->groups, tasks = (s->seq + TILE - 1) / TILE * groups;
#pragma omp parallel
    {
#pragma omp for schedule(dynamic)
        for (size_t task = 0; task < tasks; task++) {
            const struct relation r = find_relation(s, task % groups, a, teacher, stats);
            softmax_tile(&r, task / groups);
        }
#pragma omp for schedule(dynamic)
        for (size_t task = 0; task < tasks; task++) {
            const struct relation r = find_relation(s, task % groups, a, teacher, stats);
            loss_tile(loss + r.at, &r, task / groups);
        }
#pragma omp for schedule(dynamic)
        for (size_t task = 0; task < (scale != 0 ? tasks : 0); task++) {
            const struct relation r = find_relation(s, task % groups, a, teacher, stats);
            gradient_tile(da + r.at * s->dim, &r, task / groups, scale);
        }
    }
}

/* Vectors of length 1, and back: dx = (dy - y (y dy)) / |x|. */

static const double shortest = 1e-12;

void BT_FN(unit_fwd)(bt_real *x, bt_real *length, size_t n, size_t d)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        bt_real *row = x + i * d;
        const double held = fmax(sqrt(bt_dot(row, row, d)), shortest);
        length[i] = (bt_real)held;
#pragma omp simd
        for (size_t j = 0; j < d; j++)
            row[j] = (bt_real)((double)row[j] / held);
    }
}

void BT_FN(unit_bwd)(bt_real *dy, const bt_real *y, const bt_real *length, size_t n, size_t d)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        bt_real *row = dy + i * d;
        const bool held = !((double)length[i] > 1.0001 * shortest);
        const double along = held ? 0.0 : bt_dot(row, y + i * d, d);
#pragma omp simd
        for (size_t j = 0; j < d; j++)
            row[j] = (bt_real)(((double)row[j] - along * (double)y[i * d + j]) / (double)length[i]);
    }
}
