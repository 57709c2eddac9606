#include "tokenize_world.h"

#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"

char *folder, *prefix, *input;
struct bt_tokenizer *tokenizer;

int tokenize_world_setup(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    folder = test_make_dir();
    prefix = strdup(test_format("%s/out/a", folder));
    input = strdup(test_format("%s/a.jsonl", folder));
    TEST_OK(bt_bytes_write_tokenizer(folder, &diag), diag);
    TEST_OK(bt_tokenizer_open(folder, &tokenizer, &diag), diag);
    return 0;
}

int tokenize_world_teardown(void **state)
{
    (void)state;
    bt_tokenizer_close(tokenizer);
    test_remove_dir(folder);
    free(prefix);
    free(input);
    return 0;
}

struct bt_tokenize_options tokenize_world_options(const char *const *inputs, size_t count, uint64_t shard_tokens)
{
    return (struct bt_tokenize_options){.tokenizer = tokenizer,
                                        .tokenizer_path = folder,
                                        .separators = {BT_BYTES_BOS, BT_BYTES_EOS},
                                        .inputs = inputs,
                                        .input_count = count,
                                        .key = "text",
                                        .prefix = prefix,
                                        .shard_tokens = shard_tokens,
                                        .threads = 2};
}
