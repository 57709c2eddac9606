/* data/: the shipped grammar, and the tokenizer beside the quickstart's model, which was made from its stories. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"
#include "text/corpus.h"
#include "text/grammar.h"
#include "text/grammar_graph.h"
#include "text/tokenizer_train.h"
#include "text/trigram.h"

static struct bt_grammar *stories(void)
{
    struct bt_grammar *grammar = NULL;
    struct bt_diag diag = {""};
    TEST_OK(bt_grammar_read(BT_SOURCE_DIR "/data/stories.grammar", &grammar, &diag), diag);
    return grammar;
}

static void test_entropy_and_length(void **state)
{
    struct bt_grammar *grammar = stories();
    const double per_byte = bt_grammar_entropy(grammar) / bt_grammar_mean_length(grammar);
    (void)state;
    assert_true(per_byte >= 0.3 && per_byte <= 0.8);
    assert_true(bt_grammar_shortest(grammar) >= 100 && bt_grammar_longest(grammar) <= 150);
    bt_grammar_destroy(grammar);
}

/* Of each document: the probability of its text is the product of the choices that made it. And their mean is the
 * entropy, within four standard errors. */
static void test_documents_have_their_probability(void **state)
{
    const size_t n = 5000;
    struct bt_grammar *grammar = stories();
    double sum = 0.0, squares = 0.0, bytes = 0.0;
    (void)state;
    for (size_t i = 0; i < n; i++) {
        char *text;
        size_t size;
        double derived, scored;
        struct bt_diag diag = {""};
        TEST_OK(bt_grammar_derive(grammar, 5, i, &text, &size, &derived, &diag), diag);
        TEST_OK(bt_grammar_log_probability(grammar, text, size, &scored, &diag), diag);
        assert_true(fabs(derived - scored) <= 1e-12 * fabs(derived));
        sum -= scored;
        squares += scored * scored;
        bytes += (double)size;
        bt_free(text);
    }
    const double mean = sum / (double)n, deviation = sqrt(squares / (double)n - mean * mean);
    assert_true(fabs(mean - bt_grammar_entropy(grammar)) <= 4.0 * deviation / sqrt((double)n));
    assert_true(fabs(bytes / (double)n - bt_grammar_mean_length(grammar)) <= 1.0);
    bt_grammar_destroy(grammar);
}

/* A trigram model of 4000 stories stays 0.3 nats a label and more above the source on 500 others. */
static void test_a_trigram_is_not_enough(void **state)
{
    struct bt_grammar *grammar = stories();
    struct bt_corpus train, validation;
    struct bt_trigram *trigram;
    struct bt_diag diag = {""};
    int32_t *train_tokens, *tokens;
    size_t train_count, count;
    double log_probability;
    (void)state;
    TEST_OK(bt_corpus_generate(grammar, 5, 0, 4000, &train, &diag), diag);
    TEST_OK(bt_corpus_generate(grammar, 5, 1000000, 500, &validation, &diag), diag);
    TEST_OK(bt_corpus_tokens(&train, &train_tokens, &train_count, &diag), diag);
    TEST_OK(bt_corpus_tokens(&validation, &tokens, &count, &diag), diag);
    TEST_OK(bt_trigram_create(train_tokens, train_count, BT_BYTES_VOCAB, BT_BYTES_BOS, &trigram, &diag), diag);
    TEST_OK(bt_corpus_log_probability(&validation, grammar, &log_probability, &diag), diag);
    const double source = -log_probability / (double)(count - 1);
    assert_true(bt_trigram_loss(trigram, train_tokens, train_count) > source + 0.3);
    assert_true(bt_trigram_loss(trigram, tokens, count) > source + 0.3);
    bt_trigram_destroy(trigram);
    bt_free(tokens);
    bt_free(train_tokens);
    bt_corpus_finish(&validation);
    bt_corpus_finish(&train);
    bt_grammar_destroy(grammar);
}

/* The agreement that the rules' parameters are for: one name a story, and its own pronouns. */
static void test_names_and_pronouns_agree(void **state)
{
    static const char *const names[] = {"Tom", "Sam", "Leo", "Max", "Bob", "Ian",
                                        "Ann", "Mia", "Eve", "Zoe", "Kim", "Joy"};
    struct bt_grammar *grammar = stories();
    (void)state;
    for (uint64_t i = 0; i < 500; i++) {
        char *text;
        size_t size, present = 0, hero = 0;
        assert_int_equal(bt_grammar_generate(grammar, 6, i, &text, &size, NULL), BT_OK);
        for (size_t k = 0; k < BT_ARRAY_LEN(names); k++)
            if (strstr(text, test_format(" %s ", names[k]))) {
                present++;
                hero = k;
            }
        assert_int_equal(present, 1);
        assert_non_null(strstr(text, hero < 6 ? ". He " : ". She "));
        assert_null(strstr(text, hero < 6 ? ". She " : ". He "));
        assert_null(strstr(text, hero < 6 ? " her " : " his "));
        bt_free(text);
    }
    bt_grammar_destroy(grammar);
}

/* The training text of tools/quickstart: what `bitnet-data generate --seed 1 --documents 12000` writes. */
static void write_stories(const char *path)
{
    struct bt_grammar *grammar = stories();
    struct bt_corpus corpus;
    struct bt_diag diag = {""};
    char *text;
    size_t size;
    TEST_OK(bt_corpus_generate(grammar, 1, 0, 12000, &corpus, &diag), diag);
    TEST_OK(bt_corpus_readable(&corpus, &text, &size, &diag), diag);
    test_write_file(path, text, size);
    bt_free(text);
    bt_corpus_finish(&corpus);
    bt_grammar_destroy(grammar);
}

static void expect_shipped(const char *folder, const char *name)
{
    size_t made_size, kept_size;
    unsigned char *made = test_read_file(test_format("%s/%s", folder, name), &made_size);
    unsigned char *kept = test_read_file(test_format(BT_SOURCE_DIR "/data/model/%s", name), &kept_size);
    assert_int_equal(made_size, kept_size);
    assert_memory_equal(made, kept, made_size);
    free(made);
    free(kept);
}

/* The command in data/README.md makes the shipped files again, to the byte. */
static void test_the_shipped_tokenizer_is_made_from_the_stories(void **state)
{
    static const char *const special[] = {"<|bos|>", "<|eos|>"};
    char *folder = test_make_dir(), *path = strdup(test_format("%s/stories-train.txt", folder));
    const struct bt_tokenizer_training training = {
        .text = {.inputs = (const char *const[]){path}, .input_count = 1, .separator = "<|eos|>", .threads = 2},
        .pattern = bt_word_pattern_find("llama3"),
        .special = special,
        .special_count = 2,
        .bos = 0,
        .eos = 1,
        .vocab_size = 512,
        .min_frequency = 2,
        .folder = folder,
    };
    struct bt_tokenizer_training_report report;
    struct bt_diag diag = {""};
    (void)state;
    write_stories(path);
    TEST_OK(bt_tokenizer_train(&training, &report, &diag), diag);
    expect_shipped(folder, "tokenizer.json");
    expect_shipped(folder, "tokenizer_config.json");
    expect_shipped(folder, "special_tokens_map.json");
    expect_shipped(folder, "generation_config.json");
    free(path);
    test_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entropy_and_length),
        cmocka_unit_test(test_documents_have_their_probability),
        cmocka_unit_test(test_a_trigram_is_not_enough),
        cmocka_unit_test(test_names_and_pronouns_agree),
        cmocka_unit_test(test_the_shipped_tokenizer_is_made_from_the_stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
