/* tests/export/export_world.h - small random BitNet models of every kind, in folders, and what tests do with them. */
#ifndef BT_TESTS_EXPORT_WORLD_H
#define BT_TESTS_EXPORT_WORLD_H

#include "support.h"

#include "export/hf_parts.h"
#include "io/safetensors.h"

struct export_world {
    char *dir;
    const char *model, *out, *again; /* folders in it: the source; what exports are written to, made anew */
};

int export_world_setup(void **state);
int export_world_teardown(void **state);

/* What a config.json is made of: its beginning, and whether the folder has SubLN and is marked ternary and int8. */
struct export_case {
    const char *name, *head;
    bool sub_norm;
};
extern const struct export_case export_cases[];
extern const size_t export_case_count;
const struct export_case *export_case(const char *name);

/* Writes the folder world->model: random weights with gains and biases that can be told apart, marked ternary with int8
 * activations. exclude: a glob of layers to leave out, or NULL. */
void export_world_write(const struct export_world *world, const struct export_case *c, const char *exclude);
/* The same of a whole config.json; and with other marks. */
void export_world_write_ternary(const struct export_world *world, const char *text, const char *exclude);
void export_world_write_config(const struct export_world *world, const char *text, const struct bt_hf_marks *marks);
void export_world_write_marked(const struct export_world *world, const struct export_case *c,
                               const struct bt_hf_marks *marks);

struct bt_export_model *export_world_open(const char *path);
/* bt_export_hf of the folder `from` to the emptied folder `to`. */
enum bt_err export_world_try(const char *from, const char *to, const struct bt_hf_options *options,
                             struct bt_diag *diag);
void export_world_export(const char *from, const char *to, const struct bt_hf_options *options); /* must succeed */

struct bt_loaded_model *export_world_load(const char *folder);
/* Loading must fail as an input error whose sentence has both words. */
void export_world_refused(const char *folder, const char *a, const char *b);

/* The tensors of a folder, to be changed and written again. Names and bytes are the list's own. */
struct tensor_list {
    struct bt_tensor_source list[160];
    size_t count;
};
void tensor_list_read(struct tensor_list *tensors, const char *folder);
void tensor_list_write(const struct tensor_list *tensors, const char *folder);
void tensor_list_free(struct tensor_list *tensors);
struct bt_tensor_source *tensor_list_find(struct tensor_list *tensors, const char *name); /* fails the test */
void tensor_list_drop(struct tensor_list *tensors, const char *name);
void tensor_list_add(struct tensor_list *tensors, const char *name, enum bt_dtype dtype, size_t rank, uint64_t rows,
                     uint64_t cols, const void *data);
void tensor_list_rename(struct tensor_list *tensors, const char *from, const char *to);

/* Replaces the first occurrence of `from` in the folder's config.json, and takes the list of checksums away; fails the
 * test when there is none. */
void export_world_edit_config(const char *folder, const char *from, const char *to);

#endif
