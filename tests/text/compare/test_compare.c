/* text/tokenizer against Hugging Face's own library, in the same run: ids and decoded text of texts made afresh, and of
 * whole real texts. A run can be repeated: BT_COMPARE_SEED is the seed that it printed. BT_COMPARE_TEXTS: how many
 * texts a tokenizer. test_compare FOLDER      where the npm package is, or is installed */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fresh_texts.h"
#include "peer.h"
#include "text/tokenizer_parts.h"

#define BATCH        500
#define TEXTS        20000
#define TEXTS_OTHERS 1000 /* with characters of later versions of Unicode than ours */
#define SHOWN        5

static struct peer *peer;
static uint64_t seed;
static size_t text_count;

struct comparison {
    const char *name;
    struct bt_tokenizer *tokenizer;
    struct bt_tokenizer_scratch *scratch;
    struct fresh_texts fresh;
    struct bt_buffer text;
    size_t shown;
    size_t texts, ids, wrong; /* encoded and decoded */
};

/* ---- one batch, with the peer ---- */

static void put_text(json_t *texts, const struct bt_buffer *text)
{
    assert_int_equal(json_array_append_new(texts, json_stringn(text->size ? text->at : "", text->size)), 0);
}

static bool same_ids(const json_t *want, const struct bt_ids *got)
{
    size_t i = 0;
    while (i < got->count && i < json_array_size(want) && json_integer_value(json_array_get(want, i)) == got->at[i])
        i++;
    return i == got->count && i == json_array_size(want);
}

static void show(struct comparison *c, const char *what, const json_t *input, const json_t *want, const char *got)
{
    c->wrong++;
    if (c->shown++ >= SHOWN)
        return;
    char *in = bt_json_text(input, JSON_ENSURE_ASCII), *expected = bt_json_text(want, JSON_ENSURE_ASCII);
    print_message("%s: %s of %.2000s\n  expected %.2000s\n  found    %.2000s\n", c->name, what, in, expected, got);
    bt_free(in);
    bt_free(expected);
}

static void show_ids(struct comparison *c, const json_t *text, const json_t *want, const struct bt_ids *got)
{
    struct bt_buffer list = {0};
    for (size_t i = 0; i < got->count && i < 200; i++) {
        const char *one = test_format("%s%d", i ? "," : "", (int)got->at[i]);
        assert_true(bt_buffer_put(&list, one, strlen(one)));
    }
    assert_true(bt_buffer_put(&list, "", 1));
    show(c, "ids", text, want, list.at);
    bt_buffer_finish(&list);
}

/* Compares the ids of all texts; gives the peer's, (count). */
static json_t *compare_encoding(struct comparison *c, json_t *texts, bool special)
{
    json_t *request = json_pack("{s:O, s:b}", "encode", texts, "special", special);
    json_t *answer = peer_ask(peer, request), *all = json_object_get(answer, "ids");
    struct bt_ids ids = {0};
    assert_int_equal(json_array_size(all), json_array_size(texts));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i), *want = json_array_get(all, i);
        struct bt_diag diag = {""};
        ids.count = 0;
        TEST_OK(bt_tokenizer_encode(c->tokenizer, c->scratch, json_string_value(text), json_string_length(text),
                                    special, &ids, &diag),
                diag);
        if (!same_ids(want, &ids))
            show_ids(c, text, want, &ids);
        c->texts++;
        c->ids += ids.count;
    }
    bt_ids_finish(&ids);
    json_incref(all);
    json_decref(answer);
    return all;
}

static void decode_one(struct comparison *c, const json_t *list, bool skip, const json_t *want)
{
    struct bt_diag diag = {""};
    const size_t count = json_array_size(list);
    int32_t *ids = calloc(count + 1, sizeof *ids);
    char *text;
    size_t size;
    assert_non_null(ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    TEST_OK(bt_tokenizer_decode(c->tokenizer, ids, count, skip, &text, &size, &diag), diag);
    if (size != json_string_length(want) || memcmp(text, json_string_value(want), size) != 0)
        show(c, skip ? "text without special tokens" : "text", list, want, text);
    bt_free(text);
    free(ids);
}

static void compare_decoding(struct comparison *c, json_t *lists, bool skip)
{
    json_t *answer = peer_ask(peer, json_pack("{s:O, s:b}", "decode", lists, "skip", skip));
    const json_t *texts = json_object_get(answer, "texts");
    assert_int_equal(json_array_size(texts), json_array_size(lists));
    for (size_t i = 0; i < json_array_size(lists); i++)
        decode_one(c, json_array_get(lists, i), skip, json_array_get(texts, i));
    json_decref(answer);
}

/* ---- what is compared ---- */

static void compare_fresh(struct comparison *c, size_t count, bool with_others)
{
    for (size_t done = 0, number = 0; done < count; done += BATCH, number++) {
        json_t *texts = json_array();
        for (size_t i = 0; i < BATCH && done + i < count; i++) {
            fresh_text(&c->fresh, with_others, &c->text);
            put_text(texts, &c->text);
        }
        json_t *ids = compare_encoding(c, texts, number % 4 == 0);
        compare_decoding(c, ids, number % 2 == 0);
        json_decref(ids);
        json_decref(texts);
    }
}

/* Ids that no text has in this order: bytes that make no characters, tokens that begin words beside such that do not.
 */
static void compare_random_ids(struct comparison *c, size_t count)
{
    const size_t vocabulary = (size_t)bt_tokenizer_vocab_size(c->tokenizer);
    for (size_t done = 0; done < count; done += BATCH) {
        json_t *lists = json_array();
        for (size_t i = 0; i < BATCH && done + i < count; i++) {
            json_t *list = json_array();
            const size_t below = fresh_below(&c->fresh, 2) && vocabulary > 300 ? 300 : vocabulary;
            for (size_t n = fresh_below(&c->fresh, 20); n > 0; n--)
                json_array_append_new(list, json_integer((json_int_t)fresh_below(&c->fresh, below)));
            json_array_append_new(lists, list);
        }
        compare_decoding(c, lists, done % (2 * BATCH) == 0);
        json_decref(lists);
    }
}

static void compare_lines(struct comparison *c, const struct real_text *real)
{
    for (size_t at = 0; at < real->size;) {
        json_t *lines = json_array();
        for (size_t i = 0; i < BATCH && at < real->size; i++) {
            const char *end = memchr(real->at + at, '\n', real->size - at);
            const size_t size = end ? (size_t)(end - real->at) - at : real->size - at;
            json_array_append_new(lines, json_stringn(real->at + at, size));
            at += size + 1;
        }
        json_decref(compare_encoding(c, lines, false));
        json_decref(lines);
    }
}

/* A whole file as one text, decoded again, and by line. */
static void compare_whole(struct comparison *c)
{
    static const char name[] = "data/text/wikitext-2-raw-test.txt";
    struct real_text real;
    const size_t before = c->wrong, ids_before = c->ids;
    real.at = (char *)test_read_file(test_shared(name), &real.size);
    json_t *texts = json_pack("[s#]", real.at, (int)real.size);
    json_t *ids = compare_encoding(c, texts, false);
    compare_decoding(c, ids, false);
    const size_t whole = c->ids - ids_before;
    compare_lines(c, &real);
    print_message("%s: %s: %zu ids as one text, %zu by line, %zu differences\n", c->name, name, whole,
                  c->ids - ids_before - whole, c->wrong - before);
    json_decref(ids);
    json_decref(texts);
    free(real.at);
}

/* ---- tokenizers ---- */

static void start(struct comparison *c, const char *path)
{
    static const char *const real[] = {"grimm-fairy-tales.txt",      "gutenberg-23950-zh.txt",
                                       "gutenberg-4791-fr.txt",      "wikitext-2-raw-test.txt",
                                       "tinystories-v2-excerpt.txt", "sft/wwdc25-train.prompt-completion.jsonl"};
    struct bt_diag diag = {""};
    if (!peer) {
        print_message("skipped: Hugging Face's tokenizers cannot be had; stderr says why\n");
        skip();
    }
    *c = (struct comparison){.name = path};
    TEST_OK(bt_tokenizer_open(path, &c->tokenizer, &diag), diag);
    TEST_OK(bt_tokenizer_scratch_create(c->tokenizer, &c->scratch, &diag), diag);
    fresh_texts_start(&c->fresh, seed);
    for (size_t i = 0; i < BT_ARRAY_LEN(real); i++)
        fresh_texts_add_real(&c->fresh, test_shared(test_format("data/text/%s", real[i])));
    for (size_t i = 0; i < c->tokenizer->added_count && i < BT_ARRAY_LEN(c->fresh.tokens); i++)
        c->fresh.tokens[c->fresh.token_count++] = c->tokenizer->added[i].content;
    json_decref(peer_ask(peer, json_pack("{s:s}", "open", test_format("%s/tokenizer.json", path))));
}

static void finish(struct comparison *c)
{
    fresh_texts_finish(&c->fresh);
    bt_buffer_finish(&c->text);
    bt_tokenizer_scratch_destroy(c->scratch);
    bt_tokenizer_close(c->tokenizer);
}

/* Some models share a file. */
static bool was_compared(const struct bt_tokenizer *tokenizer)
{
    static uint64_t hashes[64];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        if (hashes[i] == bt_tokenizer_hash(tokenizer))
            return true;
    assert_true(count < BT_ARRAY_LEN(hashes));
    hashes[count++] = bt_tokenizer_hash(tokenizer);
    return false;
}

static void compare_tokenizer(const char *path)
{
    struct comparison c;
    start(&c, path);
    if (was_compared(c.tokenizer)) {
        print_message("%s: the same file as one before\n", path);
        finish(&c);
        return;
    }
    compare_fresh(&c, text_count, false);
    compare_random_ids(&c, text_count / 4);
    print_message("%s: %zu fresh texts, %zu ids: %zu differences\n", path, c.texts, c.ids, c.wrong);
    compare_whole(&c);
    const size_t wrong = c.wrong;
    compare_fresh(&c, TEXTS_OTHERS, true);
    print_message("%s: %zu of %d texts with characters of a later Unicode than ours differ\n", path, c.wrong - wrong,
                  TEXTS_OTHERS);
    finish(&c);
    if (wrong)
        fail_msg("%s: %zu differences; BT_COMPARE_SEED=%llu repeats this", path, wrong, (unsigned long long)seed);
}

static void test_shared_tokenizer(void **state)
{
    compare_tokenizer(test_shared(*state));
}

/* The one that the project brings along. */
static void test_own_tokenizer(void **state)
{
    (void)state;
    compare_tokenizer(BT_SOURCE_DIR "/data/model");
}

#define SHARED(folder)                                                                                                 \
    {                                                                                                                  \
        .name = "test " folder, .test_func = test_shared_tokenizer,                                                    \
        .initial_state = (void *)(uintptr_t) "data/" folder                                                            \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SHARED("tokenizers/gpt2"),
        SHARED("tokenizers/llama2"),
        SHARED("tokenizers/llama3"),
        SHARED("tokenizers/mistral-v0.1"),
        SHARED("tokenizers/mistral-v0.3"),
        SHARED("tokenizers/qwen3"),
        SHARED("tokenizers/smollm2"),
        SHARED("models/stories260K"),
        SHARED("models/stories260K-bf16"),
        SHARED("models/babyllama-tok105"),
        SHARED("models/stories260K-f16-sharded"),
        cmocka_unit_test(test_own_tokenizer),
    };
    if (argc != 2)
        return 2;
    const char *seed_text = getenv("BT_COMPARE_SEED"), *count_text = getenv("BT_COMPARE_TEXTS");
    seed = seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)time(NULL);
    text_count = count_text ? strtoull(count_text, NULL, 10) : TEXTS;
    print_message("BT_COMPARE_SEED=%llu\n", (unsigned long long)seed);
    peer = peer_start(argv[1], true);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    peer_stop(peer);
    return failed;
}
