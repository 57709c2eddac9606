/* text/tokenizer: which pairs are merged, what becomes of characters without a token, and long words. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "small_tokenizer.h"

static void test_merge_order(void **state)
{
    /* the earliest merge first, not the longest or the leftmost */
    const struct small_file file = {.vocab = "a b c ab bc abc", .merges = "\"b c\",\"a b\",\"a bc\""};
    const struct small_file pairs = {.vocab = "a b c ab bc abc",
                                     .merges = "[\"b\",\"c\"],[\"a\",\"b\"],[\"a\",\"bc\"]"};
    (void)state;
    small_check(&file, "abc", "abc");
    small_check(&pairs, "abc", "abc");
    small_check(&file, "ababc", "ab abc");
    /* of equal ranks the leftmost */
    small_check(&(struct small_file){.vocab = "a aa", .merges = "\"a a\""}, "aaaaa", "aa aa a");
    /* of a pair that comes twice the later one counts */
    small_check(&(struct small_file){.vocab = "a b c ab bc", .merges = "\"a b\",\"b c\",\"a b\""}, "abc", "a bc");
    /* a merged token is not merged into itself by another way */
    small_check(&(struct small_file){.vocab = "a b ab aab", .merges = "\"a ab\",\"a b\""}, "aab", "aab");
    small_check(&file, "", "");
}

static void test_unknown(void **state)
{
    static const char vocab[] = "<unk> a b <0xC3> <0xA9> ab";
    const char *fallback = "\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"fuse_unk\":true,";
    (void)state;
    small_check(&(struct small_file){.vocab = vocab}, "azzb", "a b"); /* no unk_token: left out */
    small_check(&(struct small_file){.vocab = vocab, .flags = "\"unk_token\":\"<unk>\","}, "azzb", "a <unk> <unk> b");
    small_check(&(struct small_file){.vocab = vocab, .flags = "\"unk_token\":\"<unk>\",\"fuse_unk\":true,"}, "azzb",
                "a <unk> b");
    small_check(&(struct small_file){.vocab = vocab, .flags = fallback}, "a\u00e9zb", "a <0xC3> <0xA9> <unk> b");
    /* the unknown one waits for a known one, the bytes do not */
    small_check(&(struct small_file){.vocab = vocab, .flags = fallback}, "z\u00e9zb", "<0xC3> <0xA9> <unk> b");
    small_check(&(struct small_file){.vocab = vocab, .flags = "\"unk_token\":\"<unk>\",\"byte_fallback\":true,"},
                "z\u00e9zb", "<0xC3> <0xA9> <unk> <unk> b");
    /* one byte of two has a token: unknown as a whole */
    small_check(&(struct small_file){.vocab = vocab, .flags = fallback}, "\u00ea", "<unk>");
    small_refuse(&(struct small_file){.vocab = vocab, .flags = "\"unk_token\":\"<none>\","}, "unk_token");
}

static void test_ignore_merges(void **state)
{
    const char *levels = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}";
    struct small_file file = {.vocab = "a b c ab abc", .merges = "\"a b\""};
    (void)state;
    small_check(&file, "abc", "ab c");
    file.flags = "\"ignore_merges\":true,";
    small_check(&file, "abc", "abc");
    small_check(&file, "abcc", "ab c c");
    file.pre = levels;
    file.vocab = "a b Ġ ab Ġab";
    small_check(&file, " ab", "Ġab");
    small_check(&file, " abb", "Ġ ab b");
}

/* In SentencePiece's spelling words are cut at the marks, which must not show. */
static void test_marks(void **state)
{
    struct small_file file = {.vocab = "▁ a b ▁a ▁▁ a▁", .merges = "\"▁ a\",\"▁ ▁\""};
    (void)state;
    small_check(&file, "a▁▁▁ab▁a▁", "a ▁▁ ▁a b ▁a ▁");
    file.merges = "\"a ▁\",\"▁ a\",\"▁ ▁\""; /* a token that reaches over the mark */
    small_check(&file, "a▁▁▁ab▁a▁", "a▁ ▁ ▁a b ▁ a▁");
}

/* The definition, word for word: the pair of the lowest rank, of equals the leftmost, until there is none. */
static size_t merge_slowly(int32_t *ids, size_t count, const int32_t (*merges)[3], size_t merge_count)
{
    for (size_t rank = 0; rank < merge_count; rank++) {
        size_t at = 0;
        while (at + 1 < count && (ids[at] != merges[rank][0] || ids[at + 1] != merges[rank][1]))
            at++;
        if (at + 1 >= count)
            continue;
        ids[at] = merges[rank][2];
        memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
        count--;
        rank = (size_t)-1; /* look again from the lowest */
    }
    return count;
}

struct draws {
    uint64_t key, next;
};

static size_t draw(struct draws *rng, size_t below)
{
    return (size_t)bt_rng_below(rng->key, rng->next++, below);
}

#define TOKENS  60
#define LETTERS 4

/* A random vocabulary over four letters, every token but those made of two that are there, merged in random order. */
static void make_random(struct draws *rng, char spelled[TOKENS][64], int32_t merges[TOKENS][3], size_t *ret_count)
{
    size_t count = 0;
    for (size_t id = 0; id < TOKENS; id++) {
        if (id < LETTERS) {
            snprintf(spelled[id], 64, "%c", (char)('a' + id));
            continue;
        }
        bool is_new;
        do {
            const int32_t left = (int32_t)draw(rng, id), right = (int32_t)draw(rng, id);
            snprintf(spelled[id], 64, "%.20s%.20s", spelled[left], spelled[right]);
            is_new = strlen(spelled[left]) + strlen(spelled[right]) <= 16;
            for (size_t k = 0; k < id; k++)
                is_new &= strcmp(spelled[k], spelled[id]) != 0;
            merges[count][0] = left;
            merges[count][1] = right;
        } while (!is_new);
        merges[count++][2] = (int32_t)id;
    }
    for (size_t i = count; i > 1; i--) {
        int32_t other[3];
        const size_t k = draw(rng, i);
        memcpy(other, merges[k], sizeof other);
        memcpy(merges[k], merges[i - 1], sizeof other);
        memcpy(merges[i - 1], other, sizeof other);
    }
    *ret_count = count;
}

static void open_random(struct small_tokenizer *small, char spelled[TOKENS][64], int32_t merges[TOKENS][3],
                        size_t merge_count)
{
    char vocab[TOKENS * 64] = "", list[TOKENS * 64] = "";
    for (size_t i = 0; i < TOKENS; i++)
        strcat(strcat(vocab, i ? " " : ""), spelled[i]);
    for (size_t i = 0; i < merge_count; i++)
        strcat(list, test_format("%s\"%s %s\"", i ? "," : "", spelled[merges[i][0]], spelled[merges[i][1]]));
    small_open(small, &(struct small_file){.vocab = vocab, .merges = list});
}

static void test_against_definition(void **state)
{
    struct draws rng = {bt_rng_key(71, "words"), 0};
    (void)state;
    for (size_t round = 0; round < 30; round++) {
        char spelled[TOKENS][64];
        int32_t merges[TOKENS][3];
        size_t merge_count;
        struct small_tokenizer small;
        struct bt_diag diag = {""};
        make_random(&rng, spelled, merges, &merge_count);
        open_random(&small, spelled, merges, merge_count);
        for (size_t word = 0; word < 60; word++) {
            char text[200];
            int32_t want[200];
            struct bt_ids got = {0};
            const size_t size = 1 + draw(&rng, word % 3 ? 20 : 200); /* both ways of merging */
            for (size_t i = 0; i < size; i++)
                text[i] = (char)('a' + (want[i] = (int32_t)draw(&rng, LETTERS)));
            const size_t count = merge_slowly(want, size, (const int32_t(*)[3])merges, merge_count);
            TEST_OK(bt_tokenizer_encode(small.tokenizer, small.scratch, text, size, false, &got, &diag), diag);
            assert_int_equal(got.count, count);
            assert_memory_equal(got.at, want, count * sizeof *want);
            bt_ids_finish(&got);
        }
        small_close(&small);
    }
}

/* A megabyte of one thing: the time grows with the size, not with its square, which would be hours. */
static void encode_many(const struct small_file *file, const char *unit, const char *last, size_t least_ids)
{
    const size_t unit_size = strlen(unit), units = (1 << 20) / unit_size;
    struct small_tokenizer small;
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    char *text = malloc(units * unit_size + strlen(last) + 1);
    struct timespec start, end;
    assert_non_null(text);
    for (size_t i = 0; i < units; i++)
        memcpy(text + i * unit_size, unit, unit_size);
    strcpy(text + units * unit_size, last);
    small_open(&small, file);
    clock_gettime(CLOCK_MONOTONIC, &start);
    TEST_OK(bt_tokenizer_encode(small.tokenizer, small.scratch, text, strlen(text), false, &ids, &diag), diag);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    print_message("'%s': %zu ids in %.2f s\n", unit, ids.count, seconds);
    assert_true(ids.count >= least_ids);
    assert_true(seconds < 20.0); /* also under sanitizers, on a busy machine */
    bt_ids_finish(&ids);
    small_close(&small);
    free(text);
}

static void test_sizes(void **state)
{
    const char *pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\","
                      "\"invert\":false,\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}"
                      "\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
                      "\\\\s+(?!\\\\S)|\\\\s+\"}},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}";
    const struct small_file levels = {.normalizer = "{\"type\":\"NFC\"}",
                                      .pre = pre,
                                      .vocab = "a Ġ Ċ Ì £ ģ aa aaaa ĠĠ Ìģ 1",
                                      .merges = "\"a a\",\"aa aa\",\"Ġ Ġ\",\"Ì ģ\""};
    const struct small_file plain = {.vocab = "<unk> ▁ a aa ▁▁ aaa",
                                     .flags = "\"unk_token\":\"<unk>\",",
                                     .pre = "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"split\":false}",
                                     .merges = "\"a a\",\"▁ ▁\",\"aa a\""};
    (void)state;
    encode_many(&levels, "a", "", 1 << 18);
    encode_many(&levels, " ", "", 1 << 19);
    encode_many(&levels, " ", "a", 1 << 19);
    encode_many(&levels, "\n", "a", 1 << 20);
    encode_many(&levels, "\u0301", "", 1 << 19);
    encode_many(&levels, "\u0301\u0323", "", 1 << 19); /* to be sorted */
    encode_many(&levels, "1", "", 1 << 20);
    encode_many(&levels, "'", "", 0);
    encode_many(&plain, "a", "", 1 << 19);
    encode_many(&plain, " ", "", 1 << 18);
    encode_many(&plain, "z", "", 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_order),        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_ignore_merges),      cmocka_unit_test(test_marks),
        cmocka_unit_test(test_against_definition), cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
