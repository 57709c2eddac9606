/* train/generate.h - text from a model: prompt, tokens one by one, pieces of text as they come. */
#ifndef BT_TRAIN_GENERATE_H
#define BT_TRAIN_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/infer.h"
#include "nn/sample.h"
#include "text/tokenizer.h"
#include "train/model_folder.h"

/* Ids that end a text: eos_token_id of config.json and of generation_config.json, which may be one or several. */
struct bt_end_ids {
    int32_t *at;
    size_t count;
};
enum bt_err bt_end_ids_read(const struct bt_loaded_model *model, struct bt_end_ids *ret_ids, struct bt_diag *diag);
/* One more, which may be there already or be BT_NO_TOKEN. */
enum bt_err bt_end_ids_add(struct bt_end_ids *ids, int32_t id, struct bt_diag *diag);
void bt_end_ids_finish(struct bt_end_ids *ids); /* takes a zeroed one */

struct bt_generation { /* what to make; all borrowed */
    struct bt_sampling sampling;
    const char *const *stops; /* strings that end the text and are not part of it; none empty */
    size_t stop_count;
    const struct bt_end_ids *ends; /* NULL: no id ends it */
    uint64_t max_tokens;
    bool show_special; /* special tokens are part of the text */
};

enum bt_generation_end { BT_END_TOKEN, BT_END_STOP, BT_END_LENGTH, BT_END_CONTEXT, BT_END_ASKED };
const char *bt_generation_end_name(enum bt_generation_end end); /* "token" ... "asked" */

struct bt_generation_report {
    size_t prompt_tokens;  /* fed now: those that the engine held already are not among them */
    size_t tokens;         /* made; the one that ended the text is among them */
    double prompt_seconds; /* until the first logits */
    double decode_seconds; /* everything after that */
    enum bt_generation_end end;
};

/* Takes text as it is made: whole characters. False ends the generation. */
typedef bool bt_generation_sink(void *context, const char *text, size_t size);

/* A model with all that goes with making text. */
struct bt_generator;
/* engine and tokenizer are borrowed; `context` tokens have room in the engine, whose cache is empty. */
enum bt_err bt_generator_create(struct bt_infer *engine, const struct bt_tokenizer *tokenizer, size_t vocab,
                                size_t context, struct bt_generator **ret_generator, struct bt_diag *diag);
void bt_generator_destroy(struct bt_generator *generator); /* takes NULL */

/* Goes on behind a text of n ids (not 0, all inside the vocabulary). What the engine holds of their beginning is not
 * computed again, so a conversation is given whole each time. Everything is a function of ids and generation alone.
 * Ids of the model that the tokenizer does not have (padding) are never made. BT_EUSAGE: no room for the prompt and a
 * token; BT_EINPUT: logits that are not finite. */
enum bt_err bt_generate(struct bt_generator *generator, const struct bt_generation *generation, const int32_t *ids,
                        size_t n, bt_generation_sink *sink, void *context, struct bt_generation_report *report,
                        struct bt_diag *diag);

#endif
