/* tests/text/enumerate.h - every derivation of a small grammar, made by multiplying out its choices. */
#ifndef BT_TESTS_TEXT_ENUMERATE_H
#define BT_TESTS_TEXT_ENUMERATE_H

#include <stddef.h>

#include "text/grammar_graph.h"

struct derived {
    char *text;
    size_t size;
    double probability;
};

struct derived_list {
    struct derived *at;
    size_t count;
};

/* In no particular order; equal texts stand as often as they are derived. */
struct derived_list enumerate_all(const struct bt_grammar *grammar);
void enumerate_free(struct derived_list *list);

#endif
