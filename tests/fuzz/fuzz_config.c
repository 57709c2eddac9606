/* A training config. One that is taken must be the same config once it is printed and read again. */
#include "fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "config/train_config.h"

static enum bt_err read_printed(const struct bt_train_config *config, struct bt_diag *diag)
{
    struct bt_train_config *again = NULL;
    char *text = bt_train_config_print(config), *other = NULL;
    enum bt_err err = text ? bt_train_config_parse(text, strlen(text), "printed", NULL, 0, &again, diag) : BT_ENOMEM;
    FUZZ_CHECK(!err || err == BT_ENOMEM);
    if (!err && !(other = bt_train_config_print(again)))
        err = BT_ENOMEM;
    FUZZ_CHECK(err || !strcmp(text, other));
    bt_free(text);
    bt_free(other);
    bt_train_config_destroy(again);
    return err ? bt_fail_nomem(diag) : BT_OK;
}

enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag)
{
    struct bt_train_config *config = NULL;
    enum bt_err err = bt_train_config_parse((const char *)data, size, "run.yaml", NULL, 0, &config, diag);
    if (!err)
        err = read_printed(config, diag);
    bt_train_config_destroy(config);
    return err;
}
