/* Reading ahead, over a cursor of our own in the place of rows_order.c's: it says which row it is at, can be slow, and
 * can fail. */
#include "support.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "train/feed.h"

enum { ROWS = 3, SEQ = 4, MICRO_BATCHES = 5 };

struct bt_cursor {
    uint64_t row;
    long nap;          /* nanoseconds before each filling */
    uint64_t fails_at; /* the row that cannot be filled, */
    uint64_t blind_at; /* or not be looked ahead from; 0: none */
};

static atomic_long cursors;       /* open */
static int32_t *_Atomic lent_ids; /* what the caller of the feed reads at this moment */
static atomic_int overwritten;

static void sleep_for(long nanoseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

static uint32_t labels_of(uint64_t row)
{
    return (uint32_t)(row % SEQ);
}

enum bt_err bt_cursor_peek(struct bt_cursor *cursor, size_t rows_ahead, uint64_t *ret_labels, uint64_t *ret_tokens,
                           struct bt_diag *diag)
{
    if (cursor->blind_at && cursor->row == cursor->blind_at)
        return bt_fail(diag, BT_ENOMEM, "cannot look ahead from row %d", (int)cursor->row);
    *ret_labels = *ret_tokens = 0;
    for (size_t i = 0; i < rows_ahead; i++) {
        *ret_labels += labels_of(cursor->row + i);
        *ret_tokens += SEQ;
    }
    return BT_OK;
}

struct bt_row_facts bt_cursor_ahead(const struct bt_cursor *cursor, size_t i)
{
    return (struct bt_row_facts){.source = (cursor->row + i) % 2, .tokens = SEQ, .labels = labels_of(cursor->row + i)};
}

enum bt_err bt_cursor_fill(struct bt_cursor *cursor, struct bt_batch *batch, struct bt_diag *diag)
{
    sleep_for(cursor->nap);
    if (cursor->fails_at && cursor->row >= cursor->fails_at)
        return bt_fail(diag, BT_EINPUT, "row %d is gone", (int)cursor->row);
    if (atomic_load(&lent_ids) == batch->ids)
        atomic_fetch_add(&overwritten, 1);
    for (size_t r = 0; r < batch->rows; r++)
        for (size_t i = 0; i < SEQ; i++)
            batch->ids[r * SEQ + i] = (int32_t)(cursor->row + r);
    cursor->row += batch->rows;
    return BT_OK;
}

void bt_cursor_close(struct bt_cursor *cursor)
{
    atomic_fetch_sub(&cursors, 1);
    bt_free(cursor);
}

struct world {
    struct bt_arena arena;
    struct bt_micro_batch slots[BT_FEED_SLOTS];
    struct bt_feed *feed;
    struct bt_diag diag;
};

static void carve(struct world *world, struct bt_arena *arena)
{
    for (size_t i = 0; i < BT_FEED_SLOTS; i++)
        bt_micro_batch_carve(&world->slots[i], arena, ROWS, SEQ);
}

static enum bt_err start(struct world *world, struct bt_cursor how)
{
    struct bt_arena measure = {0};
    *world = (struct world){0};
    carve(world, &measure);
    assert_true(bt_arena_init(&world->arena, measure.used));
    carve(world, &world->arena);
    struct bt_cursor *cursor = bt_alloc(sizeof *cursor);
    assert_non_null(cursor);
    *cursor = how;
    atomic_fetch_add(&cursors, 1);
    return bt_feed_open(cursor, world->slots, MICRO_BATCHES, &world->feed, &world->diag);
}

static void stop(struct world *world)
{
    atomic_store(&lent_ids, NULL);
    bt_feed_close(world->feed);
    bt_arena_finish(&world->arena);
    assert_int_equal(atomic_load(&cursors), 0);
    assert_int_equal(bt_alloc_live(), 0);
}

/* Takes micro-batch number k and looks at every number in it. */
static double take(struct world *world, uint64_t k)
{
    const struct bt_micro_batch *micro = NULL;
    const uint64_t first = k * ROWS, update = k / MICRO_BATCHES * MICRO_BATCHES * ROWS;
    uint64_t labels = 0;
    double waited = -1.0;
    atomic_store(&lent_ids, NULL);
    TEST_OK(bt_feed_next(world->feed, &micro, &waited, &world->diag), world->diag);
    atomic_store(&lent_ids, micro->batch.ids);
    for (size_t i = 0; i < ROWS * SEQ; i++)
        assert_int_equal(micro->batch.ids[i], first + i / SEQ);
    for (size_t r = 0; r < ROWS; r++) {
        assert_int_equal(micro->rows[r].source, (first + r) % 2);
        assert_int_equal(micro->rows[r].labels, labels_of(first + r));
    }
    for (size_t r = 0; r < MICRO_BATCHES * ROWS; r++)
        labels += labels_of(update + r);
    assert_int_equal(micro->update_labels, labels);
    assert_int_equal(micro->update_tokens, MICRO_BATCHES * ROWS * SEQ);
    assert_true(waited >= 0.0);
    return waited;
}

/* Whoever of the two is slower: the same micro-batches in order, none of them written to while it is lent. */
static void every_micro_batch_comes_in_its_turn(void **state)
{
    static const long naps[][2] = {{0, 0}, {300000, 0}, {0, 300000}, {100000, 100000}};
    (void)state;
    for (size_t n = 0; n < BT_ARRAY_LEN(naps); n++) {
        struct world world;
        TEST_OK(start(&world, (struct bt_cursor){.nap = naps[n][0]}), world.diag);
        for (uint64_t k = 0; k < 100; k++) {
            take(&world, k);
            sleep_for(naps[n][1]);
        }
        stop(&world);
        assert_int_equal(atomic_load(&overwritten), 0);
    }
}

/* Rows that take 2 ms to read are there at once when training takes 20 ms, but for the first of them. */
static void reading_happens_while_training_does(void **state)
{
    struct world world;
    double waited = 0.0;
    (void)state;
    TEST_OK(start(&world, (struct bt_cursor){.nap = 2000000}), world.diag);
    const double first = take(&world, 0);
    for (uint64_t k = 1; k < 12; k++) {
        sleep_for(20000000);
        waited += take(&world, k);
    }
    stop(&world);
    print_message("waited %.4f s for the first, %.4f s for the others\n", first, waited);
    assert_true(waited < 11 * 0.002); /* what they would take one after the other */
}

/* The caller that does nothing else waits for all of them, and is told how long. */
static void waiting_is_counted(void **state)
{
    struct world world;
    double waited = 0.0;
    (void)state;
    TEST_OK(start(&world, (struct bt_cursor){.nap = 2000000}), world.diag);
    for (uint64_t k = 0; k < 10; k++)
        waited += take(&world, k);
    stop(&world);
    assert_true(waited > 0.010);
}

/* What was read before the fault still comes; the fault comes in its turn, and stays. */
static void errors_come_in_their_turn(void **state)
{
    struct world world;
    const struct bt_micro_batch *micro = NULL;
    double waited = 0.0;
    (void)state;
    for (int blind = 0; blind < 2; blind++) {
        const uint64_t good = blind ? 2 * MICRO_BATCHES : 7;
        TEST_OK(
            start(&world, (struct bt_cursor){.fails_at = blind ? 0 : good * ROWS, .blind_at = blind ? good * ROWS : 0}),
            world.diag);
        for (uint64_t k = 0; k < good; k++)
            take(&world, k);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(bt_feed_next(world.feed, &micro, &waited, &world.diag), blind ? BT_ENOMEM : BT_EINPUT);
            assert_string_equal(world.diag.text, blind ? "cannot look ahead from row 30" : "row 21 is gone");
        }
        assert_null(micro);
        stop(&world);
    }
}

/* Ended at any moment: while it reads, while it waits for a free slot, after its fault, and without ever being asked.
 */
static void it_can_be_closed_at_any_moment(void **state)
{
    (void)state;
    for (uint64_t taken = 0; taken < 40; taken++) {
        struct world world;
        TEST_OK(start(&world, (struct bt_cursor){.nap = (long)(taken % 3) * 50000, .fails_at = 36 * ROWS}), world.diag);
        for (uint64_t k = 0; k < taken && k < 36; k++)
            take(&world, k);
        sleep_for((long)(taken % 4) * 40000);
        stop(&world);
    }
    bt_feed_close(NULL);
}

static void opening_that_fails_leaves_nothing(void **state)
{
    struct world world;
    struct bt_cursor *cursor = bt_alloc(sizeof *cursor);
    (void)state;
    assert_non_null(cursor);
    *cursor = (struct bt_cursor){0};
    atomic_fetch_add(&cursors, 1);
    bt_alloc_fail_at(0);
    const enum bt_err err = bt_feed_open(cursor, NULL, 1, &world.feed, &world.diag);
    bt_alloc_fail_at(-1);
    assert_int_equal(err, BT_ENOMEM);
    assert_int_equal(start(&world, (struct bt_cursor){.row = 9, .blind_at = 9}), BT_ENOMEM);
    assert_string_equal(world.diag.text, "cannot look ahead from row 9");
    assert_null(world.feed);
    stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_micro_batch_comes_in_its_turn),
        cmocka_unit_test(reading_happens_while_training_does),
        cmocka_unit_test(waiting_is_counted),
        cmocka_unit_test(errors_come_in_their_turn),
        cmocka_unit_test(it_can_be_closed_at_any_moment),
        cmocka_unit_test(opening_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
