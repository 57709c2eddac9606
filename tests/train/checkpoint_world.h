/* tests/train/checkpoint_world.h - a tiny model with moments and a state, and a folder to save it in. */
#ifndef BT_TESTS_TRAIN_CHECKPOINT_WORLD_H
#define BT_TESTS_TRAIN_CHECKPOINT_WORLD_H

#include "support.h"

#include "config/hf_config.h"
#include "nn/params.h"
#include "train/checkpoint.h"

struct world {
    char *dir;          /* temporary */
    const char *folder; /* of the checkpoints, inside dir */
    char folder_text[4096];
    char tokenizer[4096]; /* a folder with tokenizer files */
    struct bt_shape shape;
    struct bt_params params;
    struct bt_hf_config *config;
    struct bt_hf_marks marks;
    struct bt_cfg_optimizer optimizer;
    float *weights, *m, *v; /* of what is saved next */
    float *loaded[3];       /* room to load into */
    struct bt_train_state state;
    struct bt_data_file files[2];
};

/* cmocka setup and teardown: *state is the world. */
int world_setup(void **state);
int world_teardown(void **state);

/* Gives weights, moments and state the values that belong to (step, variant), all different. */
void world_fill(struct world *world, int64_t step, unsigned variant);
enum bt_err world_save(struct world *world, struct bt_diag *diag);
void world_fill_and_save(struct world *world, int64_t step, unsigned variant);
/* Fails the test unless the checkpoint at path loads and is to the bit what world_fill(step, variant) made. */
void world_expect(struct world *world, const char *path, int64_t step, unsigned variant);
/* The same, as a question; a checkpoint that does not load fails the test. */
bool world_is(struct world *world, const char *path, int64_t step, unsigned variant);
/* Path of the newest whole checkpoint (static), or NULL; *ret_damaged (may be NULL) as a static text. */
const char *world_newest(struct world *world, const char **ret_damaged);
/* Names in the folder of checkpoints, joined by spaces (static). */
const char *world_names(struct world *world);

#endif
