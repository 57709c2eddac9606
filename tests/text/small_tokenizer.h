/* tests/text/small_tokenizer.h - tokenizer files of a few lines, and what they make of a text. Include support.h first.
 */
#ifndef BT_TESTS_SMALL_TOKENIZER_H
#define BT_TESTS_SMALL_TOKENIZER_H

#include "text/tokenizer.h"

/* Parts of the file in JSON; NULL: null, or nothing. */
struct small_file {
    const char *added, *normalizer, *pre, *post, *decoder;
    const char *flags; /* of the model, with a comma behind each */
    const char *vocab; /* tokens with a blank between, numbered from 0 */
    const char *merges;
};

/* The text of the file; free it. */
char *small_json(const struct small_file *file);
struct small_tokenizer {
    struct bt_tokenizer *tokenizer;
    struct bt_tokenizer_scratch *scratch;
};
void small_open(struct small_tokenizer *small, const struct small_file *file);
void small_close(struct small_tokenizer *small);
/* Fails the test unless the ids are those of `want`: tokens with a blank between. */
void small_expect(const struct small_tokenizer *small, const char *text, const char *want);
void small_expect_special(const struct small_tokenizer *small, const char *text, const char *want);
/* Opens, expects and closes. */
void small_check(const struct small_file *file, const char *text, const char *want);
/* Fails the test unless the file is refused with a sentence that has `part` in it. */
void small_refuse(const struct small_file *file, const char *part);

#endif
