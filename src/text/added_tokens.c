#include "text/added_tokens.h"

#include "base/mem.h"
#include "text/utf8.h"

/* A new node, or 0. */
static uint32_t new_node(struct bt_added_tree *tree, unsigned char byte)
{
    if (tree->count + 1 >= tree->capacity) {
        const uint32_t capacity = 2 * tree->capacity + 64;
        struct bt_added_node *larger = bt_realloc(tree->nodes, capacity, sizeof *larger);
        if (!larger)
            return 0;
        tree->nodes = larger;
        tree->capacity = capacity;
        if (tree->count == 0)
            tree->nodes[tree->count++] = (struct bt_added_node){0};
    }
    tree->nodes[tree->count] = (struct bt_added_node){.byte = byte};
    return tree->count++;
}

static uint32_t child_of(const struct bt_added_tree *tree, uint32_t node, unsigned char byte)
{
    if (node == 0)
        return tree->first[byte];
    uint32_t child = tree->nodes[node].child;
    while (child && tree->nodes[child].byte != byte)
        child = tree->nodes[child].sibling;
    return child;
}

bool bt_added_tree_add(struct bt_added_tree *tree, const char *spelling, size_t size,
                       const struct bt_added_token *token)
{
    uint32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)spelling[i];
        uint32_t child = child_of(tree, node, byte);
        if (!child) {
            child = new_node(tree, byte);
            if (!child)
                return false;
            if (node == 0) {
                tree->first[byte] = child;
            } else {
                tree->nodes[child].sibling = tree->nodes[node].child;
                tree->nodes[node].child = child;
            }
        }
        node = child;
    }
    if (!tree->nodes[node].token)
        tree->nodes[node].token = token;
    return true;
}

void bt_added_tree_finish(struct bt_added_tree *tree)
{
    bt_free(tree->nodes);
    *tree = (struct bt_added_tree){0};
}

/* The longest token at one place, or NULL. */
static const struct bt_added_token *longest_at(const struct bt_added_search *search, size_t at, size_t *ret_end)
{
    const struct bt_added_token *token = NULL;
    uint32_t node = 0;
    while (at < search->size && (node = child_of(search->tree, node, (unsigned char)search->text[at]))) {
        at++;
        if (search->tree->nodes[node].token) {
            token = search->tree->nodes[node].token;
            *ret_end = at;
        }
    }
    return token;
}

static bool touches_word(const struct bt_added_search *search, size_t start, size_t end)
{
    uint32_t code;
    if (start > 0) {
        bt_utf8_take(search->text + bt_utf8_before(search->text, start), &code);
        if (bt_code_is_word(code))
            return true;
    }
    if (end == search->size)
        return false;
    bt_utf8_take(search->text + end, &code);
    return bt_code_is_word(code);
}

static size_t without_space_before(const char *text, size_t at)
{
    while (at > 0) {
        uint32_t code;
        const size_t before = bt_utf8_before(text, at);
        bt_utf8_take(text + before, &code);
        if (!bt_code_is_space(code))
            break;
        at = before;
    }
    return at;
}

static size_t without_space_behind(const char *text, size_t size, size_t at)
{
    while (at < size) {
        uint32_t code;
        const size_t length = bt_utf8_take(text + at, &code);
        if (!bt_code_is_space(code))
            break;
        at += length;
    }
    return at;
}

/* Hugging Face looks on behind the token itself, not behind the space it took with it, so a token of white space there
 * is found as well. */
bool bt_added_search_next(struct bt_added_search *search, size_t *ret_start, const struct bt_added_token **ret_token)
{
    while (search->tree->count && search->at < search->size) {
        size_t start = search->at++, end = 0;
        if (!search->tree->first[(unsigned char)search->text[start]])
            continue;
        const struct bt_added_token *token = longest_at(search, start, &end);
        if (!token)
            continue;
        search->at = end;
        if (token->single_word && touches_word(search, start, end))
            continue;
        if (token->lstrip) {
            const size_t stripped = without_space_before(search->text, start);
            start = stripped > search->done ? stripped : search->done;
        }
        search->done = token->rstrip ? without_space_behind(search->text, search->size, end) : end;
        *ret_start = start;
        *ret_token = token;
        return true;
    }
    return false;
}
