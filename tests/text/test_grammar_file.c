/* text/grammar: what is accepted as a grammar file, and what is refused with which sentence. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/grammar_graph.h"

static const char good[] = "# two heroes\n"
                           "story = tale(\"Tom\", \"his\") | 2.5: tale(\"Ann\", \"her\")\n"
                           "\n"
                           "tale(name, his) = name \" ran\" where \".\" |\n"
                           "    name \" lost \" his \" \" thing(\"hat\", his) \".\"\n"
                           "thing(what, his) = what | \"pot and \" his \" pan\"\n"
                           "where = \" home\" | 3: \" off\\t\\\"\\\\\\n\" # escapes\n";

/* What the caller gives is not terminated: an exact copy lets the sanitizers see a read past its end. */
static enum bt_err parse(const char *text, size_t size, struct bt_grammar **grammar, struct bt_diag *diag)
{
    char *copy = malloc(size + !size);
    assert_non_null(copy);
    memcpy(copy, text, size);
    const enum bt_err err = bt_grammar_parse(copy, size, "g", grammar, diag);
    free(copy);
    return err;
}

static void refuses(const char *text, const char *sentence)
{
    struct bt_grammar *grammar = NULL;
    struct bt_diag diag = {""};
    const long live = bt_alloc_live();
    if (parse(text, strlen(text), &grammar, &diag) != BT_EINPUT)
        fail_msg("not refused: %s", text);
    if (!strstr(diag.text, sentence))
        fail_msg("grammar: %s\nsays: %s\nexpected: %s", text, diag.text, sentence);
    assert_null(strchr(diag.text, '\n'));
    assert_null(grammar);
    assert_int_equal(bt_alloc_live(), live);
}

static void test_accepts(void **state)
{
    struct bt_grammar *grammar;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(parse(good, sizeof good - 1, &grammar, &diag), diag);
    assert_int_equal(bt_grammar_shortest(grammar), strlen("Tom ran home."));
    assert_int_equal(bt_grammar_longest(grammar), strlen("Tom lost his pot and his pan."));
    double got;
    const char *text = "Ann ran off\t\"\\\n.";
    TEST_OK(bt_grammar_log_probability(grammar, text, strlen(text), &got, &diag), diag);
    assert_true(fabs(got - log(2.5 / 3.5 * 0.5 * 0.75)) < 1e-12);
    bt_grammar_destroy(grammar);
    bt_grammar_destroy(NULL);
}

static void test_syntax_errors(void **state)
{
    (void)state;
    refuses("", "g:1: the file ends, expected a rule");
    refuses("# nothing\n\n", "g:3: the file ends, expected a rule");
    refuses(" a = \"x\"", "g:1: found \"a\", expected a rule, whose name begins in the first column");
    refuses("\"x\"", "g:1: found a quoted text, expected a rule");
    refuses("a\n = ", "g:2: the file ends, expected a quoted text, a parameter or a rule");
    refuses("a \"x\"", "expected \"=\" after the name of a rule");
    refuses("a = |", "g:1: found \"|\", expected a quoted text, a parameter or a rule");
    refuses("a = \"x\" |\nb = \"y\"", "g:2: found \"b\" in the first column, expected a quoted text");
    refuses("a = \"x\" = \"y\"", "g:1: found \"=\", expected \"|\", another part, or a rule");
    refuses("a = \"x\n\"", "g:1: a quoted text is not closed on its line");
    refuses("a = \"x", "g:1: a quoted text is not closed on its line");
    refuses("a = \"\\q\"", "a backslash in a quoted text is followed by");
    refuses("a = \"\\", "a backslash in a quoted text is followed by");
    refuses("a = \"x\" ; ", "g:1: found the byte 0x3b");
    refuses("a(\"x\") = \"y\"", "expected the name of a parameter");
    refuses("a(b = \"y\"", "expected \",\" or \")\" after a parameter");
    refuses("a(b,c,d,e,f,g,h,i,j) = \"y\"", "found \"j\", expected the name of a parameter, at most 8 a rule");
    refuses("a = b(c)\nb(x) = x", "found \"c\", expected a quoted text or a parameter of the rule");
    refuses("a = b(\"c\" \"d\")\nb(x) = x", "expected \",\" or \")\" after an argument");
    refuses("a(x) = x(\"y\")", "found \"(\", expected \"|\", another part");
}

static void test_weights(void **state)
{
    static const char *const bad[] = {"0", "0.0", "1.2.3", "0.00000000000000000000000000000000001"};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(bad); i++)
        refuses(test_format("a = %s: \"x\"", bad[i]), "expected a weight: a decimal number above 0");
    refuses("a = 3 \"x\"", "expected \":\" after a weight");
    refuses("a = -1: \"x\"", "found the byte 0x2d");
}

static void test_meaning_errors(void **state)
{
    (void)state;
    refuses("a = b", "g:1: \"b\" is neither a rule nor a parameter");
    refuses("a = \"x\"\na = \"y\"", "g:2: the rule \"a\" stands already on line 1");
    refuses("a = \"x\"\nb = \"y\"", "g:2: the rule \"b\" is never used from \"a\"");
    refuses("a = b(\"x\")\nb = \"y\"", "\"b\" is given 1 arguments, but line 2 gives it 0 parameters");
    refuses("a = b\nb(x) = x", "\"b\" is given 0 arguments, but line 2 gives it 1 parameters");
    refuses("a(x) = x", "the first rule is the source of all texts and takes no parameters");
    refuses("a = \"x\" a", "g:1: the rule \"a\" contains itself");
    refuses("a = \"x\" b\nb = \"y\" |\n c\nc = b", "g:4: the rule \"b\" contains itself");
    refuses("a = b(\"x\")\nb(x) = x b(\"y\")", "g:2: the rule \"b\" contains itself");
}

static void test_alternatives_that_begin_alike(void **state)
{
    (void)state;
    refuses("a = \"x\" | \"x\"", "cannot be told apart from the left");
    refuses("a = \"x\" |\n \"y\" |\n \"xy\"",
            "g:3: this alternative and the one on line 1 (number 3 and 1 of their rule)");
    refuses("a = \"\" | \"x\"", "cannot be told apart from the left");
    refuses("a = b \"c\" | \"abc\"\nb = \"a\" | \"ab\"", "cannot be told apart from the left"); /* in b already */
    refuses("a = b \"c\" | \"abc\"\nb = \"ab\" | \"ac\"", "cannot be told apart from the left");
    refuses("a = b b | \"xyxz\"\nb = \"x\" c\nc = \"y\" | \"z\"", "cannot be told apart from the left");
    refuses("a = f(\"x\") | f(\"xy\")\nf(t) = t \"y\" | t \"z\" | \"w\"", "cannot be told apart from the left");
    refuses("a = f(\"x\") f(\"x\")\nf(t) = t | \"x\"", "cannot be told apart from the left");
}

/* A rule that doubles its text at every level: 2^n bytes, and with an empty text 2^n steps. */
static void test_growth(void **state)
{
    char text[4096];
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        size_t size = 0;
        for (int i = 0; i < 40; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "a%d = a%d a%d\n", i, i + 1, i + 1);
        snprintf(text + size, sizeof text - size, "a40 = \"%s\"\n", empty ? "" : "x");
        refuses(text, "a text can be longer than");
    }
}

/* Eight parameters of eight values each would be 2^24 rules. */
static void test_too_many_instances(void **state)
{
    char text[8192];
    size_t size = (size_t)snprintf(text, sizeof text, "s = r0(\"0\",\"0\",\"0\",\"0\",\"0\",\"0\",\"0\",\"0\")\n");
    (void)state;
    for (int i = 0; i < 8; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "r%d(a,b,c,d,e,f,g,h) = ", i);
        for (int value = 0; value < 8; value++) {
            size +=
                (size_t)snprintf(text + size, sizeof text - size, "%s\"%d\" r%d(", value ? " | " : "", value, i + 1);
            for (int p = 0; p < 8; p++)
                size += p == i ? (size_t)snprintf(text + size, sizeof text - size, "%s\"%d\"", p ? "," : "", value)
                               : (size_t)snprintf(text + size, sizeof text - size, "%s%c", p ? "," : "", 'a' + p);
            size += (size_t)snprintf(text + size, sizeof text - size, ")");
        }
        size += (size_t)snprintf(text + size, sizeof text - size, "\n");
    }
    snprintf(text + size, sizeof text - size, "r8(a,b,c,d,e,f,g,h) = a b c d e f g h\n");
    refuses(text, "with its parameters filled in, the grammar has more than");
}

/* Left-nested rules keep many readers in play; the check gives up in time. */
static void test_entangled(void **state)
{
    char text[4096];
    size_t size = 0;
    (void)state;
    for (int i = 0; i < 24; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "a%d = a%d \"x\" | a%d \"y\"\n", i, i + 1, i + 1);
    snprintf(text + size, sizeof text - size, "a24 = \"x\" | \"y\"\n");
    refuses(text, "telling the alternatives of this rule apart takes more than");
}

static void test_every_prefix(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof good; n++) {
        struct bt_grammar *grammar = NULL;
        struct bt_diag diag = {""};
        const enum bt_err err = parse(good, n, &grammar, &diag);
        assert_true(err == BT_OK || (err == BT_EINPUT && diag.text[0] && !strchr(diag.text, '\n')));
        bt_grammar_destroy(err ? NULL : grammar);
    }
}

/* Every byte replaced by each of a choice of others: it parses, or there is one sentence. */
static void test_corruptions(void **state)
{
    static const char others[] = {'\0', '\n', '"', '\\', '(', ')', ',', '|', '=', ':', '#', '9', 'a', ' ', '\xff'};
    (void)state;
    for (size_t i = 0; i < sizeof good - 1; i++)
        for (size_t j = 0; j < sizeof others; j++) {
            char text[sizeof good];
            struct bt_grammar *grammar = NULL;
            struct bt_diag diag = {""};
            memcpy(text, good, sizeof text);
            text[i] = others[j];
            const enum bt_err err = parse(text, sizeof text - 1, &grammar, &diag);
            assert_true(err == BT_OK || (err == BT_EINPUT && diag.text[0] && !strchr(diag.text, '\n')));
            bt_grammar_destroy(err ? NULL : grammar);
        }
}

static enum bt_err use_grammar(void *context)
{
    struct bt_grammar *grammar = NULL;
    char *text;
    size_t size;
    double log_probability;
    (void)context;
    enum bt_err err = bt_grammar_parse(good, sizeof good - 1, "g", &grammar, NULL);
    if (err)
        return err;
    if (!(err = bt_grammar_generate(grammar, 1, 2, &text, &size, NULL))) {
        err = bt_grammar_log_probability(grammar, text, size, &log_probability, NULL);
        bt_free(text);
    }
    bt_grammar_destroy(grammar);
    return err;
}

static void test_failing_allocations(void **state)
{
    (void)state;
    test_every_allocation_fails(use_grammar, NULL);
}

static void test_read(void **state)
{
    char *folder = test_make_dir();
    const char *path = test_format("%s/g", folder);
    struct bt_grammar *grammar;
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(bt_grammar_read(path, &grammar, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, path));
    test_write_file(path, good, sizeof good - 1);
    TEST_OK(bt_grammar_read(path, &grammar, &diag), diag);
    bt_grammar_destroy(grammar);
    test_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_meaning_errors),
        cmocka_unit_test(test_alternatives_that_begin_alike),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_too_many_instances),
        cmocka_unit_test(test_entangled),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_corruptions),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
