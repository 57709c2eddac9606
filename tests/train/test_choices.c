/* Multiple choice against sums of log p that are made from the logits of whole texts. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"
#include "text_world.h"
#include "train/choices.h"

struct seen {
    double sums[8][4];
    size_t endings[8];
};

static void see(void *context, uint64_t item, const double *sums, size_t endings)
{
    struct seen *seen = context;
    memcpy(seen->sums[item], sums, endings * sizeof *sums);
    seen->endings[item] = endings;
}

static enum bt_err run(const char *text, struct seen *seen, struct bt_choices_result *result, struct bt_diag *diag)
{
    const char *path = test_format("%s/items.jsonl", text_world.dir);
    const struct bt_choices_options options = {.engine = text_world.engine,
                                               .compute = &text_world.compute,
                                               .tokenizer = text_world.tokenizer,
                                               .vocab = text_world.shape.vocab,
                                               .context = TEXT_CONTEXT,
                                               .before = BT_BYTES_BOS,
                                               .delimiter = " "};
    test_write_file(path, text, strlen(text));
    return bt_choices_run(path, &options, seen ? see : NULL, seen, result, diag);
}

/* log p of " ending" behind BOS and the context. */
static double by_hand(const char *context, const char *ending)
{
    const char *text = test_format("%s %s", context, ending);
    const size_t begin = 1 + strlen(context), n = 1 + strlen(text), vocab = text_world.shape.vocab;
    int32_t ids[TEXT_CONTEXT] = {BT_BYTES_BOS};
    double sum = 0.0;
    for (size_t i = 1; i < n; i++)
        ids[i] = (unsigned char)text[i - 1];
    float *logits = text_world_logits(ids, n);
    for (size_t i = begin; i < n; i++) {
        const float *z = logits + (i - 1) * vocab;
        double all = 0.0;
        for (size_t v = 0; v < vocab; v++)
            all += exp((double)z[v] - (double)z[ids[i]]);
        sum -= log(all);
    }
    free(logits);
    return sum;
}

static void sums_are_those_of_the_logits(void **state)
{
    static const struct {
        const char *context, *endings[3];
    } items[] = {{"the sky is", {"blue", "a fish that swims", "up"}}, {"x", {"yz", "y", "zzzz"}}};
    char text[1024] = "";
    struct seen seen = {0};
    struct bt_choices_result result;
    struct bt_diag diag = {0};
    size_t right = 0, by_length = 0;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const size_t it = i / 2;
        const char *const *e = items[it].endings;
        strcat(text, test_format("{\"context\": \"%s\", \"endings\": [\"%s\", \"%s\", \"%s\"], \"label\": %zu}\n",
                                 items[it].context, e[0], e[1], e[2], i % 2));
    }
    TEST_OK(run(text, &seen, &result, &diag), diag);
    for (size_t i = 0; i < 4; i++) {
        const size_t it = i / 2;
        size_t best = 0, best_share = 0;
        double share[3];
        assert_int_equal(seen.endings[i], 3);
        for (size_t e = 0; e < 3; e++) {
            const double want = by_hand(items[it].context, items[it].endings[e]);
            if (!(fabs(seen.sums[i][e] - want) <= 1e-4 * fabs(want)))
                fail_msg("item %zu, ending %zu: %.9g, expected %.9g", i, e, seen.sums[i][e], want);
            share[e] = seen.sums[i][e] / (double)strlen(items[it].endings[e]);
            best = seen.sums[i][e] > seen.sums[i][best] ? e : best;
            best_share = share[e] > share[best_share] ? e : best_share;
        }
        right += best == i % 2;
        by_length += best_share == i % 2;
    }
    assert_int_equal(result.items, 4);
    assert_int_equal(result.right, right);
    assert_int_equal(result.right_by_length, by_length);
}

static void wrong_items_are_named(void **state)
{
    static const char good[] = "{\"context\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":1}\n";
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"{\"endings\":[\"b\",\"c\"],\"label\":1}", "context"},
        {"{\"context\":\"a\",\"endings\":[\"b\"],\"label\":0}", "endings"},
        {"{\"context\":\"a\",\"endings\":\"b\",\"label\":0}", "endings"},
        {"{\"context\":\"a\",\"endings\":[\"b\",\"\"],\"label\":0}", "empty"},
        {"{\"context\":\"a\",\"endings\":[\"b\",3],\"label\":0}", "empty"},
        {"{\"context\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":2}", "label"},
        {"{\"context\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":0.5}", "label"},
        {"{\"context\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":-1}", "label"},
        {"{\"context\":\"a\",\"endings\":[\"b\",\"c\"]}", "label"},
        {"[]", "context"},
        {"{", "JSON"},
    };
    struct bt_choices_result result;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag = {0};
        assert_int_equal(run(test_format("%s%s\n", good, cases[i].line), NULL, &result, &diag), BT_EINPUT);
        if (!strstr(diag.text, "line 2") || !strstr(diag.text, cases[i].part))
            fail_msg("%s: said \"%s\"", cases[i].line, diag.text);
    }
    struct bt_diag diag = {0};
    assert_int_equal(run("", NULL, &result, &diag), BT_EINPUT);
    char line[512] = "{\"context\":\"";
    memset(line + strlen(line), 'x', TEXT_CONTEXT);
    strcat(line, "\",\"endings\":[\"b\",\"c\"],\"label\":1}\n");
    assert_int_equal(run(line, NULL, &result, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "do not fit"));
}

static enum bt_err run_once(void *context)
{
    struct bt_choices_result result;
    struct bt_diag diag = {0};
    (void)context;
    return run("{\"context\":\"a\",\"endings\":[\"b\",\"c\"],\"label\":1}\n", NULL, &result, &diag);
}

static void every_allocation_fails(void **state)
{
    (void)state;
    test_every_allocation_fails(run_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_the_logits),
        cmocka_unit_test(wrong_items_are_named),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, text_world_setup, text_world_teardown);
}
