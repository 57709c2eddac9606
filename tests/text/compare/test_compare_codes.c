/* Every character, one by one, against Hugging Face's own library: to what it is normalised beside marks of other
 * classes, and between which letters, digits and signs the split patterns cut.
 *   test_compare_codes FOLDER      where the npm package is, or is installed */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "known_codes.h"
#include "peer.h"
#include "text/nfc.h"
#include "text/tokenizer_parts.h"
#include "text/utf8.h"

#define BATCH 4000
#define SHOWN 5

static struct peer *peer;
static struct code_list known, others, thin; /* thin: of the known ones, few of long stretches that are all alike */

/* Ideographs, Hangul, Tangut and private use. */
static bool is_uniform(uint32_t code)
{
    return (code >= 0x3400 && code < 0xA000) || (code >= 0xAC00 && code < 0xD7A4) ||
           (code >= 0xE000 && code < 0xF900) || (code >= 0x17000 && code < 0x18D00) || code >= 0x20000;
}

static void make_thin(void)
{
    thin.at = bt_alloc(known.count * sizeof *thin.at);
    assert_non_null(thin.at);
    for (size_t i = 0; i < known.count; i++)
        if (!is_uniform(known.at[i]) || i % 64 == 0 || (known.at[i] >= 0x2F800 && known.at[i] < 0x2FA20))
            thin.at[thin.count++] = known.at[i];
}

static void need_peer(void)
{
    if (peer)
        return;
    print_message("skipped: Hugging Face's tokenizers cannot be had; stderr says why\n");
    skip();
}

/* The text that a character is looked at in: '?' stands for it. */
static json_t *place(const char *around, uint32_t code)
{
    char character[4], text[128];
    size_t size = 0;
    const size_t length = bt_utf8_put(code, character);
    for (; *around; around++) {
        const bool here = *around == '?';
        assert_true(size + length < sizeof text);
        memcpy(text + size, here ? character : around, here ? length : 1);
        size += here ? length : 1;
    }
    return json_stringn(text, size);
}

static json_t *place_all(const char *around, const uint32_t *codes, size_t count)
{
    json_t *texts = json_array();
    for (size_t i = 0; i < count; i++)
        assert_int_equal(json_array_append_new(texts, place(around, codes[i])), 0);
    return texts;
}

/* Puts the ours of a text into `out` and says whether the peer has the same. */
typedef bool compare_fn(void *context, const json_t *text, const json_t *want, struct bt_buffer *out);

/* How many of the codes differ. */
static size_t compare_codes(const struct code_list *codes, const char *ask, const char *answer_key, const char *around,
                            compare_fn *compare, void *context)
{
    size_t wrong = 0;
    struct bt_buffer out = {0};
    for (size_t done = 0; done < codes->count; done += BATCH) {
        const size_t count = codes->count - done < BATCH ? codes->count - done : BATCH;
        json_t *texts = place_all(around, codes->at + done, count);
        json_t *answer = peer_ask(peer, json_pack("{s:O}", ask, texts));
        const json_t *all = json_object_get(answer, answer_key);
        assert_int_equal(json_array_size(all), count);
        for (size_t i = 0; i < count; i++) {
            out.size = 0;
            if (compare(context, json_array_get(texts, i), json_array_get(all, i), &out))
                continue;
            if (wrong++ < SHOWN && codes != &others)
                print_message("U+%04X in place of '?' in \"%s\" differs\n", (unsigned)codes->at[done + i], around);
        }
        json_decref(answer);
        json_decref(texts);
    }
    bt_buffer_finish(&out);
    return wrong;
}

/* ---- normalization ---- */

struct normalizing {
    struct bt_nfc nfc;
    struct bt_nfc_scratch scratch;
};

static bool same_form(void *context, const json_t *text, const json_t *want, struct bt_buffer *out)
{
    struct normalizing *n = context;
    assert_true(bt_nfc_put(&n->nfc, &n->scratch, out, json_string_value(text), json_string_length(text)));
    return out->size == json_string_length(want) && !memcmp(out->at, json_string_value(want), out->size);
}

static void test_normalization(void **state)
{
    /* between marks of the classes 1, 220, 230 and 240; behind and before what may join with it */
    static const char *const around[] = {"?",       "?\u0301", "a?\u0334", "a\u0345?",      "a?\u0323\u0301",
                                         "\u0915?", "\u09C7?", "a?\u0308", "\u1100?\u11A8", "?\u0338\u0327"};
    struct normalizing *n = calloc(1, sizeof *n);
    size_t wrong = 0;
    (void)state;
    need_peer();
    assert_non_null(n);
    bt_nfc_init(&n->nfc);
    for (size_t i = 0; i < BT_ARRAY_LEN(around); i++)
        wrong += compare_codes(i == 0 ? &known : &thin, "nfc", "texts", around[i], same_form, n);
    print_message("%zu of %zu characters are normalised in another way\n", wrong, known.count);
    bt_nfc_scratch_finish(&n->scratch);
    free(n);
    assert_int_equal(wrong, 0);
}

/* ---- cutting into words ---- */

struct splitting {
    struct bt_tokenizer *tokenizer;
    struct bt_pre_scratch scratch;
    const json_t *want; /* (pieces) */
    size_t seen;
    bool differs;
};

/* The peer has its pieces in the letters of byte-level BPE. */
static enum bt_err take_word(void *context, const char *word, size_t size, struct bt_diag *diag)
{
    struct splitting *s = context;
    const json_t *want = json_array_get(s->want, s->seen++);
    char letters[256];
    size_t length = 0;
    (void)diag;
    assert_true(2 * size <= sizeof letters);
    for (size_t i = 0; i < size; i++)
        length += bt_utf8_put(bt_byte_to_letter((unsigned char)word[i]), letters + length);
    s->differs |= length != json_string_length(want) || memcmp(letters, json_string_value(want), length) != 0;
    return BT_OK;
}

static bool same_pieces(void *context, const json_t *text, const json_t *want, struct bt_buffer *out)
{
    struct splitting *s = context;
    struct bt_diag diag = {""};
    (void)out;
    s->want = want;
    s->seen = 0;
    s->differs = false;
    TEST_OK(bt_pre_tokenizer_run(&s->tokenizer->pre, &s->scratch, json_string_value(text), json_string_length(text),
                                 true, take_word, s, &diag),
            diag);
    return !s->differs && s->seen == json_array_size(want);
}

static void test_cuts(void **state)
{
    static const char around[] = "a?b ?1?2 ?!?; '?s ?\n?  ?";
    struct splitting s = {0};
    struct bt_diag diag = {""};
    const char *path = test_shared(*state);
    need_peer();
    TEST_OK(bt_tokenizer_open(path, &s.tokenizer, &diag), diag);
    TEST_OK(bt_matcher_create(&s.scratch.matcher, &diag), diag);
    json_decref(peer_ask(peer, json_pack("{s:s}", "open", test_format("%s/tokenizer.json", path))));
    const struct code_list *codes = strstr(path, "gpt2") ? &known : &thin;
    const size_t wrong = compare_codes(codes, "split", "pieces", around, same_pieces, &s);
    const size_t later = compare_codes(&others, "split", "pieces", around, same_pieces, &s);
    print_message("%s: %zu of %zu characters are cut in another way, and %zu of a later Unicode than ours\n", path,
                  wrong, codes->count, later);
    bt_matcher_destroy(s.scratch.matcher);
    bt_tokenizer_close(s.tokenizer);
    assert_int_equal(wrong, 0);
}

#define CUTS(folder)                                                                                                   \
    {                                                                                                                  \
        .name = "test_cuts " folder, .test_func = test_cuts,                                                           \
        .initial_state = (void *)(uintptr_t) "data/tokenizers/" folder                                                 \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalization), CUTS("gpt2"), CUTS("llama3"), CUTS("qwen3"), CUTS("smollm2"),
    };
    if (argc != 2)
        return 2;
    peer = peer_start(argv[1], true);
    known_codes(&known, &others);
    make_thin();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    bt_free(known.at);
    bt_free(others.at);
    bt_free(thin.at);
    peer_stop(peer);
    return failed;
}
