/* Model folders: one file, or shards with an index. */
#include "st_example.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "io/safetensors.h"

#define ONE(name) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}"
#define TWO(name) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}"

static void put_file(void **state, const char *name, const char *header, size_t data_size)
{
    struct st_bytes bytes = st_make(header, data_size);
    test_write_file(in_dir(state, name), bytes.data, bytes.size);
    st_free(&bytes);
}

static void put_index(void **state, const char *text)
{
    test_write_file(in_dir(state, "model.safetensors.index.json"), text, strlen(text));
}

/* a and c in shard 1, b in shard 2. */
static void put_model(void **state)
{
    put_file(state, "m-1.safetensors", "{" ONE("c") "," TWO("a") "}", 2);
    put_file(state, "m-2.safetensors", "{" ONE("b") "}", 1);
    put_index(state, "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"c\":\"m-1.safetensors\","
                     "\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}}");
}

static void one_file_is_a_model(void **state)
{
    struct bt_safetensors *model = NULL;
    struct bt_diag diag;
    put_index(state, "never looked at");
    put_file(state, "model.safetensors", "{" ONE("x") "}", 1);
    TEST_OK(bt_safetensors_open_model(*state, &model, &diag), diag);
    assert_non_null(bt_safetensors_find(model, "x"));
    bt_safetensors_close(model);
}

static void a_folder_without_weights_is_refused(void **state)
{
    struct bt_safetensors *model = NULL;
    struct bt_diag diag;
    ASSERT_FAILS(BT_EINPUT, "there is neither model.safetensors nor model.safetensors.index.json",
                 bt_safetensors_open_model(*state, &model, &diag));
}

static void shards_are_one_model(void **state)
{
    struct bt_safetensors *model = NULL;
    struct bt_diag diag;
    static const char *const names[] = {"a", "b", "c"}, *const files[] = {"m-1", "m-2", "m-1"};
    static const unsigned char bytes[] = {1, 0, 0};
    put_model(state);
    TEST_OK(bt_safetensors_open_model(*state, &model, &diag), diag);
    assert_int_equal(bt_safetensors_count(model), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct bt_tensor_view *view = bt_safetensors_at(model, i);
        assert_string_equal(view->name, names[i]);
        assert_string_equal(view->file, in_dir(state, test_format("%s.safetensors", files[i])));
        assert_int_equal(view->data[0], bytes[i]);
        assert_ptr_equal(bt_safetensors_find(model, names[i]), view);
    }
    bt_safetensors_close(model);
}

static void bad_indexes_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"", "index.json: line 1, column 0: not valid JSON"},
        {"[]", "\"weight_map\" is missing, empty or not an object"},
        {"{}", "\"weight_map\" is missing"},
        {"{\"weight_map\":[]}", "\"weight_map\" is missing, empty or not an object"},
        {"{\"weight_map\":{}}", "\"weight_map\" is missing, empty or not an object"},
        {"{\"weight_map\":{\"a\":1}}", "tensor \"a\": its file is \"(not a string)\""},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\",\"a\":\"m-1.safetensors\"}}", "duplicate object key"},
        /* names that leave the folder */
        {"{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}",
         "tensor \"a\": its file is \"../m-1.safetensors\"; the name of"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "its file is \"/etc/passwd\""},
        {"{\"weight_map\":{\"a\":\"sub/m-1.safetensors\"}}", "its file is \"sub/m-1.safetensors\""},
        {"{\"weight_map\":{\"a\":\"..\\\\m\"}}", "the name of a file in the same folder was expected"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "its file is \"..\""},
        {"{\"weight_map\":{\"a\":\".\"}}", "its file is \".\""},
        {"{\"weight_map\":{\"a\":\"\"}}", "its file is \"\""},
        /* the index and the shards at odds */
        {"{\"weight_map\":{\"a\":\"m-3.safetensors\"}}", "m-3.safetensors: cannot open"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\",\"c\":\"m-1.safetensors\",\"d\":\"m-1.safetensors\"}}",
         "index.json: tensor \"d\" is not in \"m-1.safetensors\", the file it is listed under"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\"}}",
         "m-1.safetensors: tensor \"c\" is not in the weight_map of model.safetensors.index.json"},
        {"{\"weight_map\":{\"a\":\"m-1.safetensors\",\"c\":\"m-2.safetensors\",\"b\":\"m-2.safetensors\"}}",
         "m-1.safetensors: tensor \"c\" lies in the file \"m-2.safetensors\" according to"},
    };
    put_model(state);
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_safetensors *model = NULL;
        struct bt_diag diag;
        put_index(state, cases[i][0]);
        ASSERT_FAILS(BT_EINPUT, cases[i][1], bt_safetensors_open_model(*state, &model, &diag));
        assert_null(model);
    }
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    struct bt_safetensors *model = NULL;
    struct bt_diag diag;
    put_model(state);
    put_file(state, "m-2.safetensors", "{" ONE("b") "," TWO("a") "}", 2);
    ASSERT_FAILS(BT_EINPUT, "m-2.safetensors: tensor \"a\" lies in the file \"m-1.safetensors\" according to",
                 bt_safetensors_open_model(*state, &model, &diag));
}

static void a_damaged_shard_is_named(void **state)
{
    struct bt_safetensors *model = NULL;
    struct bt_diag diag;
    put_model(state);
    put_file(state, "m-2.safetensors", "{" ONE("b") "}", 2);
    ASSERT_FAILS(BT_EINPUT, "m-2.safetensors: the tensors end at byte 1 of the data, which has 2",
                 bt_safetensors_open_model(*state, &model, &diag));
}

static enum bt_err open_and_close(void *context)
{
    struct bt_safetensors *model = NULL;
    const enum bt_err err = bt_safetensors_open_model(context, &model, NULL);
    bt_safetensors_close(model);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    put_model(state);
    test_every_allocation_fails(open_and_close, *state);
}

static struct bt_safetensors *open_shared(const char *folder)
{
    struct bt_safetensors *model = NULL;
    struct bt_diag diag;
    TEST_OK(bt_safetensors_open_model(test_shared(folder), &model, &diag), diag);
    return model;
}

static float *widen(const struct bt_tensor_view *view, size_t *ret_count)
{
    struct bt_diag diag;
    *ret_count = view->bytes * 8 / bt_dtype_bits(view->dtype);
    float *values = malloc(*ret_count * sizeof values[0]);
    assert_non_null(values);
    TEST_OK(bt_tensor_to_f32(view, values, &diag), diag);
    return values;
}

/* The narrow copies were rounded from the float one by another program. */
static void assert_rounded(const char *folder, float (*round_trip)(float))
{
    struct bt_safetensors *wide = open_shared("data/models/stories260K"), *narrow = open_shared(folder);
    assert_int_equal(bt_safetensors_count(wide), bt_safetensors_count(narrow));
    assert_true(bt_safetensors_count(wide) > 40);
    for (size_t i = 0; i < bt_safetensors_count(wide); i++) {
        size_t count, narrow_count;
        const struct bt_tensor_view *view = bt_safetensors_at(wide, i);
        const struct bt_tensor_view *other = bt_safetensors_find(narrow, view->name);
        assert_non_null(other);
        float *want = widen(view, &count), *got = widen(other, &narrow_count);
        assert_int_equal(count, narrow_count);
        for (size_t j = 0; j < count; j++)
            assert_true(got[j] == round_trip(want[j]));
        free(want);
        free(got);
    }
    bt_safetensors_close(wide);
    bt_safetensors_close(narrow);
}

static float through_f16(float value)
{
    return bt_f32_from_f16(bt_f16_from_f32(value));
}

static float through_bf16(float value)
{
    return bt_f32_from_bf16(bt_bf16_from_f32(value));
}

static void real_models_are_read(void **state)
{
    (void)state;
    assert_rounded("data/models/stories260K-f16-sharded", through_f16);
    assert_rounded("data/models/stories260K-bf16", through_bf16);
}

/* Reading a model and writing its tensors gives the file again. */
static void a_real_model_is_written_as_it_was(void **state)
{
    struct bt_tensor_source sources[100];
    struct bt_diag diag;
    struct bt_safetensors *model = open_shared("data/models/stories260K");
    const size_t count = bt_safetensors_count(model);
    assert_true(count <= BT_ARRAY_LEN(sources));
    for (size_t i = 0; i < count; i++) {
        const struct bt_tensor_view *view = bt_safetensors_at(model, i);
        sources[i] = (struct bt_tensor_source){view->name, view->dtype, view->rank, {0}, view->data};
        memcpy(sources[i].shape, view->shape, sizeof view->shape);
    }
    const char *path = in_dir(state, "copy");
    TEST_OK(bt_safetensors_write(path, sources, count, NULL, &diag), diag);
    size_t size;
    unsigned char *want = test_read_file(test_shared("data/models/stories260K/model.safetensors"), &size);
    assert_file_holds(path, want, size);
    free(want);
    bt_safetensors_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(one_file_is_a_model),
        IN_DIR(a_folder_without_weights_is_refused),
        IN_DIR(shards_are_one_model),
        IN_DIR(bad_indexes_are_refused),
        IN_DIR(a_tensor_in_two_shards_is_refused),
        IN_DIR(a_damaged_shard_is_named),
        IN_DIR(every_allocation_may_fail),
        cmocka_unit_test(real_models_are_read),
        IN_DIR(a_real_model_is_written_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
