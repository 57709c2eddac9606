/* train/run.h - a run: the stages of one config, in order, in one run folder. */
#ifndef BT_TRAIN_RUN_H
#define BT_TRAIN_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/train_config.h"
#include "train/progress.h"
#include "train/run_folder.h"

struct bt_tokenize_progress; /* text/tokenize.h */

/* How a run tells what it does. Any function may be NULL. */
struct bt_observer {
    void *context;
    void (*say)(void *context, const char *sentence);                    /* a line for the log */
    void (*progress)(void *context, const struct bt_progress *progress); /* after every update; may be dropped */
    void (*tokenizing)(void *context, const struct bt_tokenize_progress *progress); /* now and then, text is read */
    bool (*stop)(void *context); /* asked after every update: finish, save and return BT_ESTOPPED? */
};

enum bt_resume { BT_RESUME_AUTO, BT_RESUME_NEVER, BT_RESUME_REQUIRED };

struct bt_run_options {
    enum bt_resume resume;
    const char *version; /* for records and summaries */
};

struct bt_run { /* what every stage is handed; all borrowed */
    const struct bt_train_config *config;
    struct bt_run_folder *folder;
    const struct bt_observer *observer;
    const struct bt_run_options *options;
};

void bt_say(const struct bt_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs what is left to do. BT_ESTOPPED when the observer asked to stop and all is saved. */
enum bt_err bt_run_config(const struct bt_train_config *config, const struct bt_observer *observer,
                          const struct bt_run_options *options, struct bt_diag *diag);

/* The model folder that a stage starts from: the stage before it in the config, else model.path. NULL for a model made
 * from model.config. *ret_path is bt_free'd by the caller. */
enum bt_err bt_run_start_model(const struct bt_run *run, enum bt_stage_id stage, char **ret_path, struct bt_diag *diag);

#endif
