/* tests/text/compare/fresh_texts.h - short texts of every kind that tokenizers stumble over, others for every seed:
 * characters of one script or of any, mixed languages, white space, digits, emoji with joiners, code, marks that
 * combine, added tokens glued to words, slices of real text. */
#ifndef BT_TESTS_FRESH_TEXTS_H
#define BT_TESTS_FRESH_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "known_codes.h"
#include "text/buffer.h"

struct real_text {
    char *at; /* valid UTF-8 */
    size_t size;
};

struct fresh_texts {
    uint64_t key, drawn; /* every draw is a function of the two */
    struct code_list known, others;
    struct real_text real[16]; /* to take slices of */
    size_t real_count;
    const char *tokens[4096]; /* added tokens, NUL-terminated; borrowed */
    size_t token_count;
};

/* Ends the program when memory is out. */
void fresh_texts_start(struct fresh_texts *fresh, uint64_t seed);
void fresh_texts_add_real(struct fresh_texts *fresh, const char *path);
void fresh_texts_finish(struct fresh_texts *fresh);

/* A draw from 0 to n - 1. */
size_t fresh_below(struct fresh_texts *fresh, size_t n);
/* Replaces what `out` holds. with_others: some characters that are not known. */
void fresh_text(struct fresh_texts *fresh, bool with_others, struct bt_buffer *out);

#endif
