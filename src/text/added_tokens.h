/* text/added_tokens.h - tokens that are looked for in the text itself, before it is cut into words. */
#ifndef BT_TEXT_ADDED_TOKENS_H
#define BT_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BT_ADDED_TOKEN_MAX 1024 /* bytes: bounds the time of a search at one place */

struct bt_added_token {
    char *content; /* owned */
    size_t size;
    char *shown; /* owned: what decoding gives for a normalized one, when normalising changes it; else NULL */
    size_t shown_size;
    int32_t id;
    bool single_word;    /* not where a word character stands beside it */
    bool lstrip, rstrip; /* takes the white space on that side with it */
    bool normalized;     /* looked for in the normalised text */
    bool special;
};

/* A tree of the bytes of some spellings. */
struct bt_added_tree { /* zeroed: holds nothing */
    struct bt_added_node {
        const struct bt_added_token *token; /* that ends here, or NULL */
        uint32_t child, sibling;            /* numbers of nodes, or 0 */
        unsigned char byte;
    } * nodes; /* the first one is the root */
    uint32_t count, capacity;
    uint32_t first[256]; /* the root's children by their byte, or 0 */
};

/* Of equal spellings the first one counts. False when memory is out. The token is borrowed. */
bool bt_added_tree_add(struct bt_added_tree *tree, const char *spelling, size_t size,
                       const struct bt_added_token *token);
void bt_added_tree_finish(struct bt_added_tree *tree);

/* A search through a text (valid UTF-8): zeroed but for the first three. */
struct bt_added_search {
    const struct bt_added_tree *tree;
    const char *text;
    size_t size;
    size_t at;   /* where to look on */
    size_t done; /* the text in front of this is dealt with */
};
/* The next token, at the leftmost place and the longest there. Between search->done, as it was before the call, and
 * *ret_start lies ordinary text (or nothing, when done is larger). False: ordinary text up to the end. */
bool bt_added_search_next(struct bt_added_search *search, size_t *ret_start, const struct bt_added_token **ret_token);

#endif
