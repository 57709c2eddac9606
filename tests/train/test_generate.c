/* Making text: the tokens are those that the logits say, however the text is stopped, shown or gone on with. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"
#include "text/utf8.h"
#include "text_world.h"
#include "train/generate.h"

struct shown {
    char text[4096];
    size_t size, limit; /* limit: asks for the end once there is so much; 0: never */
    bool half;          /* a piece was not whole characters */
};

static bool take(void *context, const char *text, size_t size)
{
    struct shown *shown = context;
    assert_true(shown->size + size < sizeof shown->text);
    memcpy(shown->text + shown->size, text, size);
    shown->size += size;
    shown->text[shown->size] = '\0';
    shown->half |= bt_utf8_valid(text, size) != size;
    return !shown->limit || shown->size < shown->limit;
}

static struct bt_generator *make_generator(void)
{
    struct bt_generator *generator = NULL;
    struct bt_diag diag = {0};
    bt_infer_cut(text_world.engine, 0);
    TEST_OK(bt_generator_create(text_world.engine, text_world.tokenizer, text_world.shape.vocab, TEXT_CONTEXT,
                                &generator, &diag),
            diag);
    return generator;
}

static struct bt_generation_report run(struct bt_generator *generator, const struct bt_generation *generation,
                                       const char *prompt, struct shown *shown)
{
    int32_t ids[256] = {BT_BYTES_BOS};
    const size_t n = strlen(prompt);
    struct bt_generation_report report;
    struct bt_diag diag = {0};
    for (size_t i = 0; i < n; i++)
        ids[i + 1] = (unsigned char)prompt[i];
    *shown = (struct shown){.limit = shown->limit};
    TEST_OK(bt_generate(generator, generation, ids, n + 1, take, shown, &report, &diag), diag);
    return report;
}

static struct bt_generation greedy(uint64_t most)
{
    return (struct bt_generation){.sampling = bt_sampling_greedy, .max_tokens = most};
}

/* The ids that greedy choice makes, one whole forward for each. */
static void greedy_by_hand(const char *prompt, int32_t *made, size_t count)
{
    int32_t ids[256] = {BT_BYTES_BOS};
    size_t n = 1 + strlen(prompt);
    for (size_t i = 1; i < n; i++)
        ids[i] = (unsigned char)prompt[i - 1];
    for (size_t i = 0; i < count; i++, n++) {
        float *logits = text_world_logits(ids, n), *last = logits + (n - 1) * text_world.shape.vocab;
        ids[n] = 0;
        for (int32_t id = 1; id < BT_BYTES_VOCAB; id++)
            ids[n] = last[id] > last[ids[n]] ? id : ids[n];
        made[i] = ids[n];
        free(logits);
    }
}

static void greedy_text_is_that_of_the_logits(void **state)
{
    enum { COUNT = 24 };
    int32_t made[COUNT];
    char *want = NULL;
    size_t size = 0;
    struct shown shown = {0};
    struct bt_diag diag = {0};
    const struct bt_generation generation = greedy(COUNT);
    struct bt_generator *generator = make_generator();
    (void)state;
    greedy_by_hand("ab", made, COUNT);
    const struct bt_generation_report report = run(generator, &generation, "ab", &shown);
    TEST_OK(bt_tokenizer_decode(text_world.tokenizer, made, COUNT, true, &want, &size, &diag), diag);
    assert_int_equal(shown.size, size);
    assert_memory_equal(shown.text, want, size);
    assert_false(shown.half);
    assert_int_equal(report.tokens, COUNT);
    assert_int_equal(report.prompt_tokens, 3);
    assert_int_equal(report.end, BT_END_LENGTH);
    bt_free(want);
    bt_generator_destroy(generator);
}

/* The same seed gives the same text, again and in a generator that has made other text before. */
static void seeds_repeat(void **state)
{
    struct bt_generation generation = greedy(40);
    struct shown one = {0}, two = {0}, other = {0};
    struct bt_generator *generator = make_generator();
    (void)state;
    generation.sampling.temperature = 1.0;
    generation.sampling.seed = 3;
    run(generator, &generation, "text", &one);
    run(generator, &generation, "something else", &other);
    run(generator, &generation, "text", &two);
    assert_string_equal(one.text, two.text);
    generation.sampling.seed = 4;
    run(generator, &generation, "text", &other);
    assert_string_not_equal(one.text, other.text);
    bt_generator_destroy(generator);
}

/* What the engine holds of a text is not computed again, and nothing changes. */
static void the_cache_is_gone_on_with(void **state)
{
    const struct bt_generation generation = greedy(10);
    struct shown fresh = {0}, again = {0};
    struct bt_generator *generator = make_generator();
    (void)state;
    run(generator, &generation, "a conversation", &fresh);
    bt_infer_cut(text_world.engine, 0);
    run(generator, &generation, "a conver", &again);
    const struct bt_generation_report report = run(generator, &generation, "a conversation", &again);
    assert_in_range(report.prompt_tokens, 1, 6);
    assert_string_equal(fresh.text, again.text);
    bt_generator_destroy(generator);
}

static void ends(void **state)
{
    int32_t made[6];
    struct bt_end_ids ids = {0};
    struct shown all = {0}, shown = {0};
    struct bt_diag diag = {0};
    struct bt_generation generation = greedy(30);
    struct bt_generator *generator = make_generator();
    (void)state;
    greedy_by_hand("xyz", made, 6);
    run(generator, &generation, "xyz", &all);

    /* The first id that is new there: the text before it is what remains. */
    size_t place = 1;
    while (place < 5 && made[place] == made[0])
        place++;
    TEST_OK(bt_end_ids_add(&ids, made[place], &diag), diag);
    TEST_OK(bt_end_ids_add(&ids, made[place], &diag), diag);
    TEST_OK(bt_end_ids_add(&ids, BT_NO_TOKEN, &diag), diag);
    assert_int_equal(ids.count, 1);
    generation.ends = &ids;
    struct bt_generation_report report = run(generator, &generation, "xyz", &shown);
    assert_int_equal(report.end, BT_END_TOKEN);
    assert_int_equal(report.tokens, place + 1);
    assert_true(shown.size < all.size);
    assert_memory_equal(shown.text, all.text, shown.size);
    generation.ends = NULL;

    /* A stop string out of the middle of the text. */
    char stop[8] = {0};
    assert_true(all.size > 8);
    memcpy(stop, all.text + bt_utf8_before(all.text, all.size / 2), 6);
    stop[bt_utf8_valid(stop, 6)] = '\0';
    const char *const stops[] = {stop};
    generation.stops = stops;
    generation.stop_count = 1;
    report = run(generator, &generation, "xyz", &shown);
    assert_int_equal(report.end, BT_END_STOP);
    assert_ptr_equal(strstr(all.text, stop), all.text + shown.size);
    assert_memory_equal(shown.text, all.text, shown.size);
    generation.stop_count = 0;

    shown.limit = 5;
    report = run(generator, &generation, "xyz", &shown);
    assert_int_equal(report.end, BT_END_ASKED);
    shown.limit = 0;

    generation.max_tokens = 1000;
    report = run(generator, &generation, "xyz", &shown);
    assert_int_equal(report.end, BT_END_CONTEXT);
    assert_int_equal(report.tokens, TEXT_CONTEXT - 4);
    bt_end_ids_finish(&ids);
    bt_generator_destroy(generator);
}

static void a_prompt_without_room_is_refused(void **state)
{
    int32_t ids[TEXT_CONTEXT] = {0};
    struct bt_generation_report report;
    struct shown shown = {0};
    struct bt_diag diag = {0};
    const struct bt_generation generation = greedy(1);
    struct bt_generator *generator = make_generator();
    (void)state;
    assert_int_equal(bt_generate(generator, &generation, ids, TEXT_CONTEXT, take, &shown, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "200"));
    bt_generator_destroy(generator);
}

static enum bt_err make_some(void *context)
{
    static const int32_t ids[] = {BT_BYTES_BOS, 'a'};
    static const char *const stops[] = {"never in it"};
    struct bt_generation generation = greedy(8);
    struct bt_generation_report report;
    struct bt_generator *generator = NULL;
    struct bt_diag diag = {0};
    generation.stops = stops;
    generation.stop_count = 1;
    *(struct shown *)context = (struct shown){0};
    enum bt_err err = bt_generator_create(text_world.engine, text_world.tokenizer, text_world.shape.vocab, TEXT_CONTEXT,
                                          &generator, &diag);
    if (!err)
        err = bt_generate(generator, &generation, ids, 2, take, context, &report, &diag);
    bt_generator_destroy(generator);
    return err;
}

static void every_allocation_fails(void **state)
{
    struct shown shown;
    (void)state;
    bt_infer_cut(text_world.engine, 0);
    test_every_allocation_fails(make_some, &shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_text_is_that_of_the_logits), cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(the_cache_is_gone_on_with),         cmocka_unit_test(ends),
        cmocka_unit_test(a_prompt_without_room_is_refused),  cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, text_world_setup, text_world_teardown);
}
