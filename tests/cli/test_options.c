/* tools/options: every kind of option, in both spellings, and what is said of wrong ones. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "options.h"

#define MAX_ARGUMENTS 16

struct values { /* where the options below put what they read */
    bool flag;
    const char *text, *choice;
    uint64_t number;
    const char *kept[MAX_ARGUMENTS];
    struct bt_option_list list;
};

struct parsed {
    struct values values;
    const char *operands[MAX_ARGUMENTS];
    struct bt_command_line line;
    struct bt_diag diag;
};

/* words: arguments separated by single spaces; "" is none. */
static enum bt_err parse(const char *words, struct parsed *p)
{
    static char name[] = "program", buffer[256];
    char *argv[MAX_ARGUMENTS] = {name};
    int argc = 1;
    *p = (struct parsed){.values = {.text = "default", .number = 7}};
    p->values.list.values = p->values.kept;
    p->line.operands = p->operands;
    snprintf(buffer, sizeof buffer, "%s", words);
    for (char *word = strtok(buffer, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    const struct bt_option options[] = {
        {"dry-run", NULL, BT_OPTION_FLAG, &p->values.flag, 0, "a flag"},
        {"config", "FILE", BT_OPTION_TEXT, &p->values.text, 0, "a text"},
        {"resume", "auto|never|required", BT_OPTION_CHOICE, &p->values.choice, 0, "a choice"},
        {"threads", "N", BT_OPTION_NUMBER, &p->values.number, 1, "a number"},
        {"set", "KEY=VALUE", BT_OPTION_LIST, &p->values.list, 0, "a list"},
    };
    const struct bt_program program = {.name = name, .options = options, .option_count = BT_ARRAY_LEN(options)};
    return bt_options_parse(&program, argc, argv, &p->line, &p->diag);
}

static void refuses(const char *words, const char *sentence)
{
    struct parsed p;
    assert_int_equal(parse(words, &p), BT_EUSAGE);
    if (strcmp(p.diag.text, sentence) != 0)
        fail_msg("%s\nsays: %s\nexpected: %s", words, p.diag.text, sentence);
}

static void test_all_kinds(void **state)
{
    static const char *const spellings[] = {
        "--dry-run --config=a.yaml --resume=never --threads=12 --set=a.b=1 one --set=c= --quiet two",
        "--dry-run --config a.yaml --resume never --threads 12 --set a.b=1 one --set c= --quiet two",
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(spellings); i++) {
        struct parsed p;
        assert_int_equal(parse(spellings[i], &p), BT_OK);
        assert_true(p.values.flag && p.line.quiet && !p.line.help && !p.line.version);
        assert_string_equal(p.values.text, "a.yaml");
        assert_string_equal(p.values.choice, "never");
        assert_int_equal(p.values.number, 12);
        assert_int_equal(p.values.list.count, 2);
        assert_string_equal(p.values.kept[0], "a.b=1");
        assert_string_equal(p.values.kept[1], "c=");
        assert_int_equal(p.line.operand_count, 2);
        assert_string_equal(p.operands[1], "two");
    }
}

static void test_absent_and_repeated(void **state)
{
    struct parsed p;
    (void)state;
    assert_int_equal(parse("", &p), BT_OK);
    assert_true(!p.values.flag && !p.values.choice && p.values.number == 7);
    assert_string_equal(p.values.text, "default");
    assert_int_equal(parse("--config=a --config b --threads=1 --threads=18446744073709551615", &p), BT_OK);
    assert_string_equal(p.values.text, "b");
    assert_true(p.values.number == UINT64_MAX);
}

/* A value may look like an option, and after "--" nothing is one. */
static void test_dashes(void **state)
{
    struct parsed p;
    (void)state;
    assert_int_equal(parse("--config --threads -- --dry-run -x", &p), BT_OK);
    assert_string_equal(p.values.text, "--threads");
    assert_false(p.values.flag);
    assert_int_equal(p.line.operand_count, 2);
    assert_int_equal(parse("-", &p), BT_OK); /* by custom: standard input */
    assert_int_equal(p.line.operand_count, 1);
}

static void test_help_comes_first(void **state)
{
    struct parsed p;
    (void)state;
    assert_int_equal(parse("--help --nonsense", &p), BT_OK);
    assert_true(p.line.help);
    assert_int_equal(parse("--version --nonsense", &p), BT_OK);
    assert_true(p.line.version);
}

static void test_refusals(void **state)
{
    (void)state;
    refuses("--thread=1", "unknown option \"--thread\"; did you mean \"--threads\"?");
    refuses("--qiuet", "unknown option \"--qiuet\"; did you mean \"--quiet\"?");
    refuses("--zzzzzzzz=1", "unknown option \"--zzzzzzzz\"; --help lists them all");
    refuses("-t", "unknown option \"-t\"; options are long, --help lists them all");
    refuses("--dry-run=1", "--dry-run takes no value");
    refuses("--config", "--config needs a value: FILE");
    refuses("--resume=maybe", "--resume: found \"maybe\", expected one of auto|never|required");
    refuses("--resume=aut", "--resume: found \"aut\", expected one of auto|never|required");
    refuses("--threads=0", "--threads: found \"0\", expected a whole number of at least 1");
    refuses("--threads=", "--threads: found \"\", expected a whole number of at least 1");
    refuses("--threads=+4", "--threads: found \"+4\", expected a whole number of at least 1");
    refuses("--threads=4x", "--threads: found \"4x\", expected a whole number of at least 1");
    refuses("--threads=18446744073709551616",
            "--threads: found \"18446744073709551616\", expected a whole number of at least 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds), cmocka_unit_test(test_absent_and_repeated),
        cmocka_unit_test(test_dashes),    cmocka_unit_test(test_help_comes_first),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
