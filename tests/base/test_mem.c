#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void allocations_are_counted(void **state)
{
    (void)state;
    const long live = bt_alloc_live();
    void *a = bt_alloc(10), *b = bt_zalloc(3, 4), *c = bt_realloc(NULL, 5, 6);
    char *d = bt_strdup("d");
    assert_int_equal(bt_alloc_live(), live + 4);
    c = bt_realloc(c, 50, 6);
    assert_int_equal(bt_alloc_live(), live + 4);
    bt_free(a);
    bt_free(b);
    bt_free(c);
    bt_free(d);
    bt_free(NULL);
    assert_int_equal(bt_alloc_live(), live);
}

static void a_size_of_zero_is_not_a_failure(void **state)
{
    (void)state;
    void *p[] = {bt_alloc(0), bt_zalloc(0, 8), bt_zalloc(8, 0), bt_realloc(NULL, 0, 8), bt_realloc(bt_alloc(9), 0, 1)};
    for (size_t i = 0; i < BT_ARRAY_LEN(p); i++) {
        assert_non_null(p[i]);
        bt_free(p[i]);
    }
}

static void overflowing_sizes_are_refused(void **state)
{
    (void)state;
    const long live = bt_alloc_live();
    char *kept = bt_strdup("kept");
    assert_null(bt_zalloc(SIZE_MAX / 2, 3));
    assert_null(bt_realloc(NULL, SIZE_MAX / 2, 3));
    assert_null(bt_realloc(kept, SIZE_MAX / 2, 3));
    assert_string_equal(kept, "kept");
    bt_free(kept);
    assert_int_equal(bt_alloc_live(), live);
}

static void zeroed_memory_is_zero(void **state)
{
    (void)state;
    unsigned char *p = bt_alloc(4096);
    memset(p, 0xff, 4096);
    bt_free(p);
    p = bt_zalloc(64, 64);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(p[i], 0);
    bt_free(p);
}

static void the_chosen_allocation_fails_once(void **state)
{
    (void)state;
    for (long k = 0; k < 4; k++) {
        bt_alloc_fail_at(k);
        for (long i = 0; i < 6; i++) {
            void *p = bt_alloc(1);
            assert_int_equal(p == NULL, i == k);
            bt_free(p);
        }
    }
    bt_alloc_fail_at(2);
    bt_alloc_fail_at(-1);
    for (int i = 0; i < 6; i++) {
        void *p = bt_alloc(1);
        assert_non_null(p);
        bt_free(p);
    }
}

static void every_way_to_allocate_can_fail(void **state)
{
    (void)state;
    struct bt_arena arena = {0};
    char *kept = bt_strdup("kept");
    const long live = bt_alloc_live();
    for (int way = 0; way < 7; way++) {
        bt_alloc_fail_at(0);
        const bool failed = way == 0   ? !bt_alloc(1)
                            : way == 1 ? !bt_zalloc(1, 1)
                            : way == 2 ? !bt_realloc(kept, 100, 1)
                            : way == 3 ? !bt_strdup("x")
                            : way == 4 ? !bt_strndup("x", 1)
                            : way == 5 ? !bt_sprintf("%d", 1)
                                       : !bt_arena_init(&arena, 64);
        bt_alloc_fail_at(-1);
        assert_true(failed);
        assert_int_equal(bt_alloc_live(), live);
    }
    assert_string_equal(kept, "kept");
    bt_free(kept);
}

static void strings_are_copied(void **state)
{
    (void)state;
    char *a = bt_strdup(""), *b = bt_strndup("abcdef", 3), *c = bt_strndup("ab", 30),
         *d = bt_sprintf("%s-%05d", "x", 42);
    assert_string_equal(a, "");
    assert_string_equal(b, "abc");
    assert_string_equal(c, "ab");
    assert_string_equal(d, "x-00042");
    bt_free(a);
    bt_free(b);
    bt_free(c);
    bt_free(d);
}

static void *churn(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++)
        bt_free(bt_realloc(bt_alloc(16), 4, 16));
    return NULL;
}

static void counting_is_thread_safe(void **state)
{
    (void)state;
    const long live = bt_alloc_live();
    pthread_t threads[4];
    for (size_t i = 0; i < BT_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
    for (size_t i = 0; i < BT_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(bt_alloc_live(), live);
}

struct carved {
    float *a;
    unsigned char *b;
    double *c;
};

static struct carved carve(struct bt_arena *arena)
{
    struct carved carved;
    carved.a = bt_arena_take(arena, 3, sizeof(float));
    carved.b = bt_arena_take(arena, 65, 1);
    carved.c = bt_arena_take(arena, 8, sizeof(double));
    return carved;
}

static void an_arena_is_measured_then_carved(void **state)
{
    (void)state;
    const long live = bt_alloc_live();
    struct bt_arena measure = {0}, arena = {0};
    struct carved carved = carve(&measure);
    assert_null(carved.a);
    assert_null(carved.c);
    assert_int_equal(measure.used, 64 + 128 + 64);
    assert_false(measure.overflow);

    assert_true(bt_arena_init(&arena, measure.used));
    assert_int_equal(bt_alloc_live(), live + 1);
    carved = carve(&arena);
    assert_int_equal(arena.used, measure.used);
    assert_int_equal((uintptr_t)carved.a % 64, 0);
    assert_int_equal((uintptr_t)carved.b % 64, 0);
    assert_int_equal((uintptr_t)carved.c % 64, 0);
    for (size_t i = 0; i < arena.size; i++)
        assert_int_equal(arena.base[i], 0);
    memset(carved.a, 1, 3 * sizeof(float));
    memset(carved.b, 2, 65);
    memset(carved.c, 3, 8 * sizeof(double));
    assert_int_equal(((unsigned char *)carved.a)[11], 1);
    assert_int_equal(carved.b[64], 2);
    bt_arena_finish(&arena);
    bt_arena_finish(&arena);
    assert_int_equal(bt_alloc_live(), live);
}

static void an_arena_notices_overflow(void **state)
{
    (void)state;
    static const size_t takes[][2] = {{SIZE_MAX / 2, 3}, {SIZE_MAX, 1}, {SIZE_MAX - 100, 1}};
    for (size_t i = 0; i < BT_ARRAY_LEN(takes); i++) {
        struct bt_arena measure = {0};
        bt_arena_take(&measure, 200, 1);
        assert_null(bt_arena_take(&measure, takes[i][0], takes[i][1]));
        assert_true(measure.overflow);
        bt_arena_take(&measure, 1, 1);
        assert_true(measure.overflow);
    }
    struct bt_arena arena = {0};
    assert_false(bt_arena_init(&arena, SIZE_MAX));
    assert_false(bt_arena_init(&arena, SIZE_MAX - 4096));
    assert_null(arena.base);
}

static void an_arena_is_mapped_lazily(void **state)
{
    (void)state;
    struct bt_arena arena = {0};
    assert_true(bt_arena_init(&arena, (size_t)64 << 30)); /* more than most machines have */
    unsigned char *last = (unsigned char *)bt_arena_take(&arena, (size_t)64 << 30, 1) + ((size_t)64 << 30) - 1;
    assert_int_equal(*last, 0);
    *last = 1;
    bt_arena_finish(&arena);
}

static void a_full_arena_is_a_bug(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bt_arena arena = {0};
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* the assertion's message */
        if (bt_arena_init(&arena, 128) && bt_arena_take(&arena, 128, 1))
            bt_arena_take(&arena, 1, 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_counted),
        cmocka_unit_test(a_size_of_zero_is_not_a_failure),
        cmocka_unit_test(overflowing_sizes_are_refused),
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(the_chosen_allocation_fails_once),
        cmocka_unit_test(every_way_to_allocate_can_fail),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(counting_is_thread_safe),
        cmocka_unit_test(an_arena_is_measured_then_carved),
        cmocka_unit_test(an_arena_notices_overflow),
        cmocka_unit_test(an_arena_is_mapped_lazily),
        cmocka_unit_test(a_full_arena_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
