/* tests/text/compare/known_codes.h - the characters of the version of Unicode that splits words, PCRE2's. */
#ifndef BT_TESTS_KNOWN_CODES_H
#define BT_TESTS_KNOWN_CODES_H

#include <stddef.h>
#include <stdint.h>

struct code_list { /* zeroed: empty; free `at` with bt_free */
    uint32_t *at;  /* (count), rising */
    size_t count;
};

/* Fills empty lists with the characters that are assigned and those that later versions may assign. What is none in any
 * version is as well known as the assigned ones. U+0000 and surrogates are in neither. */
void known_codes(struct code_list *known, struct code_list *others);

#endif
