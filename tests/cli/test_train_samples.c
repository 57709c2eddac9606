/* logging.sample_interval: samples of text while a model trains, the same ones after an interruption. */
#include "train_world.h"

#include <stdlib.h>
#include <string.h>

static struct train_world world;

/* Letters of one byte each: a model of 64 ids has no room for 256. */
static const char tokenizer[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"d\":3,"
    "\"e\":4,\"f\":5,\"g\":6,\"h\":7},\"merges\":[]}}";

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

static void test_samples(void **state)
{
    (void)state;
    world_write(&world, "tiny/tokenizer.json", tokenizer);
    WORLD_RUN_WITH(&world, "--set=logging.sample_interval=2");
    world_expect(&world, 0);
    char *whole = world_records(&world, "runs/a", "sample eval");
    assert_int_equal(count_of(whole, "\"sample\""), 3 + 4);
    assert_non_null(strstr(whole, "\"text\""));

    /* Back to update 6 of stage 2. */
    world_remove(&world, "runs/a/stage2/model");
    world_remove(&world, "runs/a/stage2/checkpoints/step-00000008");
    WORLD_RUN_WITH(&world, "--set=logging.sample_interval=2");
    world_expect(&world, 0);
    char *again = world_records(&world, "runs/a", "sample eval");
    assert_string_equal(whole, again);

    /* Samples change nothing of what is trained. */
    const char *trained = world_hash(&world, WORLD_LAST_MODEL);
    world_remove(&world, "runs");
    world_run(&world);
    world_expect(&world, 0);
    assert_string_equal(trained, world_hash(&world, WORLD_LAST_MODEL));
    world_remove(&world, "runs");
    free(whole);
    free(again);
}

static void test_a_tokenizer_is_needed(void **state)
{
    (void)state;
    world_write(&world, "tiny/tokenizer.json", "{}");
    WORLD_RUN_WITH(&world, "--set=logging.sample_interval=2");
    world_expect_error(&world, 3, "tokenizer.json");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_a_tokenizer_is_needed),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
