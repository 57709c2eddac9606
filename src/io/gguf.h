/* io/gguf.h - GGUF files, version 3: metadata and tensors, read from a mapped file and written in one pass. Layout and
 * every rejection: llama.cpp's ggml/src/gguf.cpp (gguf_init_from_reader).
 *
 *   "GGUF"  u32 version  i64 tensors  i64 pairs
 *   pairs   { string key; i32 kind; value }
 *   tensors { string name; u32 dimensions; i64 size of each, the fastest first; i32 type; u64 offset }
 *   zeros up to a multiple of the alignment, then the tensors' bytes in this order, each with zeros behind it
 *
 * A string is a u64 length and its bytes. All little-endian. */
#ifndef BT_IO_GGUF_H
#define BT_IO_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/gguf_types.h"

enum bt_gguf_kind { /* of a value, as it stands in files */
                    BT_GGUF_U8,
                    BT_GGUF_I8,
                    BT_GGUF_U16,
                    BT_GGUF_I16,
                    BT_GGUF_U32,
                    BT_GGUF_I32,
                    BT_GGUF_F32_VALUE,
                    BT_GGUF_BOOL,
                    BT_GGUF_TEXT,
                    BT_GGUF_ARRAY,
                    BT_GGUF_U64,
                    BT_GGUF_I64,
                    BT_GGUF_F64,
                    BT_GGUF_KINDS
};
const char *bt_gguf_kind_name(enum bt_gguf_kind kind);

#define BT_GGUF_ALIGNMENT 32 /* where general.alignment does not say another one */
#define BT_GGUF_NAME_MAX  63 /* bytes of a tensor's name: ggml has room for so many */
#define BT_GGUF_DIMS_MAX  4

/* ---- reading ---- */

/* A file (or none at all) named so, or one that begins as such files do: and no folder. */
bool bt_gguf_is_file(const char *path);

struct bt_gguf_value {
    const char *key; /* with a NUL at the end */
    enum bt_gguf_kind kind;
    enum bt_gguf_kind element; /* of an array */
    uint64_t count;            /* of elements; 1 for what is no array */
    const unsigned char *data; /* as it lies in the file, not aligned; of a string and of an array's: from its length */
};

struct bt_gguf_tensor {
    char name[BT_GGUF_NAME_MAX + 1];
    const struct bt_gguf_type_info *type;
    size_t rank;
    uint64_t size[BT_GGUF_DIMS_MAX]; /* size[0] is the length of a row; 1 beyond the rank */
    uint64_t count;                  /* of values */
    const unsigned char *data;       /* borrowed from the mapped file; the tail of i2_s included */
    size_t bytes;
};

struct bt_gguf;
/* BT_EINPUT naming the file, the byte or the tensor. Types that are not of gguf_types.h are refused by number. A file
 * with a checksum (io/seal.h) must be what it was written as; one without is read as it is. */
enum bt_err bt_gguf_open(const char *path, struct bt_gguf **ret_file, struct bt_diag *diag);
/* From memory that the caller keeps; `what` names it in errors. */
enum bt_err bt_gguf_parse(const void *data, size_t size, const char *what, struct bt_gguf **ret_file,
                          struct bt_diag *diag);
void bt_gguf_close(struct bt_gguf *file); /* takes NULL */
const char *bt_gguf_path(const struct bt_gguf *file);

size_t bt_gguf_tensor_count(const struct bt_gguf *file);
const struct bt_gguf_tensor *bt_gguf_tensor_at(const struct bt_gguf *file, size_t i);           /* in file order */
const struct bt_gguf_tensor *bt_gguf_tensor_find(const struct bt_gguf *file, const char *name); /* or NULL */
const struct bt_gguf_value *bt_gguf_find(const struct bt_gguf *file, const char *key);          /* or NULL */

/* A pair that the caller knows the kind of. Absent leaves *ret_value and gives BT_OK, unless `required`; another kind
 * is BT_EINPUT naming the key. Texts are borrowed and have no NUL at their end. */
struct bt_gguf_text {
    const char *at;
    size_t size;
};
enum bt_err bt_gguf_get_u32(const struct bt_gguf *file, const char *key, bool required, uint32_t *ret_value,
                            struct bt_diag *diag);
enum bt_err bt_gguf_get_f32(const struct bt_gguf *file, const char *key, bool required, float *ret_value,
                            struct bt_diag *diag);
enum bt_err bt_gguf_get_f64(const struct bt_gguf *file, const char *key, bool required, double *ret_value,
                            struct bt_diag *diag);
enum bt_err bt_gguf_get_bool(const struct bt_gguf *file, const char *key, bool required, bool *ret_value,
                             struct bt_diag *diag);
enum bt_err bt_gguf_get_text(const struct bt_gguf *file, const char *key, bool required, struct bt_gguf_text *ret_value,
                             struct bt_diag *diag);
/* An array of this kind of element; NULL when it is absent. */
enum bt_err bt_gguf_get_array(const struct bt_gguf *file, const char *key, enum bt_gguf_kind element, bool required,
                              const struct bt_gguf_value **ret_value, struct bt_diag *diag);
/* The text at *at, which begins at value->data, and the place of the next one. */
struct bt_gguf_text bt_gguf_next_text(const unsigned char **at);

/* ---- writing ---- */

/* First all pairs, then what tensors there will be, then their bytes in the same order. What goes wrong is kept and
 * comes out of bt_gguf_out_close; calls after it do nothing. */
struct bt_gguf_out;
/* path is taken as it is: give a temporary name. */
enum bt_err bt_gguf_out_open(const char *path, struct bt_gguf_out **ret_out, struct bt_diag *diag);
/* The checksum of all that will be written; before every pair, or not at all. */
void bt_gguf_put_checksum(struct bt_gguf_out *out);
void bt_gguf_put_u32(struct bt_gguf_out *out, const char *key, uint32_t value);
void bt_gguf_put_f32(struct bt_gguf_out *out, const char *key, float value);
void bt_gguf_put_f64(struct bt_gguf_out *out, const char *key, double value);
void bt_gguf_put_bool(struct bt_gguf_out *out, const char *key, bool value);
void bt_gguf_put_text(struct bt_gguf_out *out, const char *key, const char *text, size_t size);
/* `count` elements follow, by the calls below. */
void bt_gguf_put_array(struct bt_gguf_out *out, const char *key, enum bt_gguf_kind element, uint64_t count);
void bt_gguf_add_text(struct bt_gguf_out *out, const char *text, size_t size);
void bt_gguf_add_i32(struct bt_gguf_out *out, int32_t value);
void bt_gguf_add_f32(struct bt_gguf_out *out, float value);
/* rows 0: one dimension. cols is whole blocks of the type. */
void bt_gguf_put_tensor(struct bt_gguf_out *out, const char *name, const struct bt_gguf_type_info *type, uint64_t cols,
                        uint64_t rows);
/* The next bytes of the tensors' data, never past the end of one tensor; its padding comes by itself. */
void bt_gguf_put_data(struct bt_gguf_out *out, const void *data, size_t size);
/* Writes the checksum, syncs, closes and frees. *ret_bytes: of the whole file. */
enum bt_err bt_gguf_out_close(struct bt_gguf_out *out, uint64_t *ret_bytes, struct bt_diag *diag);
void bt_gguf_out_abandon(struct bt_gguf_out *out); /* takes NULL; the file stays as it is */

#endif
