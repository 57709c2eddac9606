/* text/tokenizer: what happens to a text around byte-pair encoding - added tokens, normalizers, pre-tokenizers, special
 * tokens - and on the way back. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small_tokenizer.h"

/* An entry of added_tokens; which of the flags are true is said in letters: w l r n s. */
static const char *added(int id, const char *content, const char *flags)
{
    static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    const char *text = test_format("{\"id\":%d,\"content\":\"%s\"", id, content);
    for (size_t i = 0; i < 5; i++)
        text = test_format("%s,\"%s\":%s", text, names[i], strchr(flags, "wlrns"[i]) ? "true" : "false");
    return test_format("%s}", text);
}

static void check_added(const char *flags, const char *text, const char *want)
{
    const struct small_file file = {.vocab = "a b x _ ▁ . é",
                                    .added = added(7, "<t>", flags),
                                    .normalizer =
                                        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}"};
    small_check(&file, text, want);
}

static void test_added_flags(void **state)
{
    (void)state;
    check_added("", "a<t>b<t>", "a <t> b <t>");
    check_added("", " <t> ", "▁ <t> ▁");
    check_added("l", "a  <t> b", "a <t> ▁ b");
    check_added("r", "a <t> \u3000\tb", "a ▁ <t> b");
    check_added("lr", "a <t> <t> b", "a <t> <t> b");
    check_added("w", "a<t> <t>b <t> é<t> .<t>.<t>_", "a ▁ b ▁ <t> ▁ é ▁ . <t> . _");
    check_added("n", "a<t>", "a <t>");
    /* the longest of those at the leftmost place */
    small_check(&(struct small_file){.vocab = "a b",
                                     .added = test_format("%s,%s,%s", added(2, "ab", ""), added(3, "abab", ""),
                                                          added(1, "b", ""))},
                "aababab", "a abab ab");
    small_check(
        &(struct small_file){.vocab = "a b", .added = test_format("%s,%s", added(2, "abb", ""), added(1, "b", ""))},
        "abab", "a b a b");
}

/* normalized: looked for in the normalised text, with its own content normalised; the others before. */
static void test_added_normalized(void **state)
{
    const char *normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"y\"}";
    struct small_file file = {.vocab = "a y x", .normalizer = normalizer, .added = added(3, "ax", "n")};
    struct small_tokenizer small;
    struct bt_diag diag = {""};
    char *text;
    size_t size;
    (void)state;
    small_check(&file, "aaxay", "a ax ax");
    small_open(&small, &file);
    TEST_OK(bt_tokenizer_decode(small.tokenizer, (const int32_t[]){3}, 1, false, &text, &size, &diag), diag);
    assert_string_equal(text, "ay"); /* as Hugging Face's library has it */
    bt_free(text);
    small_close(&small);
    file.added = added(3, "ax", "");
    small_check(&file, "aaxay", "a ax a y");
    file.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"\"}";
    file.added = added(2, "x", "n");
    small_refuse(&file, "nothing is left");
}

static void test_normalizers(void **state)
{
    struct small_file file = {.vocab = "<unk> ▁ a \u00e9 e \u0301 \u1ec7 \uac01 \u0344",
                              .flags = "\"unk_token\":\"<unk>\","};
    (void)state;
    small_check(&file, "e\u0301", "e \u0301");
    file.normalizer = "{\"type\":\"NFC\"}";
    small_check(&file, "e\u0301ae\u0301", "\u00e9 a \u00e9");
    small_check(&file, "ae\u0302\u0323a", "a \u1ec7 a");      /* put in order first */
    small_check(&file, "\u1100\u1161\u11a8", "\uac01");       /* Hangul */
    small_check(&file, "\u212b\u0344", "<unk> <unk> \u0301"); /* never composed to what they were */
    small_check(&file, "a\u0301", "<unk>");
    file.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"},"
                      "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]}";
    small_check(&file, "a a", "▁ a ▁ a");
    small_check(&file, " a", "▁ ▁ a");
    small_check(&file, "", "");
    file.normalizer = "{\"type\":\"NFKC\"}";
    small_refuse(&file, "'NFKC'");
    file.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"}]}";
    small_refuse(&file, "normalizer.normalizers[1]");
}

static void check_metaspace(const char *scheme, const char *split, const char *text, const char *want)
{
    const struct small_file file = {
        .vocab = "▁ a b ab ▁a ▁▁ a▁ ▁a▁",
        .merges = "\"a ▁\",\"▁ ▁\",\"▁ a\",\"a b\",\"▁ a▁\"",
        .added = added(8, "<t>", ""),
        .pre = test_format("{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"%s\",\"split\":%s}",
                           scheme, split)};
    small_check(&file, text, want);
}

static void test_metaspace(void **state)
{
    (void)state;
    check_metaspace("always", "true", "ab a", "▁a b ▁a");
    check_metaspace("always", "true", " ab<t>b", "▁a b <t> ▁ b");
    check_metaspace("first", "true", "ab<t>b", "▁a b <t> b");
    check_metaspace("first", "true", "<t>b", "<t> b");
    check_metaspace("never", "true", "ab b", "ab ▁ b");
    check_metaspace("always", "false", "a a", "▁a▁ a");
    check_metaspace("always", "true", "a  a", "▁a ▁ ▁a");
    check_metaspace("always", "true", "▁a", "▁a");
    small_refuse(&(struct small_file){.vocab = "a", .pre = "{\"type\":\"Metaspace\",\"replacement\":\"▁▁\"}"},
                 "one character");
    small_refuse(
        &(struct small_file){.vocab = "a",
                             .normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"\"}",
                             .pre = "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"first\"}"},
        "prepend_scheme first");
}

/* The pieces of a text, seen by the tokens that whole words are. */
static void check_split(const char *pattern, const char *behavior, const char *invert, const char *want)
{
    const struct small_file file = {.vocab =
                                        "a b - a- -a -b b- -- a--b --b a-- a-b a-b- b-- --a a--b- a--b-a ab -b-a -b-",
                                    .flags = "\"ignore_merges\":true,",
                                    .pre = test_format("{\"type\":\"Split\",\"pattern\":{%s},\"behavior\":\"%s\","
                                                       "\"invert\":%s}",
                                                       pattern, behavior, invert)};
    small_check(&file, "a--b-a", want);
}

static void test_split_behaviors(void **state)
{
    const char *dash = "\"String\":\"-\"";
    (void)state;
    check_split(dash, "Isolated", "false", "a - - b - a");
    check_split(dash, "Removed", "false", "a b a");
    check_split(dash, "Removed", "true", "- - -");
    check_split(dash, "MergedWithPrevious", "false", "a- - b- a");
    check_split(dash, "MergedWithNext", "false", "a - -b -a");
    check_split(dash, "Contiguous", "false", "a -- b - a");
    check_split("\"Regex\":\"-+\"", "Isolated", "false", "a -- b - a");
    check_split("\"Regex\":\"-+\"", "MergedWithPrevious", "false", "a-- b- a");
    check_split("\"Regex\":\"(?=b)\"", "Isolated", "false", "a-- b - a");
}

static void test_pre_tokenizers(void **state)
{
    struct small_file file = {.vocab = "a 1 ½ 12 1a a1 ½1 12½", .flags = "\"ignore_merges\":true,"};
    (void)state;
    file.pre = "{\"type\":\"Digits\",\"individual_digits\":true}";
    small_check(&file, "a12½a", "a 1 ½ a");
    file.pre = "{\"type\":\"Digits\",\"individual_digits\":false}";
    small_check(&file, "a12½a", "a 12½ a");
    file.pre = NULL;
    small_check(&file, "a1", "a1");
    file.vocab = "a Ġ Ġa Ċ é Ã ©";
    file.pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}";
    small_check(&file, "a a\u00e9", "Ġa Ġ a Ã ©"); /* " aé" is one word and no token */
    file.pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}";
    small_check(&file, "a  a\n", "a Ġ Ġa Ċ");
    file.pre = "{\"type\":\"Whitespace\"}";
    small_refuse(&file, "'Whitespace'");
    file.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
               "{\"type\":\"Digits\",\"individual_digits\":true}]}";
    small_refuse(&file, "pretokenizers[1]: 'Digits' behind ByteLevel");
}

/* What counts as white space: U+180E does not, U+0085 does. */
static void test_white_space(void **state)
{
    const struct small_file file = {.vocab = "a \u180ea \u3000 \u180e a\u180e",
                                    .flags = "\"ignore_merges\":true,",
                                    .pre = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s|[^\\\\s\\\\S]\"},"
                                           "\"behavior\":\"Removed\",\"invert\":false}"};
    (void)state;
    small_check(&file,
                "\xc2\x85"
                "a\u180e\u3000\u180ea",
                "a\u180e \u180ea");
}

static void refuse_pattern(const char *regex, const char *part)
{
    small_refuse(&(struct small_file){.vocab = "a",
                                      .pre = test_format("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"},"
                                                         "\"behavior\":\"Isolated\",\"invert\":false}",
                                                         regex)},
                 part);
}

static void test_patterns(void **state)
{
    (void)state;
    refuse_pattern("a(", "no valid pattern");
    refuse_pattern("\\\\w+", "\\w at byte 0");
    refuse_pattern("[a[b]]", "class inside a class at byte 2");
    refuse_pattern("[a&&b]", "'&&'");
    refuse_pattern("[[:alpha:]]", "class inside a class");
    refuse_pattern("a{2}+", "'}+'");
    refuse_pattern("", "1 to 65536");
    check_split("\"Regex\":\"\\\\p{L}+\"", "Removed", "false", "-- -");
}

#define TEMPLATE(single)                                                                                               \
    "{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[],\"special_tokens\":{\"B\":{\"id\":\"B\","    \
    "\"ids\":[1,2],\"tokens\":[]},\"E\":{\"id\":\"E\",\"ids\":[3],\"tokens\":[]},\"X\":{\"id\":\"X\",\"ids\":[9],"     \
    "\"tokens\":[]}}}"
#define TEXT_A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"

static void test_special(void **state)
{
    struct small_file file = {
        .vocab = "a <s> <t> </s>",
        .post = TEMPLATE("{\"SpecialToken\":{\"id\":\"B\"}}," TEXT_A ",{\"SpecialToken\":{\"id\":\"E\"}}")};
    struct small_tokenizer small;
    (void)state;
    small_open(&small, &file);
    small_expect_special(&small, "aa", "<s> <t> a a </s>");
    small_expect_special(&small, "", "<s> <t> </s>");
    small_expect(&small, "a", "a");
    assert_int_equal(bt_tokenizer_bos(small.tokenizer), 1);
    assert_int_equal(bt_tokenizer_eos(small.tokenizer), 3);
    small_close(&small);
    file.post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}," TEMPLATE(TEXT_A) "]}";
    small_open(&small, &file);
    small_expect_special(&small, "a", "a");
    assert_int_equal(bt_tokenizer_bos(small.tokenizer), BT_NO_TOKEN);
    assert_int_equal(bt_tokenizer_eos(small.tokenizer), BT_NO_TOKEN);
    small_close(&small);
    file.post = TEMPLATE(TEXT_A "," TEXT_A);
    small_refuse(&file, "single[1]");
    file.post = TEMPLATE("{\"SpecialToken\":{\"id\":\"B\"}}");
    small_refuse(&file, "sequence A is missing");
    file.post = TEMPLATE("{\"SpecialToken\":{\"id\":\"X\"}}," TEXT_A);
    small_refuse(&file, "not an id of the vocabulary");
    file.post = TEMPLATE("{\"SpecialToken\":{\"id\":\"Y\"}}," TEXT_A);
    small_refuse(&file, "special_tokens.Y");
    file.post = "{\"type\":\"BertProcessing\"}";
    small_refuse(&file, "'BertProcessing'");
}

/* ---- decoding ---- */

/* All at once, and as a stream whose pieces are whole characters: the same text. */
static void check_decoded(const struct small_file *file, const int32_t *ids, size_t count, const char *want)
{
    struct small_tokenizer small;
    struct bt_diag diag = {""};
    struct bt_token_stream *stream;
    char *text, streamed[256] = "";
    const char *piece;
    size_t size;
    small_open(&small, file);
    TEST_OK(bt_tokenizer_decode(small.tokenizer, ids, count, true, &text, &size, &diag), diag);
    assert_string_equal(text, want);
    assert_int_equal(size, strlen(want));
    TEST_OK(bt_token_stream_create(small.tokenizer, true, &stream, &diag), diag);
    for (size_t i = 0; i <= count; i++) {
        if (i < count)
            TEST_OK(bt_token_stream_push(stream, ids[i], &piece, &size, &diag), diag);
        else
            TEST_OK(bt_token_stream_end(stream, &piece, &size, &diag), diag);
        assert_int_equal(strlen(piece), size);
        assert_true(size == 0 || ((unsigned char)piece[0] & 0xC0) != 0x80);
        strcat(streamed, piece);
    }
    assert_string_equal(streamed, want);
    bt_token_stream_destroy(stream);
    bt_free(text);
    small_close(&small);
}
#define CHECK_DECODED(file, want, ...)                                                                                 \
    check_decoded(file, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), want)

static void test_decode_bytes(void **state)
{
    const struct small_file file = {
        .vocab = "a ð Ł ĺ Ģ Ġ 中", .added = added(7, "<s>", "s"), .decoder = "{\"type\":\"ByteLevel\"}"};
    (void)state;
    CHECK_DECODED(&file, "a\U0001f600 a", 0, 1, 2, 3, 4, 5, 0);
    CHECK_DECODED(&file, "\U0001f600", 1, 2, 7, 3, 4);    /* the special token left out */
    CHECK_DECODED(&file, "\ufffda\ufffd", 1, 2, 3, 0, 4); /* cut short; no first byte */
    CHECK_DECODED(&file, "a\ufffd", 0, 1, 2, 3);          /* at the end */
    CHECK_DECODED(&file, "\ufffd中", 1, 6);               /* a token that is not in the alphabet */
}

static void test_decode_pieces(void **state)
{
    struct small_file file = {.vocab = "a ▁ ▁a <0xC3> <0xA9> <0x0A> ▁▁ <0xZZ>",
                              .decoder =
                                  "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
                                  "\"▁\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
                                  "{\"type\":\"Fuse\"},{\"type\":"
                                  "\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"};
    (void)state;
    CHECK_DECODED(&file, "a a", 2, 2);
    CHECK_DECODED(&file, " a", 6, 0);
    CHECK_DECODED(&file, "\u00e9a\n", 1, 3, 4, 0, 5);
    CHECK_DECODED(&file, "\ufffd\ufffd\ufffda", 3, 4, 3, 0); /* one bad byte spoils the run */
    CHECK_DECODED(&file, "<0xZZ>", 7);
    file.decoder = "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"always\"}";
    CHECK_DECODED(&file, "a a", 2, 2);
    CHECK_DECODED(&file, " a", 6, 2);
    file.decoder = "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"never\"}";
    CHECK_DECODED(&file, " a a", 2, 2);
    file.decoder = NULL;
    CHECK_DECODED(&file, "a ▁a", 0, 2);
    file.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}]}";
    small_refuse(&file, "ByteFallback in this place");
    file.decoder = "{\"type\":\"WordPiece\"}";
    small_refuse(&file, "'WordPiece'");
}

static void test_questions(void **state)
{
    const struct small_file file = {.vocab = "<unk> a <0x0A>",
                                    .added = added(3, "<s>", "s"),
                                    .flags = "\"unk_token\":\"<unk>\",\"byte_fallback\":true,"};
    struct small_tokenizer small;
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    char *text;
    size_t size;
    (void)state;
    small_open(&small, &file);
    const struct bt_tokenizer *t = small.tokenizer;
    assert_int_equal(bt_tokenizer_vocab_size(t), 4);
    assert_int_equal(bt_tokenizer_id(t, "<s>"), 3);
    assert_int_equal(bt_tokenizer_id(t, "<x>"), BT_NO_TOKEN);
    assert_string_equal(bt_tokenizer_token(t, 1), "a");
    assert_null(bt_tokenizer_token(t, 4));
    assert_null(bt_tokenizer_token(t, -1));
    assert_int_equal(bt_tokenizer_unknown_id(t), 0);
    assert_true(bt_tokenizer_is_special(t, 3) && !bt_tokenizer_is_special(t, 0) && !bt_tokenizer_is_special(t, 4));
    assert_true(bt_tokenizer_is_byte(t, 2) && !bt_tokenizer_is_byte(t, 1) && !bt_tokenizer_is_byte(t, -1));
    assert_int_equal(bt_tokenizer_decode(t, (const int32_t[]){1, 4}, 2, false, &text, &size, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "id 4, number 1 of 2"));
    assert_int_equal(bt_tokenizer_encode(t, small.scratch, "ab\xC3(", 4, false, &ids, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "byte 2 of the text, 0xC3"));
    assert_int_equal(ids.count, 0);
    bt_ids_finish(&ids);
    small_close(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_flags),     cmocka_unit_test(test_added_normalized),
        cmocka_unit_test(test_normalizers),     cmocka_unit_test(test_metaspace),
        cmocka_unit_test(test_split_behaviors), cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_white_space),     cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_special),         cmocka_unit_test(test_decode_bytes),
        cmocka_unit_test(test_decode_pieces),   cmocka_unit_test(test_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
