/* Stop strings: the same text is shown wherever pieces are cut, and nothing of what ends it. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "text/stop_strings.h"

/* What is shown of a text that comes in pieces of `step` bytes. */
static char *shown(const char *text, size_t step, const char *const *strings, size_t count, bool *ret_stopped)
{
    struct bt_stop_strings stop = {.strings = strings, .count = count};
    const size_t size = strlen(text);
    char *all = calloc(1, size + 1);
    const char *part;
    size_t length;
    for (size_t i = 0; i < size && !stop.stopped; i += step) {
        assert_true(bt_stop_strings_push(&stop, text + i, size - i < step ? size - i : step, &part, &length));
        strncat(all, part, length);
    }
    if (!stop.stopped) {
        bt_stop_strings_end(&stop, &part, &length);
        if (length)
            strncat(all, part, length);
    }
    *ret_stopped = stop.stopped;
    bt_stop_strings_finish(&stop);
    return all;
}

static void cuts_do_not_matter(void **state)
{
    static const char *const user[] = {"\nUser:"}, *const overlap[] = {"abcd", "bc"}, *const twice[] = {"aab"};
    static const struct {
        const char *text;
        const char *const *strings;
        size_t count;
        const char *want;
        bool stopped;
    } cases[] = {
        {"Hello\nUser: hi", user, 1, "Hello", true},
        {"Hello\nUse", user, 1, "Hello\nUse", false},
        {"\n\n\nUser:", user, 1, "\n\n", true},
        {"xaaab", twice, 1, "xa", true},
        {"xabce", overlap, 2, "xa", true},
        {"xabcd", overlap, 2, "x", true},
        {"xabc", overlap, 2, "xa", true},
        {"", user, 1, "", false},
        {"no end", NULL, 0, "no end", false},
    };
    (void)state;
    for (size_t c = 0; c < BT_ARRAY_LEN(cases); c++)
        for (size_t step = 1; step <= 8; step++) {
            bool stopped;
            char *got = shown(cases[c].text, step, cases[c].strings, cases[c].count, &stopped);
            if (strcmp(got, cases[c].want) || stopped != cases[c].stopped)
                fail_msg("\"%s\" in steps of %zu: shown \"%s\", stopped %d", cases[c].text, step, got, stopped);
            free(got);
        }
}

/* What cannot become a stop string is shown at once. */
static void nothing_is_held_longer_than_needed(void **state)
{
    static const char *const strings[] = {"END"};
    struct bt_stop_strings stop = {.strings = strings, .count = 1};
    const char *part;
    size_t length;
    (void)state;
    assert_true(bt_stop_strings_push(&stop, "one", 3, &part, &length));
    assert_int_equal(length, 3);
    assert_true(bt_stop_strings_push(&stop, "E", 1, &part, &length));
    assert_int_equal(length, 0);
    assert_true(bt_stop_strings_push(&stop, "x", 1, &part, &length));
    assert_int_equal(length, 2);
    assert_memory_equal(part, "Ex", 2);
    bt_stop_strings_finish(&stop);
}

static enum bt_err push_all(void *context)
{
    static const char *const strings[] = {"END"};
    struct bt_stop_strings stop = {.strings = strings, .count = 1};
    const char *part;
    size_t length;
    bool done = true;
    (void)context;
    for (int i = 0; i < 4 && done; i++)
        done = bt_stop_strings_push(&stop, "some text EN", 12, &part, &length);
    bt_stop_strings_finish(&stop);
    return done ? BT_OK : BT_ENOMEM;
}

static void every_allocation_fails(void **state)
{
    (void)state;
    test_every_allocation_fails(push_all, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_do_not_matter),
        cmocka_unit_test(nothing_is_held_longer_than_needed),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
