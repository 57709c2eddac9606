/* bitnet-data tokenize, inspect, split and train-tokenizer as a user meets them: what they write, what they say, how
 * they exit. */
#include "run_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "compressed.h"

static const char *program; /* an absolute path */

static int make_world(void **state)
{
    static const char jsonl[] = "{\"text\":\"ab\"}\n{\"body\":\"c\",\"text\":\"cde\"}\n{\"text\":\"f\"}\n";
    struct test_output output = {0};
    test_dir_setup(state);
    test_run_expect(0, &output, program, "generate", "--tokenizer", test_dir, NULL);
    test_output_free(&output);
    test_write_file(test_format("%s/a.jsonl", test_dir), jsonl, sizeof jsonl - 1);
    test_write_file(test_format("%s/a.txt", test_dir), "ab\n--\ncde\n--\nf\n", 15);
    return 0;
}

/* Runs the program in the folder. The arguments end with NULL. */
static void run(struct test_output *output, const char *const *arguments)
{
    const char *argv[24] = {program};
    size_t count = 1;
    for (; *arguments; arguments++)
        argv[count++] = *arguments;
    const struct test_program p = {.argv = argv, .directory = test_dir};
    test_run(&p, output);
}

/* out and err: what they must contain. */
static void expect(int exit_code, const char *out, const char *err, const char *const *arguments)
{
    struct test_output output = {0};
    run(&output, arguments);
    if (output.exit_code != exit_code || !strstr(output.out, out) || !strstr(output.err, err))
        fail_msg("exit %d\nout: %s\nerr: %s\nexpected %d, \"%s\" and \"%s\"", output.exit_code, output.out, output.err,
                 exit_code, out, err);
    test_output_free(&output);
}

#define RUN(exit_code, out, err, ...) expect(exit_code, out, err, (const char *const[]){__VA_ARGS__, NULL})

static void test_tokenize_and_inspect(void **state)
{
    (void)state;
    RUN(0, "documents   3, 6 bytes of text", "tokens/s on 1 thread\n", "tokenize", "--tokenizer", ".", "--out", "sub/x",
        "a.jsonl", "--threads=1");
    RUN(0,
        "separators  256 before, 257 after (of the manifest)\ndocuments   3, of 3 to 5 tokens, 4.0 on average; the "
        "longest is number 1\n",
        "", "inspect", "sub/x-000000.bin");
    RUN(0, "\ndocument 0, 4 tokens\n<|bos|>ab<|eos|>\n\ndocument 1, 5 tokens\n<|bos|>cde<|eos|>\n", "", "inspect",
        "sub/x-000000.bin", "--tokenizer=.", "--documents=2");
    RUN(0, "documents   3, of 3 to 5", "", "inspect", "sub/x-000000.bin", "--tokenizer=.", "--after=none");
    RUN(0, "written     y-000000.bin to -000002.bin, y.json", "", "tokenize", "--tokenizer=.", "--out=y", "a.txt",
        "--separator=--", "--shard-tokens", "5", "--quiet");
}

/* The same shards from .txt and .jsonl, compressed or not. */
static void test_forms_are_alike(void **state)
{
    static const char *const names[] = {"a.jsonl", "a.txt", "b.jsonl.gz", "b.txt.zst"};
    size_t size, packed, want_size = 0;
    unsigned char *want = NULL;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++) {
        if (i >= 2) {
            unsigned char *data = test_read_file(test_format("%s/%s", test_dir, names[i - 2]), &size);
            unsigned char *made = i == 2 ? test_gzip(data, size, &packed) : test_zstd(data, size, &packed);
            test_write_file(test_format("%s/%s", test_dir, names[i]), made, packed);
            free(made);
            free(data);
        }
        RUN(0, "tokens      12", "", "tokenize", "--tokenizer=.", "--out=x", "--separator=--", names[i]);
        unsigned char *got = test_read_file(test_format("%s/x-000000.bin", test_dir), &size);
        if (!want) {
            want = got;
            want_size = size;
            continue;
        }
        assert_int_equal(size, want_size);
        assert_memory_equal(got, want, size);
        free(got);
    }
    free(want);
}

static void test_errors_of_inputs(void **state)
{
    (void)state;
    test_write_file(test_format("%s/bad.jsonl", test_dir), "{\"text\":\"x\"}\n{\"text\":\n{\"text\":\"y\"}\n", 35);
    RUN(3, "", "bitnet-data tokenize: bad.jsonl: line 2, column", "tokenize", "--tokenizer=.", "--out=x", "bad.jsonl");
    RUN(0, "skipped     1 that could not be read, the first: bad.jsonl: line 2, column", "", "tokenize",
        "--tokenizer=.", "--out=x", "bad.jsonl", "--on-error=skip");
    RUN(3, "", "absent.txt: cannot open", "tokenize", "--tokenizer=.", "--out=x", "absent.txt");
    RUN(3, "", "a.bin: the name ends neither in .txt nor in .jsonl", "tokenize", "--tokenizer=.", "--out=x", "a.bin");
    RUN(3, "", "the object has no key \"body\"", "tokenize", "--tokenizer=.", "--out=x", "a.jsonl", "--key=body");
    RUN(3, "", "absent: cannot open", "tokenize", "--tokenizer=absent", "--out=x", "a.jsonl");
    RUN(3, "", "absent.bin: cannot open", "inspect", "absent.bin");
}

/* A file of three documents of which the second one cannot be read: what is said, and that the others get through. */
static void test_malformed_documents(void **state)
{
#define BYTES(text) text, sizeof text - 1
    static const struct {
        const char *name, *bytes;
        size_t size;
        const char *sentence;
    } cases[] = {
        {"m.txt", BYTES("ok\n--\nbad \xff here\n--\nok\n"),
         "m.txt: line 3, byte 10: found the byte 0xff, expected UTF-8 text\n"},
        {"m.txt", BYTES("ok\n--\ncut \xe4\xb8\n--\nok\n"), "m.txt: line 3, byte 10: found the byte 0xe4"},
        {"m.txt", BYTES("ok\n--\na\0b\n--\nok\n"), "m.txt: line 3, byte 7: found a NUL byte, 0x00"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"a\xc3\"}\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2, column 10: not valid JSON: unable to decode byte 0xc3"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"a\\ud800b\"}\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2, column 18: not valid JSON: invalid Unicode '\\uD800'"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"a\\udc00\"}\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2, column 17: not valid JSON: invalid Unicode '\\uDC00'"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"a\\u0000b\"}\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2, column 18: found a \\u0000, expected text without NUL characters\n"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"a\0b\"}\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2, column 10: not valid JSON: control character 0x0"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"cut\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2, column 12: not valid JSON: premature end of input"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n[1]\n{\"text\":\"ok\"}\n"),
         "m.jsonl: line 2: found JSON that is not an object"},
        {"m.jsonl", BYTES("{\"text\":\"ok\"}\n{\"text\":\"a\"} x\n{\"text\":\"ok\"}\n"), "m.jsonl: line 2, column "},
    };
#undef BYTES
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        test_write_file(test_format("%s/%s", test_dir, cases[i].name), cases[i].bytes, cases[i].size);
        RUN(3, "", cases[i].sentence, "tokenize", "--tokenizer=.", "--out=x", "--separator=--", cases[i].name);
        RUN(0, "documents   2, 4 bytes of text\n", "", "tokenize", "--tokenizer=.", "--out=x", "--separator=--",
            cases[i].name, "--on-error=skip");
        RUN(0, test_format("skipped     1 that could not be read, the first: %s", cases[i].sentence), "", "tokenize",
            "--tokenizer=.", "--out=x", "--separator=--", cases[i].name, "--on-error=skip");
    }
}

/* Compressed data that were cut: the documents in front of the cut are kept, and the next file is read. */
static void test_malformed_compression(void **state)
{
    char *lines = malloc(100 * 32);
    size_t size = 0, packed;
    (void)state;
    assert_non_null(lines);
    for (unsigned i = 0; i < 100; i++)
        size += (size_t)sprintf(lines + size, "{\"text\":\"%08x\"}\n", i * 2654435761u);
    for (int gzip = 0; gzip < 2; gzip++) {
        const char *name = gzip ? "cut.jsonl.gz" : "cut.jsonl.zst";
        unsigned char *made = gzip ? test_gzip(lines, size, &packed) : test_zstd(lines, size, &packed);
        const char *sentence = test_format("%s: byte %zu: the %s data end early; the file was cut", name, packed - 9,
                                           gzip ? "gzip" : "Zstandard");
        test_write_file(test_format("%s/%s", test_dir, name), made, packed - 9);
        RUN(3, "", sentence, "tokenize", "--tokenizer=.", "--out=x", name);
        RUN(0, test_format("skipped     1 that could not be read, the first: %s", sentence), "", "tokenize",
            "--tokenizer=.", "--out=x", name, "a.jsonl", "--on-error=skip");
        free(made);
    }
    free(lines);
    test_write_file(test_format("%s/no.jsonl.zst", test_dir), "{}", 2);
    RUN(3, "", "no.jsonl.zst: byte 0: this is not Zstandard data", "tokenize", "--tokenizer=.", "--out=x",
        "no.jsonl.zst");
    RUN(3, "", "no document could be read, 1 were skipped, the first: cut.jsonl.zst: byte ", "tokenize",
        "--tokenizer=.", "--out=x", "cut.jsonl.zst", "--on-error=skip");
}

/* What tokenizing a file of so many MB needs at most, in MB, or the most of any program before it. */
static double peak_of_tokenizing(size_t megabytes)
{
    static const char line[] = "all work and no play makes jack a dull boy\n--\n";
    struct rusage usage;
    const size_t count = megabytes * 1000000 / (sizeof line - 1);
    FILE *file = fopen(test_format("%s/large.txt", test_dir), "wb");
    assert_non_null(file);
    for (size_t i = 0; i < count; i++)
        fputs(line, file);
    assert_int_equal(fclose(file), 0);
    RUN(0, "written     x-000000.bin", "", "tokenize", "--tokenizer=.", "--out=x", "large.txt", "--separator=--",
        "--threads=1", "--quiet");
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);
    return (double)usage.ru_maxrss / 1e3;
}

/* Files grow, what they need does not. Three batches of 1 MB and their ids are what is held, and all of them once 10 MB
 * have been read. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
    print_message("skipped: a sanitizer keeps freed memory for a while\n");
    skip();
#endif
    const double small = peak_of_tokenizing(10), large = peak_of_tokenizing(60);
    print_message("10 MB of text: %.1f MB, 60 MB of text: %.1f MB\n", small, large);
    assert_true(large < small + 4);
}

/* The tokenizer of the folder with other merges. */
static void test_malformed_tokenizer(void **state)
{
    static const char *const cases[][2] = {
        {"[\"a b\"]", "bad.json: model.merges[0]: 'ab' is not a token of the vocabulary\n"},
        {"[[\"zz\",\"b\"]]", "bad.json: model.merges[0]: 'zz' is not a token of the vocabulary\n"},
        {"[[\"a\"]]", "bad.json: model.merges[0]: expected two tokens, as in \"a b\" or [\"a\", \"b\"]\n"},
        {"[", "bad.json: line "},
    };
    (void)state;
    char *json = (char *)test_read_file(test_format("%s/tokenizer.json", test_dir), NULL);
    char *merges = strstr(json, "\"merges\": []");
    assert_non_null(merges);
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        const size_t front = (size_t)(merges - json) + 10;
        char *bad = bt_sprintf("%.*s%s%s", (int)front, json, cases[i][0], json + front + 2);
        assert_non_null(bad);
        test_write_file(test_format("%s/bad.json", test_dir), bad, strlen(bad));
        RUN(3, "", cases[i][1], "tokenize", "--tokenizer=bad.json", "--out=x", "a.jsonl");
        bt_free(bad);
    }
    test_write_file(test_format("%s/bad.json", test_dir), json, strlen(json) / 2);
    RUN(3, "", "bad.json: line ", "tokenize", "--tokenizer=bad.json", "--out=x", "a.jsonl");
    free(json);
}

/* Examples: what is to be learned is marked, and a mask belongs to its shard. */
static void test_examples(void **state)
{
    static const char jsonl[] =
        "{\"prompt\":\"Q: a\",\"completion\":\" b\"}\n{\"prompt\":\"c\",\"completion\":\"d\"}\n";
    (void)state;
    test_write_file(test_format("%s/e.jsonl", test_dir), jsonl, sizeof jsonl - 1);
    RUN(0, "chat        none\nseparators  256 \"<|bos|>\" before, 257 \"<|eos|>\" after each document\n", "",
        "tokenize", "--tokenizer=.", "--out=x", "e.jsonl");
    RUN(0, "labels      5, 41.7% of the tokens\nwritten     x-000000.bin, a .mask with each, x.json\n", "", "tokenize",
        "--tokenizer=.", "--out=x", "e.jsonl", "--form=prompt", "--chat-format=none");
    RUN(0, "labels      5 tokens, 41.6667%\ndocuments   2, of 4 to 8 tokens, 6.0 on average", "", "inspect",
        "x-000000.bin");
    RUN(0,
        "document 0, 8 tokens, 3 labels\n<|bos|>Q: a\u27e6 b<|eos|>\u27e7\n\ndocument 1, 4 tokens, 2 labels\n"
        "<|bos|>c\u27e6d<|eos|>\u27e7\n",
        "", "inspect", "x-000000.bin", "--tokenizer=.");
    RUN(0, "documents   2, 5 bytes", "", "tokenize", "--tokenizer=.", "--out=y", "e.jsonl", "--key=prompt"); /* texts */
    test_write_file(test_format("%s/x-000000.mask", test_dir), "", 0);
    RUN(3, "", "x-000000.mask: the file has 0 bytes; a label mask begins with a header", "inspect", "x-000000.bin");
    assert_int_equal(remove(test_format("%s/x-000000.mask", test_dir)), 0);
    RUN(3, "", "x-000000.mask: the file is missing", "inspect", "x-000000.bin");
    RUN(2, "", "the chat format chatml is of no use: the inputs hold no examples", "tokenize", "--tokenizer=.",
        "--out=x", "a.jsonl", "--chat-format=chatml");
    RUN(2, "", "found the chat format \"chatlm\", expected one of chatml, ", "tokenize", "--tokenizer=.", "--out=x",
        "e.jsonl", "--chat-format=chatlm");
    RUN(2, "", "--form: found \"chat\", expected one of auto|text|", "tokenize", "--tokenizer=.", "--out=x", "e.jsonl",
        "--form=chat");
    RUN(3, "", "a.txt holds text and e.jsonl examples", "tokenize", "--tokenizer=.", "--out=x", "e.jsonl", "a.txt",
        "--form=messages");
}

static void test_another_tokenizer_is_refused(void **state)
{
    size_t size;
    (void)state;
    RUN(0, "", "", "tokenize", "--tokenizer=.", "--out=x", "a.jsonl");
    unsigned char *json = test_read_file(test_format("%s/tokenizer.json", test_dir), &size);
    json[size] = ' '; /* in the place of the NUL: the same tokenizer in other bytes */
    test_write_file(test_format("%s/tokenizer.json", test_dir), json, size + 1);
    RUN(3, "", "x-000000.bin was made with another tokenizer: its manifest names .", "inspect", "x-000000.bin",
        "--tokenizer=.");
    free(json);
}

/* Another id in place of one, which only the manifest's hash shows. */
static void test_a_damaged_shard_is_refused(void **state)
{
    size_t size;
    (void)state;
    RUN(0, "", "", "tokenize", "--tokenizer=.", "--out=x", "a.jsonl");
    unsigned char *shard = test_read_file(test_format("%s/x-000000.bin", test_dir), &size);
    shard[1026] ^= 1;
    test_write_file(test_format("%s/x-000000.bin", test_dir), shard, size);
    RUN(3, "", "x-000000.bin: its XXH3-64 is ", "inspect", "x-000000.bin");
    free(shard);
}

/* Documents without anything between them: said when they are written, and when they are looked at. */
static void test_no_separator_is_told(void **state)
{
    (void)state;
    RUN(0, "documents   3, 6 bytes of text\nnote        nothing is between the documents", "", "tokenize",
        "--tokenizer=.", "--out=x", "a.jsonl", "--before=none", "--after=none");
    RUN(0, "documents   3 by the manifest; no separator says where they begin\n", "", "inspect", "x-000000.bin");
}

static void test_usage(void **state)
{
    (void)state;
    RUN(2, "", "--tokenizer FOLDER is missing", "tokenize", "a.txt");
    RUN(2, "", "--out PREFIX is missing", "tokenize", "--tokenizer=.", "a.txt");
    RUN(2, "", "no input is named", "tokenize", "--tokenizer=.", "--out=x");
    RUN(2, "", "--shard-tokens: found 2147483648, expected at most", "tokenize", "--tokenizer=.", "--out=x", "a.txt",
        "--shard-tokens=2147483648");
    RUN(2, "", "--threads: found 99999", "tokenize", "--tokenizer=.", "--out=x", "a.txt", "--threads=99999");
    RUN(2, "", "--separator: expected the text of one line", "tokenize", "--tokenizer=.", "--out=x", "a.txt",
        "--separator=");
    RUN(2, "", "--after: found \"x\", expected a token id, eos or none", "tokenize", "--tokenizer=.", "--out=x",
        "a.txt", "--after=x");
    RUN(2, "", "is not UTF-8, which names in the manifest have to be", "tokenize", "--tokenizer=.", "--out=x",
        "\xff.txt");
    RUN(2, "", "found 0 files, expected one token shard", "inspect");
    RUN(2, "", "--documents needs --tokenizer FOLDER", "inspect", "x.bin", "--documents=1");
    RUN(2, "", "--validation SHARE|COUNT is missing", "split", "--out=x", "a.jsonl");
    RUN(2, "", "--validation: found \"1.5\", expected a share", "split", "--out=x", "a.jsonl", "--validation=1.5");
    RUN(2, "", "--validation: found \"0\", expected a share", "split", "--out=x", "a.jsonl", "--validation=0");
    RUN(2, "", "a.txt and x.bin: one is a token shard and the other is text", "split", "--out=x", "a.txt", "x.bin",
        "--validation=1");
    RUN(2, "", "--before and --after are for token shards; a.txt is none", "split", "--out=x", "a.txt",
        "--validation=1", "--before=1");
    RUN(2, "", "--before and --after: expected token ids", "split", "--out=x", "x.bin", "--validation=1",
        "--before=2147483648");
    RUN(2, "", "--separator LINE is missing", "split", "--out=x", "a.txt", "--validation=1");
    RUN(2, "", "--vocab-size N is missing", "train-tokenizer", "--out=x", "a.txt");
    RUN(2, "", "--out FOLDER is missing", "train-tokenizer", "--vocab-size=300", "a.txt");
    RUN(2, "", "no input is named", "train-tokenizer", "--vocab-size=300", "--out=x");
    RUN(2, "", "--vocab-size: found 257, expected a number from 258 (256 bytes and 2 special tokens)",
        "train-tokenizer", "--vocab-size=257", "--out=x", "a.txt");
    RUN(2, "", "--pattern: found \"gpt5\", expected one of llama3|qwen2|gpt2|smollm", "train-tokenizer",
        "--vocab-size=300", "--out=x", "a.txt", "--pattern=gpt5");
    RUN(2, "", "a special token is empty", "train-tokenizer", "--vocab-size=300", "--out=x", "a.txt", "--special=");
    RUN(2, "", "is not UTF-8", "train-tokenizer", "--vocab-size=300", "--out=x", "a.txt", "--bos=\xff");
    RUN(2, "", "is spelled like the token of the byte 0x21", "train-tokenizer", "--vocab-size=300", "--out=x", "a.txt",
        "--eos=!");
    RUN(0, "--shard-tokens N", "", "tokenize", "--help");
    RUN(0, "--pattern llama3|qwen2|gpt2|smollm", "", "train-tokenizer", "--help");
    RUN(0, "--documents N", "", "inspect", "--help");
    RUN(0, "--validation SHARE|COUNT", "", "split", "--help");
}

static void test_split(void **state)
{
    (void)state;
    RUN(0, "train       2 documents, sub/y-train.jsonl\nvalidation  1 documents, sub/y-validation.jsonl\n", "", "split",
        "--validation=1", "--out=sub/y", "a.jsonl");
    size_t train, validation;
    free(test_read_file(test_format("%s/sub/y-train.jsonl", test_dir), &train));
    free(test_read_file(test_format("%s/sub/y-validation.jsonl", test_dir), &validation));
    assert_int_equal(train + validation,
                     strlen("{\"text\":\"ab\"}{\"body\":\"c\",\"text\":\"cde\"}{\"text\":\"f\"}") + 3);
    test_write_file(test_format("%s/a-train.jsonl", test_dir), "{\"text\":\"x\"}", 12);
    RUN(2, "", "--out: a-train.jsonl is an input", "split", "--validation=1", "--out=a", "a.jsonl", "a-train.jsonl");
}

static void test_split_shards(void **state)
{
    (void)state;
    RUN(0, "tokens      12", "", "tokenize", "--tokenizer=.", "--out=x", "a.jsonl", "--shard-tokens=5");
    RUN(0,
        "train       1 documents, 3 tokens, sub/y-train-000000.bin, sub/y-train.json\n"
        "validation  2 documents, 9 tokens, sub/y-validation-000000.bin to -000001.bin, sub/y-validation.json\n",
        "", "split", "--validation=2", "--seed=1", "--out=sub/y", "x-000000.bin", "x-000001.bin", "x-000002.bin");
    RUN(0, "256 before, 257 after (of the manifest)", "", "inspect", "sub/y-train-000000.bin", "--tokenizer=.");
    RUN(3, "", "absent.bin: cannot open", "split", "--validation=1", "--out=sub/y", "absent.bin");
}

static void test_train_tokenizer(void **state)
{
    (void)state;
    test_write_file(test_format("%s/b.txt", test_dir), "aabaab aab", 10);
    RUN(0,
        "documents   1, 10 bytes of text\nwords       2, 2 different ones\n"
        "tokens      259: 3 special, 256 bytes, 0 learned",
        "", "train-tokenizer", "--vocab-size=259", "--out=sub/t", "b.txt", "--special=<x>");
    RUN(0, "tokens      260: 3 special, 256 bytes, 1 learned; the longest has 2 bytes\n", "", "train-tokenizer",
        "--vocab-size=260", "--out=sub/t", "b.txt", "--special=<x>");
    RUN(0,
        "tokens      259: 1 special, 256 bytes, 2 learned; the longest has 3 bytes\nnote        fewer than 300: no "
        "other pair occurs 3 times\nwritten     sub/t/tokenizer.json\n",
        "", "train-tokenizer", "--vocab-size=300", "--min-frequency=3", "--out=sub/t", "b.txt", "--bos=<x>",
        "--eos=<x>");
    RUN(0, "separators  0 \"<x>\" before each document\n", "", "tokenize", "--tokenizer=sub/t", "--out=z", "b.txt");
    RUN(0, "\ndocument 0, 5 tokens\n<x>aabaab aab\n", "", "inspect", "--tokenizer=sub/t", "z-000000.bin");
    RUN(3, "", "absent.txt: cannot open", "train-tokenizer", "--vocab-size=300", "--out=sub/t", "absent.txt");
}

/* The progress of a log is plain lines, that of a bar is drawn over and wiped. */
static void test_progress(void **state)
{
    struct test_output output = {0};
    (void)state;
    run(&output, (const char *const[]){"tokenize", "--tokenizer=.", "--out=x", "a.jsonl", NULL});
    assert_null(strchr(output.err, '\r'));
    test_output_free(&output);
    run(&output, (const char *const[]){"tokenize", "--tokenizer=.", "--out=x", "a.jsonl", "--quiet", NULL});
    assert_string_equal(output.err, "");
    test_output_free(&output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tokenize_and_inspect, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_forms_are_alike, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_errors_of_inputs, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_documents, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_compression, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_tokenizer, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_examples, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_another_tokenizer_is_refused, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_shard_is_refused, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_no_separator_is_told, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_usage, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_split, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_split_shards, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_train_tokenizer, make_world, test_dir_teardown),
        cmocka_unit_test_setup_teardown(test_progress, make_world, test_dir_teardown),
    };
    if (argc != 2)
        return 2;
    program = realpath(argv[1], NULL); /* it is started from another folder */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
