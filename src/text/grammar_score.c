/* The probability of a text: a descent from the source that tries every alternative at every place.
 *
 * Of the alternatives of a node at one place at most one fits (grammar_graph.h), so a node fits in one way or not at
 * all, and P(text) is the product over the one derivation. What a node gives at a place is remembered: without that,
 * alternatives that begin with the same rules would read them again and again. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar_graph.h"
#include "text/u64_map.h"

struct fit { /* of a node at a place */
    double log_probability;
    size_t end; /* where its text ends */
    bool fits;
};

struct score {
    const struct bt_grammar *g;
    const char *text;
    size_t size;
    struct bt_u64_map known; /* (node, place) -> entry of fits */
    struct fit *fits;
    uint32_t fit_count, fit_room;
};

static bool score_node(struct score *s, uint32_t node, size_t start, struct fit *ret_fit);

/* All functions here: false when memory is out. */
static bool score_choice(struct score *s, const struct bt_grammar_choice *choice, size_t start, struct fit *ret_fit)
{
    struct fit sum = {choice->log_probability, start, true};
    for (uint32_t i = 0; sum.fits && i < choice->parts; i++) {
        const struct bt_grammar_part *part = &s->g->parts[choice->first_part + i];
        if (part->is_node) {
            struct fit inner;
            if (!score_node(s, part->node, sum.end, &inner))
                return false;
            sum = (struct fit){sum.log_probability + inner.log_probability, inner.end, inner.fits};
        } else {
            sum.fits =
                part->text.size <= s->size - sum.end && !memcmp(part->text.data, s->text + sum.end, part->text.size);
            sum.end += sum.fits ? part->text.size : 0;
        }
    }
    *ret_fit = sum;
    return true;
}

static bool score_node(struct score *s, uint32_t node, size_t start, struct fit *ret_fit)
{
    bool fresh;
    const uint64_t key = (uint64_t)node * (s->size + 1) + start;
    const uint32_t *known = bt_u64_map_enter(&s->known, key, s->fit_count, &fresh);
    if (!known || (fresh && !bt_grammar_reserve(&s->fits, &s->fit_room, s->fit_count, sizeof *s->fits)))
        return false;
    const uint32_t entry = *known;
    if (fresh) {
        s->fit_count++; /* taken before the recursion adds its own */
        const struct bt_grammar_node *n = &s->g->nodes[node];
        struct fit fit = {-INFINITY, start, false};
        for (uint32_t i = n->first_choice; !fit.fits && i < n->first_choice + n->choices; i++)
            if (!score_choice(s, &s->g->choices[i], start, &fit))
                return false;
        s->fits[entry] = fit;
    }
    *ret_fit = s->fits[entry];
    return true;
}

enum bt_err bt_grammar_log_probability(const struct bt_grammar *grammar, const char *text, size_t size,
                                       double *ret_log_probability, struct bt_diag *diag)
{
    struct score s = {.g = grammar, .text = text, .size = size};
    struct fit fit = {-INFINITY, 0, false};
    const bool fine =
        size > grammar->nodes[grammar->node_count - 1].longest || score_node(&s, grammar->node_count - 1, 0, &fit);
    bt_u64_map_finish(&s.known);
    bt_free(s.fits);
    if (!fine)
        return bt_fail_nomem(diag);
    *ret_log_probability = fit.fits && fit.end == size ? fit.log_probability : -INFINITY;
    return BT_OK;
}
