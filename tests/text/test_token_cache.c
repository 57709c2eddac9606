/* text/token_cache: made once and found again, by content and options alone; damage is noticed and mended; faults,
 * kills and other processes leave it whole or absent. */
#include "support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "io/shard.h"
#include "text/bytes.h"
#include "text/token_cache.h"

static char *folder, *caches, *input, *other;
static struct bt_tokenizer *tokenizer;
static const enum bt_text_format jsonl = BT_TEXT_JSONL, plain = BT_TEXT_PLAIN;

static int make_world(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    folder = test_make_dir();
    caches = strdup(test_format("%s/runs/.cache", folder));
    input = strdup(test_format("%s/stories", folder)); /* a name that says nothing */
    other = strdup(test_format("%s/other", folder));
    TEST_OK(bt_bytes_write_tokenizer(folder, &diag), diag);
    TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
    test_write_file(input, "{\"text\":\"ab\"}\n{\"text\":\"c\"}\n", 27);
    return 0;
}

static int finish_world(void **state)
{
    (void)state;
    bt_tokenizer_close(tokenizer);
    test_remove_dir(folder);
    free(caches);
    free(input);
    free(other);
    return 0;
}

struct told {
    char sentences[4096];
    bool stop;
};

static void listen(void *context, const char *sentence)
{
    struct told *told = context;
    const size_t used = strlen(told->sentences);
    snprintf(told->sentences + used, sizeof told->sentences - used, "%s\n", sentence);
}

static bool stop_asked(void *context)
{
    return ((struct told *)context)->stop;
}

/* One thread: children of this process tokenize too. */
static struct bt_tokenize_options options_for(const char *const *inputs, size_t count, struct told *told)
{
    return (struct bt_tokenize_options){.tokenizer = tokenizer,
                                        .tokenizer_path = folder,
                                        .separators = {BT_BYTES_BOS, BT_BYTES_EOS},
                                        .inputs = inputs,
                                        .input_count = count,
                                        .format = &jsonl,
                                        .key = "text",
                                        .stop = stop_asked,
                                        .context = told,
                                        .threads = 1};
}

/* Gets the cache, expects these tokens, and says whether they were made now. */
static bool get(const struct bt_tokenize_options *options, const char *tokens)
{
    struct told told = {0};
    struct bt_tokenize_options how = *options;
    struct bt_token_cache cache;
    struct bt_diag diag = {""};
    struct bt_shard shard;
    how.context = &told;
    TEST_OK(bt_token_cache_get(caches, &how, listen, &cache, &diag), diag);
    assert_int_equal(cache.shard_count, 1);
    TEST_OK(bt_shard_open(cache.shards[0], BT_SHARD_LLMC, &shard, &diag), diag);
    assert_int_equal(shard.count, strlen(tokens));
    for (size_t i = 0; i < shard.count; i++) { /* "[" begins a document, "]" ends one */
        int32_t id;
        bt_shard_read(&shard, i, 1, &id);
        assert_int_equal(id, tokens[i] == '[' ? BT_BYTES_BOS : tokens[i] == ']' ? BT_BYTES_EOS : tokens[i]);
    }
    bt_shard_close(&shard);
    for (size_t i = 0; i < how.input_count; i++) {
        uint64_t hash, size;
        TEST_OK(bt_file_hash(how.inputs[i], &hash, &size, &diag), diag);
        assert_true(cache.inputs[i].hash == hash && cache.inputs[i].size == size);
    }
    bt_token_cache_finish(&cache);
    return strstr(told.sentences, "tokenizing ") != NULL;
}

static bool get_input(void)
{
    const char *const inputs[] = {input};
    const struct bt_tokenize_options options = options_for(inputs, 1, NULL);
    return get(&options, "[ab][c]");
}

/* The folder of the only cache. */
static const char *only_cache(void)
{
    struct bt_diag diag = {""};
    char **names;
    size_t count;
    const char *found = NULL;
    TEST_OK(bt_dir_list(caches, &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++)
        if (!strstr(names[i], ".lock")) {
            assert_null(found);
            found = test_format("%s/%s", caches, names[i]);
        }
    bt_names_free(names, count);
    assert_non_null(found);
    return found;
}

static void made_once(void **state)
{
    struct stat before, after;
    (void)state;
    assert_true(get_input());
    assert_int_equal(stat(only_cache(), &before), 0);
    assert_false(get_input());
    assert_false(get_input());
    assert_int_equal(stat(only_cache(), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

/* What the model's folder says of chats is no part of tokenizer.json, and still of the key. */
static void the_key_knows_how_examples_are_put(void **state)
{
    static const char config[] = "{\"eos_token_id\": 256}"; /* BOS: an example ends with it then */
    const char *const one[] = {input};
    const struct bt_tokenize_options options = options_for(one, 1, NULL);
    (void)state;
    test_write_file(input, "{\"prompt\":\"a\",\"completion\":\"b\"}\n", 32);
    assert_true(get(&options, "[ab]"));
    assert_false(get(&options, "[ab]"));
    test_write_file(test_format("%s/config.json", folder), config, sizeof config - 1);
    assert_true(get(&options, "[ab["));
    assert_false(get(&options, "[ab["));
}

/* Every one of these is a cache of its own; names of files are not. */
static void the_key_is_content_and_options(void **state)
{
    const char *const one[] = {input}, *const same[] = {other}, *const two[] = {input, other},
                      *const reversed[] = {other, input};
    struct bt_tokenize_options options = options_for(one, 1, NULL);
    (void)state;
    assert_true(get_input());
    test_write_file(other, "{\"text\":\"ab\"}\n{\"text\":\"c\"}\n", 27);
    options.inputs = same;
    assert_false(get(&options, "[ab][c]")); /* the same bytes under another name */
    test_write_file(other, "{\"text\":\"d\", \"body\":\"e\"}\n", 25);
    assert_true(get(&options, "[d]"));
    options.key = "body";
    assert_true(get(&options, "[e]"));
    options.key = "text";
    options.separators.after = BT_NO_TOKEN;
    assert_true(get(&options, "[d"));
    options.separators.after = BT_BYTES_EOS;
    options.format = &plain;
    assert_true(get(&options, "[{\"text\":\"d\", \"body\":\"e\"}\n]"));
    test_write_file(other, "a\n--\nb\n", 7);
    assert_true(get(&options, "[a\n--\nb\n]"));
    options.separator = "--";
    assert_true(get(&options, "[a][b]"));
    options.format = &jsonl;
    options.separator = NULL;
    test_write_file(other, "{\"text\":\"d\"}\n", 13);
    options.inputs = two;
    options.input_count = 2;
    assert_true(get(&options, "[ab][c][d]"));
    options.inputs = reversed;
    assert_true(get(&options, "[d][ab][c]"));
    assert_false(get(&options, "[d][ab][c]"));
    assert_false(get_input());
}

/* Any byte of any file of it, and any of its files gone. */
static void damage_is_mended(void **state)
{
    struct bt_diag diag = {""};
    char **names, *cache;
    size_t count;
    (void)state;
    get_input();
    cache = strdup(only_cache());
    TEST_OK(bt_dir_list(cache, &names, &count, &diag), diag);
    assert_int_equal(count, 3); /* the shard, its manifest and the list */
    for (size_t i = 0; i < count; i++) {
        const char *path = test_format("%s/%s", cache, names[i]);
        size_t size;
        unsigned char *bytes = test_read_file(path, &size);
        for (size_t at = 0; at < size; at += 1 + size / 40) {
            if (bytes[at] == ' ' || bytes[at] == '\n')
                continue; /* of cache.json blanks are the only bytes that may change */
            bytes[at] ^= 1;
            test_write_file(path, bytes, size);
            bytes[at] ^= 1;
            if (!get_input())
                fail_msg("byte %zu of %s changed, and nothing was said", at, names[i]);
            assert_false(get_input());
        }
        test_write_file(path, bytes, size - 2);
        assert_true(get_input());
        assert_int_equal(unlink(path), 0);
        assert_true(get_input());
        assert_false(get_input());
        free(bytes);
    }
    bt_names_free(names, count);
    free(cache);
}

static void what_is_no_text_leaves_nothing(void **state)
{
    const char *const inputs[] = {input};
    struct told told = {0};
    struct bt_tokenize_options options = options_for(inputs, 1, &told);
    struct bt_token_cache cache;
    struct bt_diag diag = {""};
    char **names;
    size_t count;
    (void)state;
    test_write_file(input, "{\"text\":\"ab\"}\n{\"text\":7}\n", 25);
    assert_int_equal(bt_token_cache_get(caches, &options, listen, &cache, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "stories: line 2"));
    told.stop = true;
    test_write_file(input, "{\"text\":\"ab\"}\n", 14);
    assert_int_equal(bt_token_cache_get(caches, &options, listen, &cache, &diag), BT_ESTOPPED);
    TEST_OK(bt_dir_list(caches, &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++)
        assert_non_null(strstr(names[i], ".lock"));
    bt_names_free(names, count);
    assert_true(get(&(struct bt_tokenize_options){.tokenizer = tokenizer,
                                                  .tokenizer_path = folder,
                                                  .separators = {BT_BYTES_BOS, BT_BYTES_EOS},
                                                  .inputs = inputs,
                                                  .input_count = 1,
                                                  .format = &jsonl,
                                                  .key = "text",
                                                  .threads = 1},
                    "[ab]"));
    options.inputs = (const char *const[]){"bad\xffname"};
    assert_int_equal(bt_token_cache_get(caches, &options, listen, &cache, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, "is not UTF-8"));
}

static bool appended;

/* The file grows behind the back of the one who has hashed it and is about to read it. */
static int append_at_first_mkdir(const char *op, const char *path)
{
    if (appended || strcmp(op, "mkdir") || !strstr(path, ".tmp"))
        return 0;
    FILE *file = fopen(input, "a");
    assert_non_null(file);
    fputs("{\"text\":\"more\"}\n", file);
    assert_int_equal(fclose(file), 0);
    appended = true;
    return 0;
}

static void inputs_that_change_meanwhile(void **state)
{
    const char *const inputs[] = {input};
    struct told told = {0};
    const struct bt_tokenize_options options = options_for(inputs, 1, &told);
    struct bt_token_cache cache;
    struct bt_diag diag = {""};
    (void)state;
    bt_io_hook = append_at_first_mkdir;
    const enum bt_err err = bt_token_cache_get(caches, &options, listen, &cache, &diag);
    bt_io_hook = NULL;
    assert_true(appended);
    assert_int_equal(err, BT_EINPUT);
    assert_non_null(strstr(diag.text, "stories: changed while it was read"));
    assert_true(get(&options, "[ab][c][more]"));
}

static long countdown;
static int fail_at_zero(const char *op, const char *path)
{
    (void)op;
    (void)path;
    return countdown-- == 0 ? 28 : 0; /* ENOSPC */
}

static int die_at_zero(const char *op, const char *path)
{
    (void)op;
    (void)path;
    if (countdown-- == 0)
        kill(getpid(), SIGKILL);
    return 0;
}

/* The disk fails at every one of its operations; the next one finds or makes it. */
static void every_operation_may_fail(void **state)
{
    const char *const inputs[] = {input};
    (void)state;
    for (long k = 0;; k++) {
        struct told told = {0};
        const struct bt_tokenize_options options = options_for(inputs, 1, &told);
        struct bt_token_cache cache = {0};
        struct bt_diag diag = {""};
        const long live = bt_alloc_live();
        countdown = k;
        bt_io_hook = fail_at_zero;
        const enum bt_err err = bt_token_cache_get(caches, &options, listen, &cache, &diag);
        bt_io_hook = NULL;
        bt_token_cache_finish(&cache);
        assert_int_equal(bt_alloc_live(), live);
        if (countdown >= 0) {
            TEST_OK(err, diag);
            assert_true(k > 10);
            break;
        }
        assert_true(err == BT_OK || err == BT_EIO); /* signing off a lock may fail without harm */
        get_input();
        TEST_OK(bt_dir_remove(caches, &diag), diag);
    }
}

/* Killed at every operation, and what that leaves damaged besides. */
static void killed_at_every_operation(void **state)
{
    (void)state;
    for (long k = 0;; k++) {
        int status;
        struct bt_diag diag = {""};
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            countdown = k;
            bt_io_hook = die_at_zero;
            get_input();
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        get_input();
        only_cache(); /* nothing of the one that was killed is left */
        TEST_OK(bt_dir_remove(caches, &diag), diag);
        if (WIFEXITED(status)) {
            assert_true(k > 10);
            break;
        }
    }
}

/* Many at once: all get it, and one makes it. */
static void made_once_by_many(void **state)
{
    enum { MANY = 8 };
    pid_t children[MANY];
    int made = 0;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(get_input() ? 1 : 0);
    }
    for (int i = 0; i < MANY; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        made += WEXITSTATUS(status);
    }
    assert_int_equal(made, 1);
    assert_false(get_input());
}

static enum bt_err get_body(void *context)
{
    const char *const inputs[] = {input};
    struct told told = {0};
    const struct bt_tokenize_options options = options_for(inputs, 1, &told);
    struct bt_token_cache cache = {0};
    (void)context;
    const enum bt_err err = bt_token_cache_get(caches, &options, listen, &cache, NULL);
    bt_token_cache_finish(&cache);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    test_every_allocation_fails(get_body, NULL); /* while it is made, */
    test_every_allocation_fails(get_body, NULL); /* and when it is there */
}

int main(void)
{
#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, make_world, finish_world)
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0); /* these tests sync a thousand files, and a disk takes its time for each */
    const struct CMUnitTest tests[] = {
        CACHE_TEST(made_once),
        CACHE_TEST(the_key_is_content_and_options),
        CACHE_TEST(the_key_knows_how_examples_are_put),
        CACHE_TEST(damage_is_mended),
        CACHE_TEST(what_is_no_text_leaves_nothing),
        CACHE_TEST(inputs_that_change_meanwhile),
        CACHE_TEST(every_operation_may_fail),
        CACHE_TEST(killed_at_every_operation),
        CACHE_TEST(made_once_by_many),
        CACHE_TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
