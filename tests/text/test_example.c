/* text/example: which form a line has, what is read out of it, and the shards, masks and manifests that examples make.
 * The byte-level tokenizer makes every id known: 256 begins, 257 ends. */
#include "tokenize_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/mask.h"
#include "text/bytes.h"
#include "text/shard_mask.h"

#define TEMPLATE                                                                                                       \
    "{\"bos_token\":\"<|bos|>\",\"eos_token\":\"<|eos|>\",\"chat_template\":\"{{'<|im_start|>' + message.role + "      \
    "'\\n' + message.content + '<|im_end|>\\n'}}\"}"

static struct bt_chat *chat;

static int make_world(void **state)
{
    struct bt_diag diag = {""};
    tokenize_world_setup(state);
    TEST_OK(bt_chat_open(folder, tokenizer, NULL, &chat, &diag), diag);
    return 0;
}

static int finish_world(void **state)
{
    bt_chat_close(chat);
    return tokenize_world_teardown(state);
}

static void write_input(const char *text)
{
    test_write_file(input, text, strlen(text));
}

static void test_forms(void **state)
{
    static const struct {
        const char *text;
        enum bt_form form;
    } cases[] = {
        {"{\"messages\":1,\"prompt\":1,\"completion\":1,\"text\":1}", BT_FORM_MESSAGES},
        {"{\"text\":1,\"completion\":1,\"prompt\":1,\"question\":1,\"answer\":1}", BT_FORM_PROMPT},
        {"{\"question\":1,\"answer\":1,\"instruction\":1,\"output\":1}", BT_FORM_QUESTION},
        {"{\"instruction\":1,\"output\":1,\"text\":1}", BT_FORM_INSTRUCTION},
        {"{\"text\":1,\"prompt\":1,\"answer\":1,\"instruction\":1}", BT_FORM_TEXT},
        {"{\"txt\":1}", BT_FORM_NONE},
        {"", BT_FORM_NONE},
        {"[]\n{]\n{\"x\":1}\n\n{\"prompt\":1,\"completion\":1}\n{\"messages\":1}", BT_FORM_PROMPT}, /* the first one */
    };
    enum bt_form form;
    struct bt_diag diag = {""};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        write_input(cases[i].text);
        TEST_OK(bt_form_detect(input, BT_TEXT_JSONL, "text", &form, &diag), diag);
        assert_string_equal(bt_form_name(form), bt_form_name(cases[i].form));
    }
    for (int i = BT_FORM_TEXT; i <= BT_FORM_INSTRUCTION; i++) {
        assert_true(bt_form_parse(bt_form_name((enum bt_form)i), &form));
        assert_int_equal(form, i);
    }
    assert_false(bt_form_parse("none", &form));
    assert_int_equal(bt_form_detect(test_format("%s/absent.jsonl", folder), BT_TEXT_JSONL, "text", &form, &diag),
                     BT_EINPUT);
    TEST_OK(bt_form_detect(input, BT_TEXT_PLAIN, "text", &form, &diag), diag); /* whatever it holds */
    assert_int_equal(form, BT_FORM_TEXT);
}

static enum bt_err read_line(const char *text, enum bt_form form, struct bt_example *example, struct bt_diag *diag)
{
    const struct bt_record record = {.data = text, .size = strlen(text), .line = 7, .format = BT_TEXT_JSONL};
    return bt_example_read(&record, "a.jsonl", form, chat, example, diag);
}

/* The bytes of an example as text, BOS as '(' and EOS as ')', labels in braces. */
static void expect(enum bt_form form, struct bt_separators separators, const char *line, const char *want)
{
    struct bt_tokenizer_scratch *scratch;
    struct bt_example example;
    struct bt_labelled out = {0};
    struct bt_diag diag = {""};
    char got[1024] = "";
    size_t n = 0;
    bool label = false;
    TEST_OK(read_line(line, form, &example, &diag), diag);
    TEST_OK(bt_tokenizer_scratch_create(tokenizer, &scratch, &diag), diag);
    TEST_OK(bt_example_encode(&example, chat, &separators, scratch, &out, &diag), diag);
    for (size_t i = 0; i < out.ids.count; i++) {
        const int32_t id = out.ids.at[i];
        if (out.label[i] != label)
            got[n++] = label ? '}' : '{';
        label = out.label[i];
        got[n++] = id == BT_BYTES_BOS ? '(' : id == BT_BYTES_EOS ? ')' : (char)id;
    }
    if (label)
        got[n++] = '}';
    assert_string_equal(got, want);
    bt_labelled_finish(&out);
    bt_tokenizer_scratch_destroy(scratch);
    bt_example_finish(&example);
}

static void test_plain_examples(void **state)
{
    static const struct bt_separators both = {BT_BYTES_BOS, BT_BYTES_EOS}, none = {BT_NO_TOKEN, BT_NO_TOKEN},
                                      one = {BT_BYTES_EOS, BT_NO_TOKEN};
    (void)state;
    expect(BT_FORM_PROMPT, both, "{\"prompt\":\"Q: a\",\"completion\":\" b\"}", "(Q: a{ b)}");
    expect(BT_FORM_PROMPT, none, "{\"prompt\":\"Q\",\"completion\":\"b\"}", "Q{b}");
    expect(BT_FORM_PROMPT, one, "{\"prompt\":\"Q\",\"completion\":\"b\"}", ")Q{b)}"); /* one id is both */
    expect(BT_FORM_PROMPT, both, "{\"prompt\":\"\",\"completion\":\"<|eos|>b\"}", "({<|eos|>b)}");
    expect(BT_FORM_QUESTION, both, "{\"question\":\"Q\",\"answer\":\"\"}", "(Q{)}");
    expect(BT_FORM_INSTRUCTION, both, "{\"instruction\":\"Do.\",\"output\":\"Ok\"}",
           "(Below is an instruction that describes a task. Write a response that appropriately completes the request."
           "\n\n### Instruction:\nDo.\n\n### Response:{Ok)}");
    expect(BT_FORM_INSTRUCTION, both, "{\"instruction\":\"Do.\",\"input\":\"1 %s\",\"output\":\"Ok\"}",
           "(Below is an instruction that describes a task, paired with an input that provides further context. Write "
           "a response that appropriately completes the request.\n\n### Instruction:\nDo.\n\n### Input:\n1 %s\n\n"
           "### Response:{Ok)}");
}

static void refuse(enum bt_form form, const char *line, const char *part)
{
    struct bt_example example;
    struct bt_diag diag = {""};
    assert_int_equal(read_line(line, form, &example, &diag), BT_EINPUT);
    if (strncmp(diag.text, "a.jsonl: line 7", 15) != 0 || !strstr(diag.text, part))
        fail_msg("expected '%s' in: %s", part, diag.text);
}

static void test_what_is_no_example(void **state)
{
    (void)state;
    refuse(BT_FORM_PROMPT, "{\"prompt\":", "not valid JSON");
    refuse(BT_FORM_PROMPT, "[1]", "$: this is not an object");
    refuse(BT_FORM_PROMPT, "{\"prompt\":\"a\"}", "$.completion: this is missing, expected a string");
    refuse(BT_FORM_PROMPT, "{\"prompt\":[],\"completion\":\"a\"}", "$.prompt: this is an array, expected a string");
    refuse(BT_FORM_INSTRUCTION, "{\"instruction\":\"a\",\"input\":3,\"output\":\"b\"}", "$.input: this is ");
    refuse(BT_FORM_NONE, "{\"a\":\"b\"}", "none of the keys that are looked for");
    refuse(BT_FORM_MESSAGES, "{\"messages\":{}}", "$.messages: this is an object, expected an array");
    refuse(BT_FORM_MESSAGES, "{\"messages\":[]}", "$.messages: no message is an assistant's");
    refuse(BT_FORM_MESSAGES, "{\"messages\":[\"Hi\"]}", "$.messages[0]: expected an object");
    refuse(BT_FORM_MESSAGES, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"tool\"}]}",
           "$.messages[1].role: found \"tool\"");
    refuse(BT_FORM_MESSAGES, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}",
           "$.messages[0].content: this is null");
    refuse(BT_FORM_MESSAGES, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[1]}]}",
           "$.messages[0].tool_calls: calls of tools are not supported");
    refuse(BT_FORM_MESSAGES, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "there is nothing to learn");
}

/* Shard i of the set: labels as '#', beginnings as 'X' (a label) and 'O'. */
static void expect_mask(size_t i, const char *want)
{
    struct bt_shard shard;
    struct bt_mask mask = {0};
    struct bt_diag diag = {""};
    const char *path = test_format("%s-%06zu.bin", prefix, i);
    TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
    TEST_OK(bt_shard_mask_open(path, &shard, &mask, &diag), diag);
    assert_true(bt_mask_exists(&mask));
    assert_int_equal(mask.count, strlen(want));
    for (size_t t = 0; t < mask.count; t++) {
        const bool label = bt_mask_is_label(&mask, t), begins = bt_mask_begins(&mask, t);
        assert_int_equal(begins ? label ? 'X' : 'O' : label ? '#' : '.', want[t]);
    }
    bt_mask_close(&mask);
    bt_shard_close(&shard);
}

static const char examples[] = "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n"
                               "{\"prompt\":\"a\",\"completion\":\"b\"}\n"
                               "{\"prompt\":\"abc\",\"completion\":\"0123456789\"}\n";

static void test_shards_and_masks(void **state)
{
    const char *const inputs[] = {input};
    const struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 9);
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    uint64_t hash, size;
    json_t *manifest;
    (void)state;
    write_input(examples);
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    assert_int_equal(report.labels, 3 + 2 + 11);
    assert_int_equal(report.done.tokens, 6 + 4 + 15);
    assert_string_equal(report.chat_format, "none");
    expect_mask(0, "O..###"); /* the second does not fit into 9 tokens any more */
    expect_mask(1, "O.##");
    expect_mask(2, "O...#####"); /* longer than a shard */
    expect_mask(3, "######");
    TEST_OK(bt_json_read(test_format("%s.json", prefix), &manifest, &diag), diag);
    const json_t *shard = json_array_get(json_object_get(manifest, "shards"), 2),
                 *mask = json_object_get(shard, "mask");
    assert_string_equal(json_string_value(json_object_get(mask, "file")), "a-000002.mask");
    assert_int_equal(json_integer_value(json_object_get(mask, "labels")), 5);
    TEST_OK(bt_file_hash(test_format("%s-000002.mask", prefix), &hash, &size, &diag), diag);
    assert_string_equal(json_string_value(json_object_get(mask, "xxh3_64")),
                        test_format("%016llx", (unsigned long long)hash));
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(manifest, "inputs"), 0), "form")), "prompt");
    json_decref(manifest);
}

/* A set of text in the place of one of examples leaves no mask behind; nor does one that fails leave anything. */
static void test_masks_go_with_their_set(void **state)
{
    const char *const inputs[] = {input};
    struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 9);
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    (void)state;
    write_input(examples);
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    write_input("{\"prompt\":\"abcde\",\"completion\":\"cd\"}\n{\"prompt\":\"abcde\",\"completion\":\"cd\"}\n{}\n");
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "a.jsonl: line 3: $.prompt: this is missing"));
    expect_mask(0, "O..###"); /* what stood there stands */
    assert_false(bt_file_exists(test_format("%s-000000.bin.tmp", prefix)));
    assert_false(bt_file_exists(test_format("%s-000000.mask.tmp", prefix)));
    options.skip = true;
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    assert_int_equal(report.skipped, 1);
    assert_false(bt_file_exists(test_format("%s-000002.mask", prefix)));
    write_input("{\"text\":\"ab\"}\n");
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    assert_null(report.chat_format);
    assert_true(bt_file_exists(test_format("%s-000000.bin", prefix)));
    assert_false(bt_file_exists(test_format("%s-000000.mask", prefix)));
}

static void test_a_mask_that_is_missing(void **state)
{
    const char *const inputs[] = {input};
    const struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 9);
    struct bt_tokenize_report report;
    struct bt_shard shard;
    struct bt_mask mask = {0};
    struct bt_diag diag = {""};
    char *path = strdup(test_format("%s-000000.bin", prefix));
    (void)state;
    write_input(examples);
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    TEST_OK(bt_shard_open(path, BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(remove(test_format("%s-000000.mask", prefix)), 0);
    assert_int_equal(bt_shard_mask_open(path, &shard, &mask, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "a-000000.mask: the file is missing; the manifest names it"));
    assert_int_equal(remove(test_format("%s.json", prefix)), 0); /* nobody says that there is one */
    TEST_OK(bt_shard_mask_open(path, &shard, &mask, &diag), diag);
    assert_false(bt_mask_exists(&mask));
    bt_shard_close(&shard);
    free(path);
}

static void test_files_of_several_forms(void **state)
{
    char *other = strdup(test_format("%s/b.jsonl", folder)), *text = strdup(test_format("%s/c.txt", folder));
    const char *const inputs[] = {input, other, text};
    struct bt_tokenize_options options = tokenize_world_options(inputs, 2, 9);
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    (void)state;
    write_input("{\"prompt\":\"ab\",\"completion\":\"cd\"}\n");
    test_write_file(other, "{\"question\":\"x\",\"answer\":\"\"}\n", 29);
    test_write_file(text, "text\n", 5);
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    expect_mask(0, "O..###O.#");
    options.input_count = 3;
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "c.txt holds text and "));
    assert_non_null(strstr(diag.text, "b.jsonl examples, which do not go together"));
    options.input_count = 1; /* told what they hold */
    options.form = BT_FORM_TEXT;
    options.key = "prompt";
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    assert_int_equal(report.done.tokens, 4);
    options.chat_format = "chatml";
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "the chat format chatml is of no use"));
    options.form = BT_FORM_MESSAGES;
    options.chat_format = NULL;
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "a.jsonl: line 1: $.messages: this is missing"));
    free(other);
    free(text);
}

static void test_chat_formats(void **state)
{
    const char *const inputs[] = {input};
    struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 9);
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    (void)state;
    write_input("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n");
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT); /* no template */
    assert_non_null(strstr(diag.text, "a.jsonl: line 1: messages need a chat format"));
    options.chat_format = "chatml";
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "needs the special token \"<|im_end|>\""));
    options.chat_format = "chatlm";
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EUSAGE);
    assert_non_null(strstr(diag.text, "expected one of chatml, "));
    options.chat_format = NULL;
    test_write_file(test_format("%s/tokenizer_config.json", folder), TEMPLATE, strlen(TEMPLATE));
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT); /* the template's tokens are not there */
    assert_non_null(strstr(diag.text, "needs the special token"));
    test_write_file(test_format("%s/tokenizer_config.json", folder), "{\"chat_template\":\"{{x}}\"}", 25);
    assert_int_equal(bt_tokenize(&options, &report, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "tokenizer_config.json: this chat template is not one of those"));
    assert_non_null(strstr(diag.text, "--chat-format"));
    write_input("{\"text\":\"ab\"}\n"); /* of no matter for text */
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
}

static enum bt_err tokenize_small(void *context)
{
    struct bt_tokenize_options options = tokenize_world_options(context, 1, 9);
    struct bt_tokenize_report report;
    options.threads = 1; /* the allocations come in one order */
    options.shard_tokens = 100;
    return bt_tokenize(&options, &report, NULL);
}

static enum bt_err read_instruction(void *context)
{
    struct bt_example example;
    (void)context;
    const enum bt_err err =
        read_line("{\"instruction\":\"ab\",\"input\":\"cd\",\"output\":\"x\"}", BT_FORM_INSTRUCTION, &example, NULL);
    if (!err)
        bt_example_finish(&example);
    return err;
}

static void test_every_allocation(void **state)
{
    const char *inputs[] = {input};
    (void)state;
    write_input("{\"prompt\":\"ab\",\"completion\":\"cd\"}\n{\"prompt\":\"abcdef\",\"completion\":\"x\"}\n");
    test_every_allocation_fails(tokenize_small, inputs);
    test_every_allocation_fails(read_instruction, NULL);
}

static long operations_left;

static int count_down(const char *op, const char *path)
{
    (void)op;
    (void)path;
    return operations_left-- == 0 ? 28 /* ENOSPC */ : 0;
}

/* Whatever fails on the disk: never a shard of examples without its mask. */
static void test_the_disk_fails(void **state)
{
    const char *const inputs[] = {input};
    const struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 9);
    struct bt_tokenize_report report;
    struct bt_diag diag = {""};
    enum bt_err err = BT_EIO;
    (void)state;
    for (long n = 0; err; n++) {
        write_input(examples);
        operations_left = n;
        bt_io_hook = count_down;
        err = bt_tokenize(&options, &report, &diag);
        bt_io_hook = NULL;
        assert_true(err == BT_OK || err == BT_EIO);
        for (size_t i = 0; i < 4; i++)
            if (bt_file_exists(test_format("%s-%06zu.bin", prefix, i)))
                assert_true(bt_file_exists(test_format("%s-%06zu.mask", prefix, i)));
    }
    expect_mask(3, "######");
}

/* Real files: the answers that come out are the answers that went in. */
static void test_shared_examples(void **state)
{
    const char *jsonl = test_shared("data/text/sft/gsm8k-test.jsonl");
    const char *messages = test_shared("data/text/sft/gsm8k-test.messages.jsonl");
    const char *model = test_shared("data/tokenizers/smollm2");
    const char *inputs[] = {jsonl};
    struct bt_tokenize_options options = tokenize_world_options(inputs, 1, 9);
    struct bt_tokenize_report report;
    struct bt_tokenizer *real;
    struct bt_diag diag = {""};
    size_t size, again_size;
    (void)state;
    TEST_OK(bt_tokenizer_open(model, &real, &diag), diag);
    options.tokenizer = real;
    options.tokenizer_path = model;
    options.shard_tokens = 1000000;
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    assert_string_equal(report.chat_format, "chatml");
    assert_int_equal(report.done.documents, 1319);
    unsigned char *shard = test_read_file(test_format("%s-000000.bin", prefix), &size);
    unsigned char *mask = test_read_file(test_format("%s-000000.mask", prefix), &again_size);
    inputs[0] = messages; /* the same conversations in another form */
    options.prefix = test_format("%s/b", folder);
    TEST_OK(bt_tokenize(&options, &report, &diag), diag);
    unsigned char *again = test_read_file(test_format("%s/b-000000.bin", folder), &again_size);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, shard, size);
    free(again);
    again = test_read_file(test_format("%s/b-000000.mask", folder), &again_size);
    assert_memory_equal(again, mask, again_size);
    free(again);
    free(shard);
    free(mask);
    bt_tokenizer_close(real);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, make_world, finish_world)

int main(void)
{
    /* In memory where there is such a place: every run syncs its files, and a disk that is busy takes its time. */
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    const struct CMUnitTest tests[] = {
        IN_WORLD(test_forms),
        IN_WORLD(test_plain_examples),
        IN_WORLD(test_what_is_no_example),
        IN_WORLD(test_shards_and_masks),
        IN_WORLD(test_masks_go_with_their_set),
        IN_WORLD(test_a_mask_that_is_missing),
        IN_WORLD(test_files_of_several_forms),
        IN_WORLD(test_chat_formats),
        IN_WORLD(test_every_allocation),
        IN_WORLD(test_the_disk_fails),
        IN_WORLD(test_shared_examples),
    };
    return cmocka_run_group_tests_name("text/example", tests, NULL, NULL);
}
