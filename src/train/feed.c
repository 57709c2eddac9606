#include "train/feed.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/clock.h"

struct bt_feed {
    struct bt_cursor *cursor; /* the thread's, as are the slots numbered from `full` on, modulo BT_FEED_SLOTS */
    struct bt_micro_batch *slots;
    size_t micro_batches;
    uint64_t update_labels, update_tokens; /* the thread's: of the update that it is at */
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    uint64_t full; /* micro-batches made so far */
    uint64_t lent; /* handed out so far */
    uint64_t back; /* given back so far */
    bool quit;
    enum bt_err err; /* of micro-batch number `full` */
    struct bt_diag diag;
};

void bt_micro_batch_carve(struct bt_micro_batch *micro, struct bt_arena *arena, size_t rows, size_t seq)
{
    *micro = (struct bt_micro_batch){0};
    bt_batch_carve(&micro->batch, arena, rows, seq);
    micro->rows = bt_arena_take(arena, rows, sizeof *micro->rows);
}

static size_t rows_of_update(const struct bt_feed *feed)
{
    return feed->micro_batches * feed->slots[0].batch.rows;
}

/* Micro-batch number k of the feed. */
static enum bt_err make(struct bt_feed *feed, uint64_t k, struct bt_diag *diag)
{
    struct bt_micro_batch *micro = &feed->slots[k % BT_FEED_SLOTS];
    if (k % feed->micro_batches == 0) {
        const enum bt_err err =
            bt_cursor_peek(feed->cursor, rows_of_update(feed), &feed->update_labels, &feed->update_tokens, diag);
        if (err)
            return err;
    }
    micro->update_labels = feed->update_labels;
    micro->update_tokens = feed->update_tokens;
    for (size_t i = 0; i < micro->batch.rows; i++)
        micro->rows[i] = bt_cursor_ahead(feed->cursor, i);
    return bt_cursor_fill(feed->cursor, &micro->batch, diag);
}

/* Waits until a slot is free. False: it is time to end. */
static bool wait_for_slot(struct bt_feed *feed)
{
    pthread_mutex_lock(&feed->mutex);
    while (!feed->quit && feed->full - feed->back == BT_FEED_SLOTS)
        pthread_cond_wait(&feed->changed, &feed->mutex);
    const bool go_on = !feed->quit;
    pthread_mutex_unlock(&feed->mutex);
    return go_on;
}

static void *run(void *argument)
{
    struct bt_feed *feed = argument;
    enum bt_err err = BT_OK;
    for (uint64_t k = 0; !err && wait_for_slot(feed); k++) {
        struct bt_diag diag = {""};
        err = make(feed, k, &diag);
        pthread_mutex_lock(&feed->mutex);
        if (err) {
            feed->err = err;
            feed->diag = diag;
        } else {
            feed->full++;
        }
        pthread_cond_signal(&feed->changed);
        pthread_mutex_unlock(&feed->mutex);
    }
    return NULL;
}

/* Signals are for the thread that trains: they would interrupt nothing here. */
static bool start_thread(struct bt_feed *feed)
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before))
        return false;
    const bool started = !pthread_create(&feed->thread, NULL, run, feed);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static void feed_free(struct bt_feed *feed)
{
    bt_cursor_close(feed->cursor);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->mutex);
    bt_free(feed);
}

enum bt_err bt_feed_open(struct bt_cursor *cursor, struct bt_micro_batch *slots, size_t micro_batches,
                         struct bt_feed **ret_feed, struct bt_diag *diag)
{
    uint64_t labels, tokens;
    struct bt_feed *feed = bt_zalloc(1, sizeof *feed);
    if (!feed) {
        bt_cursor_close(cursor);
        return bt_fail_nomem(diag);
    }
    feed->cursor = cursor;
    feed->slots = slots;
    feed->micro_batches = micro_batches;
    pthread_mutex_init(&feed->mutex, NULL); /* with default attributes neither of the two fails */
    pthread_cond_init(&feed->changed, NULL);
    /* As far ahead as any update looks: the cursor makes room for it now, and the thread allocates nothing. */
    enum bt_err err = bt_cursor_peek(cursor, rows_of_update(feed), &labels, &tokens, diag);
    if (!err && !start_thread(feed))
        err = bt_fail(diag, BT_ENOMEM, "the system has no thread left to read ahead with");
    if (err)
        feed_free(feed);
    else
        *ret_feed = feed;
    return err;
}

enum bt_err bt_feed_next(struct bt_feed *feed, const struct bt_micro_batch **ret_micro, double *ret_waited,
                         struct bt_diag *diag)
{
    double waited = 0.0;
    enum bt_err err = BT_OK;
    pthread_mutex_lock(&feed->mutex);
    feed->back = feed->lent;
    pthread_cond_signal(&feed->changed);
    if (feed->full == feed->lent && !feed->err) {
        const double since = bt_clock_seconds();
        while (feed->full == feed->lent && !feed->err)
            pthread_cond_wait(&feed->changed, &feed->mutex);
        waited = bt_clock_seconds() - since;
    }
    if (feed->full > feed->lent) {
        *ret_micro = &feed->slots[feed->lent++ % BT_FEED_SLOTS];
        *ret_waited = waited;
    } else {
        err = bt_fail(diag, feed->err, "%s", feed->diag.text);
    }
    pthread_mutex_unlock(&feed->mutex);
    return err;
}

void bt_feed_close(struct bt_feed *feed)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->mutex);
    feed->quit = true;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->mutex);
    pthread_join(feed->thread, NULL);
    feed_free(feed);
}
