/* tests/cli/train_world.h - what the tests of bitnet-train share: a folder with a tiny model, two token shards and a
 * run.yaml of all three stages, in which the program runs with relative paths as a user's would. */
#ifndef BT_TESTS_TRAIN_WORLD_H
#define BT_TESTS_TRAIN_WORLD_H

#include "run_program.h"

#include "io/json.h"

struct train_world {
    char *dir;
    char *program;                   /* bitnet-train */
    char *faulty;                    /* the same with io_faults.c in it; NULL: the tests need none */
    bool loud;                       /* the runs that follow are without --quiet */
    struct test_output output;       /* of the last run */
    char *good_files, *good_records; /* see world_keep_good */
};

/* argv of a test program: bitnet-train and, where there is one more, bitnet-train-faulty. In the folder:
 *   tiny/config.json, tokenizer.json      2 layers, hidden 32, 64 ids, BOS = 1 before every document
 *   train.bin, validation.bin             4000 and 600 tokens
 *   run.yaml                              6 updates of stage 0, stage 1, 8 updates of stage 2 as run "a"; one thread */
void world_make(struct train_world *world, int argc, char **argv);
void world_finish(struct train_world *world);

#define WORLD_LAST_MODEL "runs/a/stage2/model/model.safetensors"

/* Runs `bitnet-train --config run.yaml --quiet ...` and gives back the exit code, -1 for a signal. args and env end
 * with NULL and may be NULL. The macros take arguments, or the environment of the faulty program. */
int world_run_program(struct train_world *world, const char *program, const char *const *env, const char *const *args);
int world_run(struct train_world *world); /* without more arguments */
#define WORLD_RUN_WITH(world, ...)                                                                                     \
    world_run_program(world, (world)->program, NULL, (const char *const[]){__VA_ARGS__, NULL})
#define WORLD_FAULT(world, ...)                                                                                        \
    world_run_program(world, (world)->faulty, (const char *const[]){__VA_ARGS__, NULL}, NULL)

/* Fails the test, showing stderr, unless the last run ended with this exit code. */
void world_expect(const struct train_world *world, int exit_code);
/* The same for a failure: one line on stderr, "bitnet-train: ...", which contains `sentence`, and nothing on stdout. */
void world_expect_error(const struct train_world *world, int exit_code, const char *sentence);

const char *world_path(const struct train_world *world, const char *relative); /* as test_format */
char *world_text(const struct train_world *world, const char *relative);       /* a whole file; free */
void world_write(const struct train_world *world, const char *relative, const char *text);
void world_remove(const struct train_world *world, const char *relative);           /* a tree; absent is fine */
void world_copy(const struct train_world *world, const char *from, const char *to); /* a tree; `to` is replaced */
json_t *world_json(const struct train_world *world, const char *relative);          /* json_decref */
const char *world_hash(const struct train_world *world, const char *relative);      /* as test_format */
void world_flip_byte(const struct train_world *world, const char *relative, size_t at);

/* One line a file, with its size and hash; free. Files that hold times, paths or process ids are listed by name alone
 * when `same_run` is false: they differ between two runs that agree. Locks are left out. */
char *world_listing(const struct train_world *world, const char *folder, bool same_run);
/* The lines of metrics.jsonl with one of these events (names separated by spaces), without what times them; free. */
char *world_records(const struct train_world *world, const char *run, const char *events);

/* Makes the run "a" that nothing happens to, keeps what its files and records are, and removes it. */
void world_keep_good(struct train_world *world);
/* Runs "a" to its end, which must come without a word, and compares files and records with those kept; then removes it.
 * The text says what had happened before. A run that was told to stop has other checkpoints: they are left out then. */
void world_expect_good(struct train_world *world, bool checkpoints, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What a kill left: stages 0 and 1 are done, stage 2 has its checkpoints of updates 6 and 8 (the last) and no model
 * yet. It is kept in the folder "interrupted", to be copied to "runs"; made of `operations` of a whole run. */
void world_keep_interrupted(struct train_world *world, long operations);

/* The number of disk operations of a whole run "a", whose folder is removed afterwards. */
long world_count_operations(struct train_world *world);

#endif
