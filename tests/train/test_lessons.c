/* A stage beside its teacher: counts, weights, balances, going on, and the teacher's cache. */
#include "trainer_world.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "io/file.h"
#include "train/teacher_cache.h"
#include "train/teaching.h"

enum { UPDATES = 12 };

/* A student in training, and what it learns from: a float model of the same shape without the SubLN norms. */
struct lesson_world {
    struct trainer_world student;
    struct bt_loaded_model teacher;
    struct bt_teaching teaching;
    double layer_weights[2];
    char *dir;
};

static void make_teacher(struct lesson_world *w)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *t = &w->teacher;
    t->path = w->dir;
    t->shape = w->student.shape;
    t->shape.sub_norm = false;
    TEST_OK(bt_params_init(&t->params, &t->shape, &diag), diag);
    t->weights = calloc(t->params.total, sizeof(float));
    assert_non_null(t->weights);
    t->values = t->weights;
    bt_params_randomize(&t->params, t->weights, 9, 0.4);
    test_write_file(test_format("%s/config.json", w->dir), "{}", 2);
}

/* Every term; the last is balanced at update 3, hidden's weight falls. */
static void every_term(struct bt_cfg_losses *l)
{
    l->cross_entropy.present = l->logits.present = l->hidden.present = l->relation.present = true;
    l->cross_entropy.weight.constant = 0.5;
    l->logits.weight.constant = 2.0;
    l->logits.temperature = 2.0;
    l->hidden.weight = (struct bt_cfg_term_weight){
        .kind = BT_WEIGHT_SCHEDULE, .initial = 1.0, .final = 0.25, .type = BT_CURVE_COSINE, .warmup_steps = 2};
    l->relation.weight = (struct bt_cfg_term_weight){.kind = BT_WEIGHT_BALANCE, .balance = 0.75, .at = 3};
}

static void world_init(struct lesson_world *w)
{
    memset(w, 0, sizeof *w);
    trainer_world_init(&w->student);
    trainer_world_add_documents(&w->student, 1.0, 40, 11);
    trainer_world_open_rows(&w->student);
    w->dir = test_make_dir();
    make_teacher(w);
    every_term(&w->student.config.losses);
}

/* As bt_teaching_open does it, but for the files. */
static void resolve(struct lesson_world *w)
{
    const struct bt_cfg_losses *l = &w->student.config.losses;
    struct bt_teaching *t = &w->teaching;
    const bool given[] = {l->cross_entropy.present, l->logits.present, l->hidden.present, l->relation.present};
    *t = (struct bt_teaching){.config = &w->student.config,
                              .distill = {.temperature = (float)l->logits.temperature,
                                          .hidden = BT_HIDDEN_MSE_NORMALIZED,
                                          .layer_weights = w->layer_weights},
                              .layer = 1,
                              .teacher_layer = 1,
                              .blocks = 2,
                              .teacher = &w->teacher};
    w->layer_weights[0] = 1.0 / 3.0;
    w->layer_weights[1] = 2.0 / 3.0;
    memcpy(t->given, given, sizeof given);
    memcpy(t->distill.terms, given, sizeof given);
}

static void world_finish(struct lesson_world *w)
{
    trainer_world_finish(&w->student);
    bt_params_finish(&w->teacher.params);
    free(w->teacher.weights);
    test_remove_dir(w->dir);
}

static void unset_balances(struct bt_train_state *state)
{
    for (int t = 0; t < BT_TERM_COUNT; t++)
        state->balance[t] = NAN;
}

/* A trainer of the first weights. */
static struct bt_trainer *start(struct lesson_world *w)
{
    struct trainer_world *s = &w->student;
    struct bt_trainer *t = NULL;
    struct bt_diag diag = {0};
    resolve(w);
    memcpy(s->weights, s->start, s->params.total * sizeof(float));
    TEST_OK(bt_trainer_create(&s->config, &s->params, s->weights, s->rows, WORLD_SEQ, UPDATES, &s->compute,
                              &w->teaching, &t, &diag),
            diag);
    unset_balances(&t->state);
    TEST_OK(bt_trainer_begin(t, &diag), diag);
    return t;
}

static float *copy_of(const float *from, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, from, n * sizeof *copy);
    return copy;
}

/* ---- counts ---- */

static float *first_gradients(struct lesson_world *w, int64_t batch, int64_t times, struct bt_update_report *report)
{
    w->student.config.batch_size = batch;
    w->student.config.gradient_accumulation_steps = times;
    struct bt_trainer *t = start(w);
    *report = trainer_world_run(t, 1);
    float *gradients = copy_of(t->optimizer.gradients, w->student.params.total);
    bt_trainer_destroy(t);
    return gradients;
}

static void accumulation_is_one_big_batch(void **state)
{
    (void)state;
    const int64_t cuts[][2] = {{3, 2}, {2, 3}, {1, 6}};
    struct lesson_world w;
    struct bt_update_report big, cut;
    world_init(&w);
    w.student.config.losses.relation.weight = (struct bt_cfg_term_weight){.constant = 3.0};
    float *want = first_gradients(&w, 6, 1, &big);
    assert_true(big.labels < big.tokens); /* two different counts */
    for (size_t k = 0; k < BT_ARRAY_LEN(cuts); k++) {
        float *got = first_gradients(&w, cuts[k][0], cuts[k][1], &cut);
        for (int t = 0; t < BT_TERM_COUNT; t++)
            assert_true(fabs(cut.terms[t].raw - big.terms[t].raw) <= 1e-6 * fabs(big.terms[t].raw));
        for (size_t i = 0; i < w.student.params.total; i++)
            assert_true(fabs((double)got[i] - (double)want[i]) <= 2e-6 * big.grad_norm);
        free(got);
    }
    free(want);
    world_finish(&w);
}

/* ---- weights ---- */

static void check_report(const struct bt_update_report *r, const double *weights)
{
    double loss = 0.0;
    for (int t = 0; t < BT_TERM_COUNT; t++) {
        assert_true(r->terms[t].given && r->terms[t].raw > 0.0);
        assert_true(fabs(r->terms[t].weighted - weights[t] * r->terms[t].raw) <= 1e-12);
        loss += r->terms[t].weighted;
    }
    assert_true(fabs(r->loss - loss) <= 1e-12 * loss);
    for (int t = 0; t < BT_TERM_COUNT; t++)
        assert_true(fabs(r->terms[t].share - r->terms[t].weighted / loss) <= 1e-12);
}

static void weights_move_and_balance(void **state)
{
    (void)state;
    struct lesson_world w;
    double balance = 0.0;
    world_init(&w);
    struct bt_trainer *t = start(&w);
    for (int64_t s = 1; s <= UPDATES; s++) {
        const double p = (double)(s - 3) / (double)(UPDATES - 3);
        const double hidden = s <= 2 ? 1.0 : 0.25 + 0.75 * (1.0 + cos(M_PI * p)) / 2.0;
        const struct bt_update_report r = trainer_world_run(t, 1);
        check_report(&r, (const double[]){0.5, 2.0, hidden, balance});
        if (s == 3)
            balance = 0.75 * r.terms[BT_TERM_CROSS_ENTROPY].raw / r.terms[BT_TERM_RELATION].raw;
        assert_true(s < 3 ? isnan(t->state.balance[BT_TERM_RELATION])
                          : fabs(t->state.balance[BT_TERM_RELATION] - balance) <= 1e-12 * balance);
    }
    assert_true(balance > 0.0);
    bt_trainer_destroy(t);
    world_finish(&w);
}

/* With a term of its own that is not given, cross entropy is measured for the balance and trains nothing. */
static void cross_entropy_is_measured_for_a_balance(void **state)
{
    (void)state;
    struct lesson_world w;
    world_init(&w);
    w.student.config.losses.cross_entropy.present = w.student.config.losses.logits.present = false;
    struct bt_trainer *t = start(&w);
    w.teaching.distill.terms[BT_TERM_CROSS_ENTROPY] = true;
    bt_trainer_destroy(t);
    t = NULL;
    struct bt_diag diag = {0};
    struct trainer_world *s = &w.student;
    TEST_OK(bt_trainer_create(&s->config, &s->params, s->weights, s->rows, WORLD_SEQ, UPDATES, &s->compute, &w.teaching,
                              &t, &diag),
            diag);
    unset_balances(&t->state);
    TEST_OK(bt_trainer_begin(t, &diag), diag);
    const struct bt_update_report r = trainer_world_run(t, 4);
    assert_false(r.terms[BT_TERM_CROSS_ENTROPY].given);
    assert_true(t->state.balance[BT_TERM_RELATION] > 0.0);
    const double sum = r.terms[BT_TERM_HIDDEN].weighted + r.terms[BT_TERM_RELATION].weighted;
    assert_true(fabs(r.loss - sum) <= 1e-12 * sum);
    bt_trainer_destroy(t);
    world_finish(&w);
}

/* ---- the same bits ---- */

struct ending {
    float *weights;
    struct bt_train_state state;
    double loss;
};

static struct ending end_of(struct bt_trainer *t, const struct bt_update_report *r)
{
    const struct ending end = {copy_of(t->weights, t->params->total), t->state, r->loss};
    bt_trainer_destroy(t);
    return end;
}

static struct ending run_through(struct lesson_world *w)
{
    struct bt_trainer *t = start(w);
    const struct bt_update_report r = trainer_world_run(t, UPDATES);
    return end_of(t, &r);
}

static void expect_same(const struct ending *got, const struct ending *want, size_t total)
{
    assert_memory_equal(got->weights, want->weights, total * sizeof(float));
    assert_true(got->loss == want->loss);
    assert_true(!memcmp(&got->state.balance[BT_TERM_RELATION], &want->state.balance[BT_TERM_RELATION], sizeof(double)));
}

/* As many updates, then a new trainer with the state, weights and moments of the old one. */
static struct ending interrupted(struct lesson_world *w, size_t after)
{
    struct trainer_world *s = &w->student;
    struct bt_trainer *t = start(w);
    struct bt_diag diag = {0};
    trainer_world_run(t, after);
    const struct bt_train_state state = t->state;
    const size_t seconds = bt_second_moment_at(&s->params, &s->config.optimizer, s->params.count);
    float *m = copy_of(t->optimizer.m, s->params.total), *v = copy_of(t->optimizer.v, seconds);
    bt_trainer_destroy(t); /* with it goes the global warm-up */
    TEST_OK(bt_trainer_create(&s->config, &s->params, s->weights, s->rows, WORLD_SEQ, UPDATES, &s->compute,
                              &w->teaching, &t, &diag),
            diag);
    t->state = state;
    memcpy(t->optimizer.m, m, s->params.total * sizeof(float));
    memcpy(t->optimizer.v, v, seconds * sizeof(float));
    free(m);
    free(v);
    TEST_OK(bt_trainer_begin(t, &diag), diag);
    const struct bt_update_report r = trainer_world_run(t, UPDATES - after);
    return end_of(t, &r);
}

static void going_on_gives_the_same_bits(void **state)
{
    (void)state;
    struct lesson_world w;
    world_init(&w);
    for (int muon = 0; muon < 2; muon++) {
        w.student.config.optimizer.type = muon ? BT_OPTIMIZER_MUON : BT_OPTIMIZER_ADAMW;
        w.student.config.optimizer.muon =
            (struct bt_cfg_muon){.lr = 0.02, .momentum = 0.9, .nesterov = true, .steps = 5};
        struct ending want = run_through(&w);
        for (size_t after = 1; after < UPDATES; after += 3) {
            struct ending got = interrupted(&w, after);
            expect_same(&got, &want, w.student.params.total);
            free(got.weights);
        }
        free(want.weights);
    }
    world_finish(&w);
}

static void any_number_of_threads(void **state)
{
    static const int counts[] = {2, 5};
    const int before = omp_get_max_threads();
    (void)state;
    struct lesson_world w;
    world_init(&w);
    for (int muon = 0; muon < 2; muon++) {
        w.student.config.optimizer.type = muon ? BT_OPTIMIZER_MUON : BT_OPTIMIZER_ADAMW;
        w.student.config.optimizer.muon = (struct bt_cfg_muon){.lr = 0.02, .momentum = 0.9, .steps = 5};
        omp_set_num_threads(1);
        struct ending want = run_through(&w);
        for (size_t i = 0; i < BT_ARRAY_LEN(counts); i++) {
            omp_set_num_threads(counts[i]);
            struct ending got = run_through(&w);
            expect_same(&got, &want, w.student.params.total);
            free(got.weights);
        }
        free(want.weights);
    }
    omp_set_num_threads(before);
    world_finish(&w);
}

/* ---- skipped updates ---- */

static void what_is_not_finite_is_skipped(void **state)
{
    (void)state;
    struct lesson_world w;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    world_init(&w);
    struct bt_trainer *t = start(&w);
    trainer_world_run(t, 1);
    w.teacher.weights[bt_params_get(&w.teacher.params, BT_P_UP, 1)->offset] = INFINITY;
    float *before = copy_of(t->weights, t->params->total);
    TEST_OK(bt_trainer_update(t, &report, &diag), diag);
    assert_false(report.applied);
    assert_true(isfinite(report.terms[BT_TERM_CROSS_ENTROPY].raw) && !isfinite(report.terms[BT_TERM_LOGITS].raw));
    assert_memory_equal(before, t->weights, t->params->total * sizeof(float));
    TEST_OK(bt_trainer_update(t, &report, &diag), diag);
    assert_true(!report.applied && t->state.skipped_in_a_row == 2);
    free(before);
    bt_trainer_destroy(t);
    world_finish(&w);
}

/* ---- the cache ---- */

static void cached_world(struct lesson_world *w, int64_t top_k)
{
    world_init(w);
    w->student.config.losses.hidden.present = w->student.config.losses.relation.present = false;
    w->student.config.teacher = (struct bt_cfg_teacher){.cache = w->dir, .cache_top_k = top_k};
}

/* Files named *.row under a folder; applies `change` to the path of each (may be NULL). */
static size_t each_row_file(const char *folder, void (*change)(const char *path))
{
    struct bt_diag diag = {0};
    char **names = NULL;
    size_t count = 0, found = 0;
    TEST_OK(bt_dir_list(folder, &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++) {
        char *path = bt_path_join(folder, names[i]);
        const size_t length = strlen(path);
        if (bt_dir_exists(path))
            found += each_row_file(path, change);
        else if (length > 4 && !strcmp(path + length - 4, ".row")) {
            found++;
            if (change)
                change(path);
        } else {
            assert_null(strstr(path, ".tmp"));
        }
        bt_free(path);
    }
    bt_names_free(names, count);
    return found;
}

/* A byte somewhere: which one depends on the path. */
static void damage(const char *path)
{
    size_t size;
    unsigned char *bytes = test_read_file(path, &size);
    bytes[(size_t)path[strlen(path) - 5] * 131 % size] ^= 0x10;
    test_write_file(path, bytes, size);
    free(bytes);
}

static void cut(const char *path)
{
    size_t size;
    unsigned char *bytes = test_read_file(path, &size);
    test_write_file(path, bytes, size / 2);
    free(bytes);
}

/* A run gives the same bits whether the cache is empty, full or damaged; and a full one is used: the teacher may then
 * say what it likes. */
static void hits_and_misses_give_the_same_bits(void **state)
{
    (void)state;
    struct lesson_world w;
    cached_world(&w, 8);
    struct ending want = run_through(&w);
    const size_t files = each_row_file(w.dir, NULL);
    assert_true(files > 4 && files <= bt_rows_count(w.student.rows));
    void (*const changes[])(const char *) = {NULL, damage, cut};
    for (size_t i = 0; i < BT_ARRAY_LEN(changes); i++) {
        each_row_file(w.dir, changes[i]);
        struct ending got = run_through(&w);
        expect_same(&got, &want, w.student.params.total);
        assert_int_equal(each_row_file(w.dir, NULL), files);
        free(got.weights);
    }
    struct bt_trainer *t = start(&w);
    for (size_t i = 0; i < w.teacher.params.total; i++)
        w.teacher.weights[i] = NAN;
    const struct bt_update_report r = trainer_world_run(t, UPDATES);
    struct ending got = end_of(t, &r);
    expect_same(&got, &want, w.student.params.total);
    free(got.weights);
    free(want.weights);
    world_finish(&w);
}

/* A file of the cache with key 7, so many hours old. */
static const char *old_file(const struct lesson_world *w, const char *name, time_t hours)
{
    const char *path = test_format("%s/0000000000000007/%s", w->dir, name);
    const struct timespec then = {.tv_sec = time(NULL) - 3600 * hours}, times[] = {then, then};
    test_write_file(path, "half", 4);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    return path;
}

static int no_removing(const char *op, const char *path)
{
    (void)path;
    return strcmp(op, "remove") ? 0 : EACCES;
}

static void reopen(const struct lesson_world *w)
{
    struct bt_teacher_cache *cache = NULL;
    struct bt_diag diag = {0};
    TEST_OK(bt_teacher_cache_open(w->dir, 7, 8, 100, 4, &cache, &diag), diag);
    bt_teacher_cache_close(cache);
}

static void what_killed_writers_left_is_cleared_away(void **state)
{
    (void)state;
    struct lesson_world w;
    cached_world(&w, 8);
    reopen(&w);
    const char *left = old_file(&w, "a.123.tmp", 2), *writing = old_file(&w, "b.124.tmp", 0);
    const char *row = old_file(&w, "c.row", 2), *tmp = old_file(&w, ".tmp", 2);
    bt_io_hook = no_removing; /* nothing that would keep a run from going on */
    reopen(&w);
    bt_io_hook = NULL;
    assert_true(bt_file_exists(left));
    reopen(&w);
    assert_false(bt_file_exists(left));
    assert_true(bt_file_exists(writing) && bt_file_exists(row) && bt_file_exists(tmp));
    world_finish(&w);
}

/* Another teacher, tokenizer, temperature or number of ids finds nothing of what is there. */
static void a_cache_belongs_to_its_teacher(void **state)
{
    (void)state;
    struct lesson_world w;
    cached_world(&w, 8);
    struct bt_trainer *t = start(&w);
    trainer_world_run(t, 1);
    bt_trainer_destroy(t);
    const size_t files = each_row_file(w.dir, NULL);
    for (int i = 0; i < 4; i++) {
        w.teacher.weights[3] += i == 0 ? 1.0f : 0.0f;
        w.student.config.losses.logits.temperature += i == 1 ? 1.0 : 0.0;
        w.student.config.teacher.cache_top_k += i == 2 ? 1 : 0;
        if (i == 3)
            test_write_file(test_format("%s/tokenizer.json", w.dir), "[]", 2);
        t = start(&w);
        trainer_world_run(t, 1);
        bt_trainer_destroy(t);
        assert_int_equal(each_row_file(w.dir, NULL), files * (size_t)(i + 2));
    }
    world_finish(&w);
}

static double first_divergence(struct lesson_world *w)
{
    struct bt_trainer *t = start(w);
    const struct bt_update_report r = trainer_world_run(t, 1);
    bt_trainer_destroy(t);
    return r.terms[BT_TERM_LOGITS].raw;
}

/* The bound of docs/numerics.md section 8. */
static void a_cache_agrees_with_its_teacher(void **state)
{
    (void)state;
    struct lesson_world w;
    cached_world(&w, WORLD_VOCAB + 10);
    w.student.config.batch_size = 6;
    const double all = first_divergence(&w);
    w.student.config.teacher.cache_top_k = 8;
    const double some = first_divergence(&w);
    w.student.config.teacher.cache = NULL;
    const double live = first_divergence(&w), rounding = (2.0 + live) * 0x1p-11;
    assert_true(fabs(all - live) <= rounding);
    assert_true(fabs(all - live) <= 1e-3 * live); /* as measured: 1e-5 */
    assert_true(some <= live + rounding && some > 0.2 * live);
    world_finish(&w);
}

static void a_teacher_that_is_not_finite_is_not_cached(void **state)
{
    (void)state;
    struct lesson_world w;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    cached_world(&w, 8);
    w.teacher.weights[bt_params_get(&w.teacher.params, BT_P_FINAL_NORM, 0)->offset] = NAN;
    struct bt_trainer *t = start(&w);
    assert_int_equal(bt_trainer_update(t, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "the teacher gives logits that are not finite"));
    assert_int_equal(each_row_file(w.dir, NULL), 0);
    bt_trainer_destroy(t);
    world_finish(&w);
}

/* ---- memory ---- */

static enum bt_err one_update(void *context)
{
    struct lesson_world *w = context;
    struct trainer_world *s = &w->student;
    struct bt_trainer *t = NULL;
    struct bt_update_report report;
    struct bt_diag diag = {0};
    enum bt_err err = bt_trainer_create(&s->config, &s->params, s->weights, s->rows, WORLD_SEQ, UPDATES, &s->compute,
                                        &w->teaching, &t, &diag);
    if (!err)
        err = bt_trainer_begin(t, &diag);
    if (!err)
        err = bt_trainer_update(t, &report, &diag);
    bt_trainer_destroy(t);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        struct lesson_world w;
        if (cached)
            cached_world(&w, 8);
        else
            world_init(&w);
        bt_trainer_destroy(start(&w)); /* resolves the teaching, and hashes the files once */
        test_every_allocation_fails(one_update, &w);
        world_finish(&w);
    }
}

static void memory_knows_the_teacher(void **state)
{
    (void)state;
    struct lesson_world w;
    world_init(&w);
    resolve(&w);
    const struct trainer_world *s = &w.student;
    const size_t plain = bt_trainer_memory(&s->params, &s->config, WORLD_SEQ, NULL);
    const size_t taught = bt_trainer_memory(&s->params, &s->config, WORLD_SEQ, &w.teaching);
    assert_true(taught > plain);
    assert_true(taught - plain > bt_lessons_memory(&w.teaching, 2, WORLD_SEQ)); /* and the terms' own */
    assert_int_equal(bt_lessons_memory(&w.teaching, SIZE_MAX / 8, 1 << 20), 0);
    world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_is_one_big_batch),
        cmocka_unit_test(weights_move_and_balance),
        cmocka_unit_test(cross_entropy_is_measured_for_a_balance),
        cmocka_unit_test(going_on_gives_the_same_bits),
        cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(what_is_not_finite_is_skipped),
        cmocka_unit_test(hits_and_misses_give_the_same_bits),
        cmocka_unit_test(what_killed_writers_left_is_cleared_away),
        cmocka_unit_test(a_cache_belongs_to_its_teacher),
        cmocka_unit_test(a_cache_agrees_with_its_teacher),
        cmocka_unit_test(a_teacher_that_is_not_finite_is_not_cached),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(memory_knows_the_teacher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
