/* text/corpus: documents as texts and as tokens, there and back; what stands in two corpora. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "text/bytes.h"
#include "text/corpus.h"

static const char source[] = "a = \"one\" | \"two\\nlines\" | 2: \"x\" b\nb = \"\"";

static struct bt_grammar *grammar(void)
{
    struct bt_grammar *made = NULL;
    struct bt_diag diag = {""};
    TEST_OK(bt_grammar_parse(source, sizeof source - 1, "g", &made, &diag), diag);
    return made;
}

static void same_documents(const struct bt_corpus *a, const struct bt_corpus *b)
{
    assert_int_equal(a->documents, b->documents);
    for (size_t i = 0; i < a->documents; i++) {
        size_t p, q;
        const char *x = bt_corpus_document(a, i, &p), *y = bt_corpus_document(b, i, &q);
        assert_int_equal(p, q);
        assert_memory_equal(x, y, p);
    }
}

static void test_documents_and_tokens(void **state)
{
    struct bt_grammar *g = grammar();
    struct bt_corpus corpus, later;
    struct bt_diag diag = {""};
    int32_t *tokens;
    size_t count, at = 0;
    (void)state;
    TEST_OK(bt_corpus_generate(g, 3, 10, 50, &corpus, &diag), diag);
    TEST_OK(bt_corpus_tokens(&corpus, &tokens, &count, &diag), diag);
    assert_int_equal(count, bt_corpus_bytes(&corpus) + 100);
    for (uint64_t i = 0; i < 50; i++) {
        char *text, back[64];
        size_t size;
        TEST_OK(bt_grammar_generate(g, 3, 10 + i, &text, &size, &diag), diag);
        assert_int_equal(tokens[at], BT_BYTES_BOS);
        assert_int_equal(tokens[at + size + 1], BT_BYTES_EOS);
        assert_int_equal(bt_bytes_decode(tokens + at, size + 2, back), size);
        assert_memory_equal(back, text, size);
        at += size + 2;
        bt_free(text);
    }
    assert_int_equal(at, count);
    TEST_OK(bt_corpus_generate(g, 3, 20, 10, &later, &diag), diag); /* documents 10 to 19 of the fifty */
    const struct bt_corpus part = {corpus.text, corpus.ends + 10, 10};
    same_documents(&part, &later);
    bt_free(tokens);
    bt_corpus_finish(&later);
    bt_corpus_finish(&corpus);
    bt_grammar_destroy(g);
}

static void test_readable_and_back(void **state)
{
    struct bt_grammar *g = grammar();
    (void)state;
    for (size_t documents = 0; documents < 5; documents++) {
        struct bt_corpus corpus, back;
        struct bt_diag diag = {""};
        char *text;
        size_t size;
        TEST_OK(bt_corpus_generate(g, 4, 0, documents, &corpus, &diag), diag);
        TEST_OK(bt_corpus_readable(&corpus, &text, &size, &diag), diag);
        TEST_OK(bt_corpus_split(text, size, &back, &diag), diag);
        same_documents(&corpus, &back);
        bt_free(text);
        bt_corpus_finish(&back);
        bt_corpus_finish(&corpus);
    }
    bt_grammar_destroy(g);
}

static void test_split_without_a_last_separator(void **state)
{
    static const char text[] = "one\n<|eos|>\n\n<|eos|>\nthree\n";
    struct bt_corpus corpus;
    size_t size;
    (void)state;
    assert_int_equal(bt_corpus_split(text, sizeof text - 1, &corpus, NULL), BT_OK);
    assert_int_equal(corpus.documents, 3);
    bt_corpus_document(&corpus, 1, &size);
    assert_int_equal(size, 0);
    const char *last = bt_corpus_document(&corpus, 2, &size);
    assert_int_equal(size, 6);
    assert_memory_equal(last, "three\n", 6);
    bt_corpus_finish(&corpus);
}

static struct bt_corpus split(const char *text)
{
    struct bt_corpus corpus;
    struct bt_diag diag = {""};
    TEST_OK(bt_corpus_split(text, strlen(text), &corpus, &diag), diag);
    return corpus;
}

static void test_probability_and_repetition(void **state)
{
    struct bt_grammar *g = grammar();
    struct bt_corpus train = split("one\n<|eos|>\nx\n<|eos|>\nx\n<|eos|>\n");
    struct bt_corpus other = split("x\n<|eos|>\ny\n<|eos|>\nx");
    double log_probability;
    size_t repeated;
    (void)state;
    assert_int_equal(train.documents, 3);
    assert_int_equal(bt_corpus_log_probability(&train, g, &log_probability, NULL), BT_OK);
    assert_true(fabs(log_probability - log(0.25 * 0.5 * 0.5)) < 1e-14);
    assert_int_equal(bt_corpus_repeated(&other, &train, &repeated, NULL), BT_OK);
    assert_int_equal(repeated, 2);
    assert_int_equal(bt_corpus_repeated(&train, &other, &repeated, NULL), BT_OK);
    assert_int_equal(repeated, 2);
    assert_int_equal(bt_corpus_log_probability(&other, g, &log_probability, NULL), BT_OK);
    assert_true(isinf(log_probability));
    bt_corpus_finish(&train);
    bt_corpus_finish(&other);
    bt_grammar_destroy(g);
}

static enum bt_err use_corpus(void *context)
{
    struct bt_corpus corpus = {0}, back = {0};
    int32_t *tokens = NULL;
    char *text = NULL;
    size_t count, size = 0, repeated;
    enum bt_err err = bt_corpus_generate(context, 1, 0, 20, &corpus, NULL);
    if (!err)
        err = bt_corpus_tokens(&corpus, &tokens, &count, NULL);
    if (!err)
        err = bt_corpus_readable(&corpus, &text, &size, NULL);
    if (!err)
        err = bt_corpus_split(text, size, &back, NULL);
    if (!err)
        err = bt_corpus_repeated(&back, &corpus, &repeated, NULL);
    bt_free(tokens);
    bt_free(text);
    bt_corpus_finish(&back);
    bt_corpus_finish(&corpus);
    return err;
}

static void test_failing_allocations(void **state)
{
    struct bt_grammar *g = grammar();
    (void)state;
    test_every_allocation_fails(use_corpus, g);
    bt_grammar_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_and_tokens),
        cmocka_unit_test(test_readable_and_back),
        cmocka_unit_test(test_split_without_a_last_separator),
        cmocka_unit_test(test_probability_and_repetition),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
