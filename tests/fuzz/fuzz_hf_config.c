/* The config.json of a model folder. One that is taken can be written for a folder of our own, and read again. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "config/hf_config.h"

static enum bt_err read_written(const struct bt_hf_config *config, struct bt_diag *diag)
{
    json_t *object = NULL;
    struct bt_hf_config *again = NULL;
    enum bt_err err = bt_hf_config_write(config, false, NULL, &object, diag);
    if (err)
        return err;
    char *text = bt_json_text(object, 0);
    err = text ? bt_hf_config_parse(text, strlen(text), "written", &again, diag) : bt_fail_nomem(diag);
    FUZZ_CHECK(!err || err == BT_ENOMEM);
    bt_hf_config_destroy(again);
    bt_free(text);
    json_decref(object);
    return err;
}

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    struct bt_hf_config *config = NULL;
    enum bt_err err = bt_hf_config_parse((const char *)data, size, "config.json", &config, diag);
    if (!err)
        err = read_written(config, diag);
    bt_hf_config_destroy(config);
    return err;
}
