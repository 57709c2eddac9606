/* text/bpe_train against a second trainer that counts all pairs anew for every merge, and its corners. */
#include "support.h"

#include <string.h>

#include "base/rng.h"
#include "text/bpe_train.h"

#define SLOW_MERGES 400
#define SLOW_TOKENS 1024
#define WORD_MAX    48

/* The second trainer: ids as in the first, words as rows of them. */
struct slow {
    int32_t (*symbols)[WORD_MAX];
    int sizes[256];
    uint64_t counts[256];
    int words;
    char tokens[SLOW_TOKENS][64];
    size_t sizes_of[SLOW_TOKENS];
    int32_t token_count;
    struct bt_bpe_pair merges[SLOW_MERGES];
    size_t merge_count;
};

static void slow_start(struct slow *s, const struct bt_word_table *words, const struct bt_word_table *bytes)
{
    s->words = (int)words->count;
    for (s->token_count = 0; s->token_count < 256; s->token_count++) {
        s->tokens[s->token_count][0] = *bt_word_table_bytes(bytes, &bytes->words[s->token_count]);
        s->sizes_of[s->token_count] = 1;
    }
    for (int i = 0; i < s->words; i++) {
        const char *word = bt_word_table_bytes(words, &words->words[i]);
        s->sizes[i] = (int)words->words[i].size;
        s->counts[i] = words->words[i].count;
        for (int k = 0; k < s->sizes[i]; k++)
            for (int32_t id = 0; id < 256; id++)
                if (s->tokens[id][0] == word[k])
                    s->symbols[i][k] = id;
    }
}

static uint64_t slow_count(const struct slow *s, int32_t left, int32_t right)
{
    uint64_t count = 0;
    for (int i = 0; i < s->words; i++)
        for (int k = 1; k < s->sizes[i]; k++)
            if (s->symbols[i][k - 1] == left && s->symbols[i][k] == right)
                count += s->counts[i];
    return count;
}

/* The most frequent pair; of equals the smallest. */
static uint64_t slow_best(const struct slow *s, struct bt_bpe_pair *best)
{
    uint64_t most = 0;
    for (int i = 0; i < s->words; i++)
        for (int k = 1; k < s->sizes[i]; k++) {
            const int32_t left = s->symbols[i][k - 1], right = s->symbols[i][k];
            const uint64_t count = slow_count(s, left, right);
            if (count > most || (count == most && (left < best->left || (left == best->left && right < best->right)))) {
                most = count;
                *best = (struct bt_bpe_pair){left, right};
            }
        }
    return most;
}

static int32_t slow_token(struct slow *s, struct bt_bpe_pair pair)
{
    char bytes[128];
    const size_t left = s->sizes_of[pair.left], size = left + s->sizes_of[pair.right];
    memcpy(bytes, s->tokens[pair.left], left);
    memcpy(bytes + left, s->tokens[pair.right], size - left);
    for (int32_t id = 0; id < s->token_count; id++) /* no token comes about in two ways */
        assert_false(s->sizes_of[id] == size && !memcmp(s->tokens[id], bytes, size));
    assert_true(s->token_count < SLOW_TOKENS && size <= sizeof s->tokens[0]);
    memcpy(s->tokens[s->token_count], bytes, size);
    s->sizes_of[s->token_count] = size;
    return s->token_count++;
}

static void slow_merge(struct slow *s, struct bt_bpe_pair pair, int32_t token)
{
    for (int i = 0; i < s->words; i++) {
        int kept = 0;
        for (int k = 0; k < s->sizes[i]; k++) {
            const bool here =
                k + 1 < s->sizes[i] && s->symbols[i][k] == pair.left && s->symbols[i][k + 1] == pair.right;
            s->symbols[i][kept++] = here ? token : s->symbols[i][k];
            k += here;
        }
        s->sizes[i] = kept;
    }
}

static void slow_run(struct slow *s, int32_t tokens, uint64_t least)
{
    struct bt_bpe_pair pair = {0, 0};
    while (s->token_count < tokens && slow_best(s, &pair) >= least) {
        s->merges[s->merge_count++] = pair;
        slow_merge(s, pair, slow_token(s, pair));
    }
}

static void put_word(struct bt_word_table *words, const char *word, uint64_t count)
{
    struct bt_word *entry = bt_word_table_enter(words, word, strlen(word));
    assert_non_null(entry);
    entry->count += count;
}

/* Words of few different letters: pairs overlap themselves, and fall in number while they wait. */
static void random_words(uint64_t key, size_t count, unsigned letters, struct bt_word_table *words)
{
    uint64_t draw = 0;
    for (size_t i = 0; i < count; i++) {
        char word[WORD_MAX + 1] = "";
        const size_t size = 1 + bt_rng_below(key, draw++, WORD_MAX / 2);
        for (size_t k = 0; k < size; k++)
            word[k] = (char)('a' + bt_rng_below(key, draw++, letters));
        put_word(words, word, 1 + bt_rng_below(key, draw++, 5));
    }
}

static void compare(const struct bt_bpe_training *training)
{
    static int32_t symbols[256][WORD_MAX];
    static struct slow slow;
    struct bt_bpe_trained trained;
    struct bt_diag diag = {""};
    TEST_OK(bt_bpe_train(training, &trained, &diag), diag);
    memset(&slow, 0, sizeof slow);
    slow.symbols = symbols;
    slow_start(&slow, training->words, &trained.tokens);
    slow_run(&slow, (int32_t)training->tokens, training->min_frequency);
    assert_int_equal(trained.tokens.count, slow.token_count);
    for (size_t i = 0; i < trained.tokens.count; i++) {
        assert_int_equal(trained.tokens.words[i].size, slow.sizes_of[i]);
        assert_memory_equal(bt_word_table_bytes(&trained.tokens, &trained.tokens.words[i]), slow.tokens[i],
                            slow.sizes_of[i]);
    }
    assert_int_equal(trained.merge_count, slow.merge_count);
    assert_memory_equal(trained.merges, slow.merges, slow.merge_count * sizeof slow.merges[0]);
    bt_bpe_trained_finish(&trained);
}

static void test_against_the_slow_one(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct bt_word_table words = {0};
        random_words(bt_rng_key(seed, "words"), 1 + seed * 2, 1 + (unsigned)(seed % 4), &words);
        compare(&(struct bt_bpe_training){.words = &words, .tokens = 256 + 4 * seed, .min_frequency = 1 + seed % 5});
        bt_word_table_finish(&words);
    }
}

static const char *token_text(const struct bt_bpe_trained *trained, size_t i)
{
    const struct bt_word *token = &trained->tokens.words[i];
    return test_format("%.*s", (int)token->size, bt_word_table_bytes(&trained->tokens, token));
}

/* Worked by hand: "el" and "lo" occur 5 times, "ow" 6, "sl" 3; then "slow" is "sl" + "ow" or "s" + "low". */
static void test_by_hand(void **state)
{
    struct bt_word_table words = {0};
    struct bt_bpe_trained trained;
    struct bt_diag diag = {""};
    (void)state;
    put_word(&words, "low", 3);
    put_word(&words, "slow", 2);
    put_word(&words, "bow", 1);
    const struct bt_bpe_training training = {.words = &words, .tokens = 300, .min_frequency = 2};
    TEST_OK(bt_bpe_train(&training, &trained, &diag), diag);
    assert_int_equal(trained.tokens.count, 259);
    assert_string_equal(token_text(&trained, 256), "ow");
    assert_string_equal(token_text(&trained, 257), "low");
    assert_string_equal(token_text(&trained, 258), "slow");
    assert_int_equal(trained.merge_count, 3);
    assert_int_equal(trained.merges[1].right, 256);
    bt_bpe_trained_finish(&trained);
    bt_word_table_finish(&words);
}

/* The bytes come in the order of their letters: '!' to '~', then the Latin ones, then those without a letter. */
static void test_bytes_come_first(void **state)
{
    const struct bt_word_table none = {0};
    struct bt_bpe_trained trained;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(bt_bpe_train(&(struct bt_bpe_training){.words = &none, .tokens = 256}, &trained, &diag), diag);
    assert_int_equal(trained.tokens.count, 256);
    assert_int_equal(trained.merge_count, 0);
    static const unsigned char known[][2] = {{0, '!'}, {93, '~'}, {94, 0xa1}, {187, 0xff}, {188, 0}, {220, ' '}};
    for (size_t i = 0; i < BT_ARRAY_LEN(known); i++)
        assert_int_equal((unsigned char)*token_text(&trained, known[i][0]), known[i][1]);
    bt_bpe_trained_finish(&trained);
}

static void test_kept_bytes_stay_apart(void **state)
{
    struct bt_word_table words = {0}, kept = {0};
    struct bt_bpe_trained trained;
    struct bt_diag diag = {""};
    (void)state;
    put_word(&words, "abc", 9);
    put_word(&kept, "ab", 0);
    put_word(&kept, "abc", 0);
    const struct bt_bpe_training training = {.words = &words, .tokens = 300, .kept = &kept};
    TEST_OK(bt_bpe_train(&training, &trained, &diag), diag);
    assert_int_equal(trained.tokens.count, 257);
    assert_string_equal(token_text(&trained, 256), "bc");
    bt_bpe_trained_finish(&trained);
    bt_word_table_finish(&words);
    bt_word_table_finish(&kept);
}

/* Counts beyond 32 bits order pairs too. */
static void test_large_counts(void **state)
{
    struct bt_word_table words = {0};
    struct bt_bpe_trained trained;
    struct bt_diag diag = {""};
    (void)state;
    put_word(&words, "ab", (UINT64_C(1) << 40) + 1);
    put_word(&words, "cd", (UINT64_C(1) << 40) + 2);
    const struct bt_bpe_training training = {.words = &words, .tokens = 258, .min_frequency = (UINT64_C(1) << 40) + 2};
    TEST_OK(bt_bpe_train(&training, &trained, &diag), diag);
    assert_int_equal(trained.tokens.count, 257);
    assert_string_equal(token_text(&trained, 256), "cd");
    bt_bpe_trained_finish(&trained);
    bt_word_table_finish(&words);
}

static enum bt_err train_words(void *context)
{
    struct bt_bpe_trained trained;
    const struct bt_bpe_training training = {.words = context, .tokens = 270, .min_frequency = 1};
    const enum bt_err err = bt_bpe_train(&training, &trained, NULL);
    bt_bpe_trained_finish(&trained);
    return err;
}

static void test_every_allocation(void **state)
{
    /* not the project's memory, which is counted: the table outlives each run */
    struct bt_word entries[] = {{.count = 2, .start = 0, .size = 7}, {.count = 3, .start = 7, .size = 4}};
    char bytes[] = "aaaaabbabab";
    struct bt_word_table words = {.bytes = {.at = bytes, .size = 11}, .words = entries, .count = 2};
    (void)state;
    test_every_allocation_fails(train_words, &words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_slow_one), cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_bytes_come_first),     cmocka_unit_test(test_kept_bytes_stay_apart),
        cmocka_unit_test(test_large_counts),         cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
