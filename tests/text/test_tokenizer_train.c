/* text/tokenizer_train: files that open and give every text back, the same for any number of threads, and what is said
 * when it cannot be done. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/json.h"
#include "text/separators.h"
#include "text/tokenizer_train.h"

static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                    "generation_config.json"};
static const char *const bos_and_eos[] = {"<|bos|>", "<|eos|>"};
static char *folder, *first, *second;

/* Documents of made-up words, among them digits, accents, characters of four bytes and runs of spaces. */
static void write_texts(const char *path, uint64_t seed, size_t documents)
{
    static const char *const parts[] = {
        "the ",  "tok",  "en ", "12", "34 5", "\xc3\xa9t\xc3\xa9 ", "\\n\\n",      "   ",
        "don't", " we'", "ll ", ", ", "!? ",  "\xf0\x9f\x98\x80",   "\xe4\xb8\xad"};
    const uint64_t key = bt_rng_key(seed, "texts");
    uint64_t draw = 0;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < documents; i++) {
        fputs("{\"text\":\"", file);
        for (uint64_t k = bt_rng_below(key, draw++, 60); k > 0; k--)
            fputs(parts[bt_rng_below(key, draw++, BT_ARRAY_LEN(parts))], file);
        fputs("\"}\n", file);
    }
    assert_int_equal(fclose(file), 0);
}

static int make_world(void **state)
{
    (void)state;
    folder = test_make_dir();
    first = strdup(test_format("%s/first.jsonl", folder));
    second = strdup(test_format("%s/second.jsonl", folder));
    write_texts(first, 1, 300);
    write_texts(second, 2, 200);
    return 0;
}

static int finish_world(void **state)
{
    (void)state;
    test_remove_dir(folder);
    free(first);
    free(second);
    return 0;
}

static struct bt_tokenizer_training training_for(const char *const *inputs, size_t count, const char *out)
{
    return (struct bt_tokenizer_training){
        .text = {.inputs = inputs, .input_count = count, .key = "text", .threads = 2},
        .pattern = bt_word_pattern_find("llama3"),
        .special = bos_and_eos,
        .special_count = 2,
        .bos = 0,
        .eos = 1,
        .vocab_size = 300,
        .min_frequency = 2,
        .folder = out,
    };
}

static void expect_same_files(const char *one, const char *other)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(files); i++) {
        size_t size, other_size;
        unsigned char *a = test_read_file(test_format("%s/%s", one, files[i]), &size);
        unsigned char *b = test_read_file(test_format("%s/%s", other, files[i]), &other_size);
        assert_int_equal(size, other_size);
        assert_memory_equal(a, b, size);
        free(a);
        free(b);
    }
}

static void test_threads_and_order_change_no_byte(void **state)
{
    const char *const inputs[] = {first, second}, *const turned[] = {second, first};
    char *one = strdup(test_format("%s/one", folder)), *other = strdup(test_format("%s/other", folder));
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    (void)state;
    struct bt_tokenizer_training training = training_for(inputs, 2, one);
    training.text.threads = 1;
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
    assert_int_equal(report.vocab_size, 300);
    for (int threads = 2; threads <= 7; threads += 5) {
        training = training_for(turned, 2, other);
        training.text.threads = threads;
        TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
        expect_same_files(one, other);
    }
    free(one);
    free(other);
}

/* Text through the tokenizer and back. */
static void expect_round_trip(const struct bt_tokenizer *tokenizer, const char *text, size_t *ret_count)
{
    struct bt_tokenizer_scratch *scratch = NULL;
    struct bt_ids ids = {0};
    struct bt_diag diag = {""};
    char *back;
    size_t size;
    TEST_OK(bt_tokenizer_scratch_create(tokenizer, &scratch, &diag), diag);
    TEST_OK(bt_tokenizer_encode(tokenizer, scratch, text, strlen(text), false, &ids, &diag), diag);
    TEST_OK(bt_tokenizer_decode(tokenizer, ids.at, ids.count, false, &back, &size, &diag), diag);
    assert_string_equal(back, text);
    *ret_count = ids.count;
    bt_free(back);
    bt_ids_finish(&ids);
    bt_tokenizer_scratch_destroy(scratch);
}

static void test_every_pattern_opens(void **state)
{
    static const char *const patterns[] = {"llama3", "qwen2", "gpt2", "smollm"};
    static const size_t tokens_of_digits[] = {2, 5, 1, 5}; /* of "12345", each group of digits being a token or bytes */
    const char *const inputs[] = {first};
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    (void)state;
    write_texts(first, 3, 300);
    for (size_t i = 0; i < BT_ARRAY_LEN(patterns); i++) {
        struct bt_tokenizer_training training = training_for(inputs, 1, folder);
        struct bt_tokenizer *tokenizer = NULL;
        struct bt_separators separators;
        size_t count;
        training.pattern = bt_word_pattern_find(patterns[i]);
        training.vocab_size = 1000;
        TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
        TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
        assert_int_equal(bt_tokenizer_vocab_size(tokenizer), report.vocab_size);
        TEST_OK(bt_separators_choose(folder, tokenizer, NULL, NULL, &separators, &diag), diag);
        assert_true(separators.before == 0 && separators.after == 1);
        assert_true(bt_tokenizer_is_special(tokenizer, 0) && bt_tokenizer_is_special(tokenizer, 1));
        expect_round_trip(tokenizer, "the token we'll don't see: \xc3\xa9\xf0\x9f\x98\x81 <tab>\t", &count);
        expect_round_trip(tokenizer, "12345", &count);
        assert_true(count >= tokens_of_digits[i] && count <= 5);
        bt_tokenizer_close(tokenizer);
    }
    assert_null(bt_word_pattern_find("gpt4"));
}

static void test_no_special_tokens(void **state)
{
    const char *const inputs[] = {first};
    struct bt_tokenizer_training training = training_for(inputs, 1, folder);
    struct bt_tokenizer *tokenizer = NULL;
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    (void)state;
    training.special_count = 0;
    training.bos = training.eos = -1;
    training.vocab_size = 256;
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
    TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
    assert_int_equal(bt_tokenizer_vocab_size(tokenizer), 256);
    assert_int_equal(bt_tokenizer_bos(tokenizer), BT_NO_TOKEN);
    assert_int_equal(bt_tokenizer_id(tokenizer, "!"), 0);
    bt_tokenizer_close(tokenizer);
}

/* A text that is full of what special tokens look like makes no token that is spelled like one. */
static void test_special_tokens_are_not_learned(void **state)
{
    static const char *const special[] = {"token", "we"};
    const char *const inputs[] = {first};
    struct bt_tokenizer_training training = training_for(inputs, 1, folder);
    struct bt_tokenizer *tokenizer = NULL;
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    (void)state;
    training.special = special;
    training.pattern = bt_word_pattern_find("gpt2");
    training.vocab_size = 2000;
    training.min_frequency = 1;
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
    TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
    assert_int_equal(bt_tokenizer_vocab_size(tokenizer), report.vocab_size);
    assert_int_equal(bt_tokenizer_id(tokenizer, "token"), 0);
    assert_int_equal(bt_tokenizer_id(tokenizer, "we"), 1);
    bt_tokenizer_close(tokenizer);
}

/* A word of a megabyte is cut between characters and does not take long; no token is longer than what it is cut into.
 */
static void test_long_words(void **state)
{
    enum { CHARACTERS = 300000, SIZE = 9 + 3 * CHARACTERS + 3, PART = 510 };
    const char *const inputs[] = {first};
    struct bt_tokenizer_training training = training_for(inputs, 1, folder);
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    char *text = malloc(SIZE);
    (void)state;
    assert_non_null(text);
    memcpy(text, "{\"text\":\"", 9);
    for (size_t i = 0; i < CHARACTERS; i++)
        memcpy(text + 9 + 3 * i, "\xe4\xb8\xad", 3);
    memcpy(text + SIZE - 3, "\"}\n", 3);
    test_write_file(first, text, SIZE);
    free(text);
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
    assert_int_equal(report.text.done.words, (3 * CHARACTERS + PART - 1) / PART);
    assert_int_equal(report.different_words, 2); /* all pieces but the last one are alike */
    assert_int_equal(report.longest, PART);
}

static void test_errors(void **state)
{
    static const char *const letter[] = {"<|bos|>", "\xc3\xa9"};
    const char *const inputs[] = {first};
    struct bt_tokenizer_training training = training_for(inputs, 1, folder);
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    (void)state;
    training.special = letter;
    assert_int_equal(bt_tokenizer_train(&training, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "is spelled like the token of the byte 0xE9"));
    training.special = bos_and_eos;
    test_write_file(first, "{\"text\":\"\"}\n", 12);
    assert_int_equal(bt_tokenizer_train(&training, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "the inputs hold no text"));
    test_write_file(first, "{\"text\":\"a b a b\"}\n{}\n\xff\n", 24);
    assert_int_equal(bt_tokenizer_train(&training, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "first.jsonl: line 2: the object has no key \"text\""));
    training.text.skip = true;
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
    assert_int_equal(report.text.skipped, 2);
    assert_non_null(strstr(report.text.first_skipped, "first.jsonl: line 2: the object has no key"));
    assert_int_equal(report.text.done.documents, 1);
}

static enum bt_err train_small(void *context)
{
    struct bt_tokenizer_training_report report;
    struct bt_tokenizer_training training = training_for(context, 1, folder);
    training.text.threads = 1; /* the allocations come in one order */
    training.text.skip = true;
    training.vocab_size = 262;
    return bt_tokenizer_train(&training, &report, NULL);
}

static void test_every_allocation(void **state)
{
    const char *inputs[] = {first};
    (void)state;
    test_write_file(first, "{\"text\":\"abab ab\"}\nbad\n{\"text\":\"c\"}\n", 35);
    test_every_allocation_fails(train_small, inputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads_and_order_change_no_byte, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_every_pattern_opens, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_no_special_tokens, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_special_tokens_are_not_learned, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_long_words, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_errors, make_world, finish_world),
        cmocka_unit_test_setup_teardown(test_every_allocation, make_world, finish_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
