#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "enumerate.h"

/* Adds the text of a followed by the text of b. */
static void push(struct derived_list *list, struct derived a, struct derived b)
{
    list->at = realloc(list->at, (list->count + 1) * sizeof *list->at);
    assert_non_null(list->at);
    struct derived *d = &list->at[list->count++];
    *d = (struct derived){malloc(a.size + b.size + 1), a.size + b.size, a.probability * b.probability};
    assert_non_null(d->text);
    memcpy(d->text, a.text, a.size);
    memcpy(d->text + a.size, b.text, b.size);
    d->text[d->size] = '\0';
}

static char no_text[1];
static const struct derived nothing = {no_text, 0, 1.0};

static struct derived_list enumerate_node(const struct bt_grammar *g, const struct bt_grammar_node *node);

static struct derived_list enumerate_part(const struct bt_grammar *g, const struct bt_grammar_part *part)
{
    struct derived_list list = {0};
    if (part->is_node)
        return enumerate_node(g, &g->nodes[part->node]);
    char *text = malloc(part->text.size + 1);
    assert_non_null(text);
    memcpy(text, part->text.data, part->text.size);
    push(&list, nothing, (struct derived){text, part->text.size, 1.0});
    free(text);
    return list;
}

static struct derived_list enumerate_choice(const struct bt_grammar *g, const struct bt_grammar_choice *choice)
{
    struct derived_list list = {0};
    push(&list, nothing, (struct derived){no_text, 0, choice->probability});
    for (uint32_t i = choice->first_part; i < choice->first_part + choice->parts; i++) {
        struct derived_list longer = {0}, part = enumerate_part(g, &g->parts[i]);
        for (size_t a = 0; a < list.count; a++)
            for (size_t b = 0; b < part.count; b++)
                push(&longer, list.at[a], part.at[b]);
        enumerate_free(&list);
        enumerate_free(&part);
        list = longer;
    }
    return list;
}

static struct derived_list enumerate_node(const struct bt_grammar *g, const struct bt_grammar_node *node)
{
    struct derived_list list = {0};
    for (uint32_t i = node->first_choice; i < node->first_choice + node->choices; i++) {
        struct derived_list one = enumerate_choice(g, &g->choices[i]);
        for (size_t k = 0; k < one.count; k++)
            push(&list, nothing, one.at[k]);
        enumerate_free(&one);
    }
    return list;
}

struct derived_list enumerate_all(const struct bt_grammar *grammar)
{
    return enumerate_node(grammar, &grammar->nodes[grammar->node_count - 1]);
}

void enumerate_free(struct derived_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->at[i].text);
    free(list->at);
    *list = (struct derived_list){0};
}
