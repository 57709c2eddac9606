/* text/tokenizer_train against the trainer of Hugging Face's own library: the same merges in the same order, of texts
 * made afresh and of real ones. BT_COMPARE_SEED is the seed that a run printed.
 * test_compare_training FOLDER      where the npm package is, or is installed */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fresh_texts.h"
#include "peer.h"
#include "text/tokenizer_train.h"

#define FRESH_TEXTS 4000
#define VOCABULARY  29000 /* below the 30000 at which the other trainer stops */

static struct peer *peer;
static uint64_t seed;

static void need_peer(void)
{
    if (!peer)
        skip();
}

/* The other trainer reads a file line by line, so each line with its end becomes a document. */
static void write_lines_as_documents(const char *text, size_t size, const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (const char *line = text, *end; line < text + size; line = end) {
        const char *newline = memchr(line, '\n', (size_t)(text + size - line));
        end = newline ? newline + 1 : text + size;
        json_t *document = json_pack("{s:o}", "text", json_stringn(line, (size_t)(end - line)));
        char *json = bt_json_text(document, 0);
        assert_non_null(json);
        fprintf(file, "%s\n", json);
        bt_free(json);
        json_decref(document);
    }
    assert_int_equal(fclose(file), 0);
}

/* The merges of a tokenizer.json, each as "left right". */
static json_t *read_merges(const char *path)
{
    json_t *tokenizer, *merges = json_array(), *merge;
    struct bt_diag diag;
    size_t i;
    TEST_OK(bt_json_read(path, &tokenizer, &diag), diag);
    json_array_foreach(json_object_get(json_object_get(tokenizer, "model"), "merges"), i, merge)
    {
        json_t *text = json_is_array(merge) ? json_sprintf("%s %s", json_string_value(json_array_get(merge, 0)),
                                                           json_string_value(json_array_get(merge, 1)))
                                            : json_incref(merge);
        assert_int_equal(json_array_append_new(merges, text), 0);
    }
    json_decref(tokenizer);
    return merges;
}

static void train_ours(const char *documents)
{
    const struct bt_tokenizer_training training = {
        .text = {.inputs = &documents, .input_count = 1, .key = "text", .threads = 2},
        .pattern = bt_word_pattern_find("gpt2"),
        .bos = -1,
        .eos = -1,
        .vocab_size = VOCABULARY,
        .min_frequency = 1,
        .folder = test_dir,
    };
    struct bt_tokenizer_training_report report;
    struct bt_diag diag;
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
}

static void compare(const char *name, const char *text, size_t size)
{
    char *plain = strdup(test_format("%s/a.txt", test_dir)), *documents = strdup(test_format("%s/a.jsonl", test_dir));
    char *theirs = strdup(test_format("%s/theirs.json", test_dir));
    test_write_file(plain, text, size);
    write_lines_as_documents(text, size, documents);
    train_ours(documents);
    json_decref(peer_ask(peer, json_pack("{s:s, s:s}", "train", plain, "save", theirs)));
    json_t *got = read_merges(test_format("%s/tokenizer.json", test_dir)), *want = read_merges(theirs);
    const size_t count = json_array_size(got);
    assert_true(count > 100);
    for (size_t i = 0; i < count; i++)
        if (!json_equal(json_array_get(got, i), json_array_get(want, i)))
            fail_msg("%s: merge %zu is \"%s\", expected \"%s\"; BT_COMPARE_SEED=%llu repeats this", name, i,
                     json_string_value(json_array_get(got, i)), json_string_value(json_array_get(want, i)),
                     (unsigned long long)seed);
    if (count < VOCABULARY - 256) /* no pair was left */
        assert_int_equal(json_array_size(want), count);
    print_message("%s: %zu merges, no difference\n", name, count);
    json_decref(got);
    json_decref(want);
    free(theirs);
    free(documents);
    free(plain);
}

static void test_fresh_texts(void **state)
{
    struct fresh_texts fresh;
    struct bt_buffer all = {0}, one = {0};
    (void)state;
    need_peer();
    fresh_texts_start(&fresh, seed);
    for (size_t i = 0; i < FRESH_TEXTS; i++) {
        fresh_text(&fresh, false, &one);
        for (size_t k = 0; k < one.size; k++) /* which no document may hold */
            one.at[k] = one.at[k] ? one.at[k] : ' ';
        assert_true(bt_buffer_put(&all, one.at, one.size) && bt_buffer_put(&all, "\n", 1));
    }
    compare("fresh texts", all.at, all.size);
    bt_buffer_finish(&one);
    bt_buffer_finish(&all);
    fresh_texts_finish(&fresh);
}

static void test_real_text(void **state)
{
    size_t size;
    need_peer();
    char *text = (char *)test_read_file(test_shared(*state), &size);
    compare(*state, text, size);
    free(text);
}

/* Keeps the name of the text, in whose place test_dir_setup would leave that of the folder. */
static int real_text_setup(void **state)
{
    void *folder;
    (void)state;
    return test_dir_setup(&folder);
}

#define REAL(file)                                                                                                     \
    {                                                                                                                  \
        .name = "test " file, .test_func = test_real_text, .setup_func = real_text_setup,                              \
        .teardown_func = test_dir_teardown, .initial_state = (void *)(uintptr_t) "data/text/" file                     \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fresh_texts, test_dir_setup, test_dir_teardown),
        REAL("tinyshakespeare.txt"),
        REAL("wikitext-2-raw-test.txt"),
        REAL("gutenberg-4791-fr.txt"),
        REAL("tinystories-v1-excerpt.txt"),
        REAL("grimm-fairy-tales.txt"),
        REAL("gutenberg-23950-zh.txt"),
    };
    if (argc != 2)
        return 2;
    const char *seed_text = getenv("BT_COMPARE_SEED");
    seed = seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)time(NULL);
    print_message("BT_COMPARE_SEED=%llu\n", (unsigned long long)seed);
    peer = peer_start(argv[1], true);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    peer_stop(peer);
    return failed;
}
