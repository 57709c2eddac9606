/* Whether the alternatives of every rule can be told apart from the left.
 *
 * Two alternatives are read side by side. A reader is a place in a text together with what comes after it: the parts
 * left of its choice, then those left around it, and so on (a `rest`, shared between readers). Pairs of readers that
 * agree on a byte go on together; if one of a pair is finished, its text is the beginning of the other's. A pair met
 * before is not read again, which keeps the work near the size of the grammar. */
#include <string.h>

#include "base/mem.h"
#include "text/grammar_graph.h"
#include "text/u64_map.h"

#define MAX_WORK (1u << 22) /* pairs compared and readers made; a grammar of stories needs thousands */
#define FINISHED 0          /* the rest of which nothing is left */

struct rest { /* parts first .. end - 1, then another rest */
    uint32_t first, end;
    uint32_t after;
};

struct reader {
    uint32_t rest;   /* FINISHED, or its first part is a text ... */
    uint32_t offset; /* ... and this byte of it is next */
};

struct readers {
    struct reader *at;
    uint32_t count, room;
};

struct checker {
    const struct bt_grammar *g;
    struct rest *rests; /* entry 0 is FINISHED */
    uint32_t rest_count, rest_room;
    struct bt_u64_map rest_ids;   /* (first part, rest after) -> rest */
    struct bt_u64_map reader_ids; /* (rest, offset) -> number */
    struct bt_u64_map seen;       /* pairs of reader numbers */
    struct readers left, right;   /* where two alternatives begin, or go on */
    struct readers pairs;         /* pairs still to be read: two entries each */
    uint32_t *open;               /* rests still to be opened up to their first text */
    uint32_t open_count, open_room;
    uint32_t work;
    enum bt_err err; /* the first failure; BT_EINPUT stands for too much work */
};

static bool fail(struct checker *c, enum bt_err err)
{
    c->err = err;
    return false;
}

static bool work_one(struct checker *c)
{
    return ++c->work <= MAX_WORK || fail(c, BT_EINPUT);
}

static bool push_reader(struct checker *c, struct readers *list, struct reader reader)
{
    if (!bt_grammar_reserve(&list->at, &list->room, list->count, sizeof *list->at))
        return fail(c, BT_ENOMEM);
    list->at[list->count++] = reader;
    return true;
}

static bool push_open(struct checker *c, uint32_t rest)
{
    if (!bt_grammar_reserve(&c->open, &c->open_room, c->open_count, sizeof *c->open))
        return fail(c, BT_ENOMEM);
    c->open[c->open_count++] = rest;
    return work_one(c);
}

/* The number of the rest "parts first .. end - 1, then `after`": always the same one. */
static bool number_rest(struct checker *c, uint32_t first, uint32_t end, uint32_t after, uint32_t *ret_rest)
{
    bool fresh = false;
    *ret_rest = after;
    if (first == end)
        return true;
    const uint32_t *id = bt_u64_map_enter(&c->rest_ids, (uint64_t)first << 32 | after, c->rest_count, &fresh);
    if (!id || (fresh && !bt_grammar_reserve(&c->rests, &c->rest_room, c->rest_count, sizeof *c->rests)))
        return fail(c, BT_ENOMEM);
    if (fresh)
        c->rests[c->rest_count++] = (struct rest){first, end, after};
    *ret_rest = *id;
    return true;
}

static bool open_rest(struct checker *c, uint32_t first, uint32_t end, uint32_t after)
{
    uint32_t rest;
    return number_rest(c, first, end, after, &rest) && push_open(c, rest);
}

static bool open_choice(struct checker *c, const struct bt_grammar_choice *choice, uint32_t after)
{
    return open_rest(c, choice->first_part, choice->first_part + choice->parts, after);
}

/* Opens the choices of the node that the rest begins with, each followed by what is left of the rest. */
static bool open_node(struct checker *c, struct rest rest)
{
    const struct bt_grammar_node *node = &c->g->nodes[c->g->parts[rest.first].node];
    uint32_t after;
    bool fine = number_rest(c, rest.first + 1, rest.end, rest.after, &after);
    for (uint32_t i = node->first_choice; fine && i < node->first_choice + node->choices; i++)
        fine = open_choice(c, &c->g->choices[i], after);
    return fine;
}

/* Moves everything that is open on to the texts it can begin with, as readers into list. */
static bool settle(struct checker *c, struct readers *list)
{
    bool fine = true;
    list->count = 0;
    while (fine && c->open_count) {
        const uint32_t id = c->open[--c->open_count];
        const struct rest rest = c->rests[id];
        const struct bt_grammar_part *part = id == FINISHED ? NULL : &c->g->parts[rest.first];
        if (part && part->is_node)
            fine = open_node(c, rest);
        else if (part && !part->text.size)
            fine = open_rest(c, rest.first + 1, rest.end, rest.after);
        else
            fine = push_reader(c, list, (struct reader){id, 0});
    }
    return fine;
}

static bool number_reader(struct checker *c, struct reader reader, uint32_t *ret_number)
{
    bool fresh;
    const uint32_t count = (uint32_t)c->reader_ids.count;
    const uint32_t *number =
        bt_u64_map_enter(&c->reader_ids, (uint64_t)reader.rest << 32 | reader.offset, count, &fresh);
    if (!number)
        return fail(c, BT_ENOMEM);
    *ret_number = *number;
    return true;
}

/* Queues the pair unless it was met before. */
static bool push_pair(struct checker *c, struct reader a, struct reader b)
{
    uint32_t i, j;
    bool fresh = false;
    if (!work_one(c) || !number_reader(c, a, &i) || !number_reader(c, b, &j))
        return false;
    if (!bt_u64_map_enter(&c->seen, (uint64_t)i << 32 | j, 0, &fresh))
        return fail(c, BT_ENOMEM);
    return !fresh || (push_reader(c, &c->pairs, a) && push_reader(c, &c->pairs, b));
}

static struct bt_grammar_text bytes_ahead(const struct checker *c, struct reader reader)
{
    const struct bt_grammar_text text = c->g->parts[c->rests[reader.rest].first].text;
    return (struct bt_grammar_text){text.data + reader.offset, text.size - reader.offset};
}

/* Where a reader can be after n more bytes of its text, n at most what is ahead. */
static bool advance(struct checker *c, struct reader reader, size_t n, struct readers *list)
{
    const struct rest rest = c->rests[reader.rest];
    list->count = 0;
    if (n < bytes_ahead(c, reader).size)
        return push_reader(c, list, (struct reader){reader.rest, reader.offset + (uint32_t)n});
    return open_rest(c, rest.first + 1, rest.end, rest.after) && settle(c, list);
}

/* Compares every reader on the left with every one on the right. False when a pair ends together (*ret_clash) or on a
 * failure; pairs that agree on their first byte are queued. */
static bool compare_all(struct checker *c, bool *ret_clash)
{
    for (uint32_t i = 0; i < c->left.count; i++)
        for (uint32_t j = 0; j < c->right.count; j++) {
            const struct reader a = c->left.at[i], b = c->right.at[j];
            *ret_clash = a.rest == FINISHED || b.rest == FINISHED;
            if (*ret_clash || !work_one(c))
                return false;
            if (*bytes_ahead(c, a).data == *bytes_ahead(c, b).data && !push_pair(c, a, b))
                return false;
        }
    return true;
}

/* Reads two alternatives side by side until no pair is left. */
static bool tell_apart(struct checker *c, const struct bt_grammar_choice *a, const struct bt_grammar_choice *b,
                       bool *ret_clash)
{
    *ret_clash = false;
    c->pairs.count = 0;
    bool fine = open_choice(c, a, FINISHED) && settle(c, &c->left) && open_choice(c, b, FINISHED) &&
                settle(c, &c->right) && compare_all(c, ret_clash);
    while (fine && c->pairs.count) {
        const struct reader x = c->pairs.at[c->pairs.count - 2], y = c->pairs.at[c->pairs.count - 1];
        const struct bt_grammar_text p = bytes_ahead(c, x), q = bytes_ahead(c, y);
        const size_t shared = p.size < q.size ? p.size : q.size;
        c->pairs.count -= 2;
        if (!memcmp(p.data, q.data, shared))
            fine = advance(c, x, shared, &c->left) && advance(c, y, shared, &c->right) && compare_all(c, ret_clash);
    }
    return fine;
}

static enum bt_err check_node(struct checker *c, const struct bt_grammar_node *node, const char *what,
                              struct bt_diag *diag)
{
    const struct bt_grammar_choice *choices = &c->g->choices[node->first_choice];
    for (uint32_t i = 0; i < node->choices; i++)
        for (uint32_t j = i + 1; j < node->choices; j++) {
            bool clash;
            if (tell_apart(c, &choices[i], &choices[j], &clash))
                continue;
            if (clash)
                return bt_fail(diag, BT_EINPUT,
                               "%s:%u: this alternative and the one on line %u (number %u and %u of their rule) cannot "
                               "be told apart from the left: a text of one begins with a text of the other",
                               what, choices[j].line, choices[i].line, j + 1, i + 1);
            if (c->err == BT_ENOMEM)
                return bt_fail_nomem(diag);
            return bt_fail(diag, BT_EINPUT,
                           "%s:%u: telling the alternatives of this rule apart takes more than %u steps", what,
                           choices[i].line, MAX_WORK);
        }
    return BT_OK;
}

enum bt_err bt_grammar_check_prefixes(const struct bt_grammar *grammar, const char *what, struct bt_diag *diag)
{
    struct checker c = {.g = grammar, .rest_count = 1};
    enum bt_err err = BT_OK;
    if (!bt_grammar_reserve(&c.rests, &c.rest_room, 0, sizeof *c.rests))
        return bt_fail_nomem(diag);
    c.rests[FINISHED] = (struct rest){0};
    for (uint32_t i = 0; !err && i < grammar->node_count; i++)
        err = check_node(&c, &grammar->nodes[i], what, diag);
    bt_free(c.rests);
    bt_free(c.left.at);
    bt_free(c.right.at);
    bt_free(c.pairs.at);
    bt_free(c.open);
    bt_u64_map_finish(&c.rest_ids);
    bt_u64_map_finish(&c.reader_ids);
    bt_u64_map_finish(&c.seen);
    return err;
}
