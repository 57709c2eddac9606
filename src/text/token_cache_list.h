/* text/token_cache_list.h - cache.json: the files of a finished token cache, with their sizes and hashes. */
#ifndef BT_TEXT_TOKEN_CACHE_LIST_H
#define BT_TEXT_TOKEN_CACHE_LIST_H

#include <stddef.h>

#include "base/err.h"

/* Writes it into the folder, for all the files that are there. */
enum bt_err bt_token_cache_list_write(const char *folder, const char *key, struct bt_diag *diag);
/* The paths of its shards in order (bt_names_free), once all files are found to be as they are listed. BT_EINPUT says
 * what is missing or damaged. */
enum bt_err bt_token_cache_list_read(const char *folder, const char *key, char ***ret_shards, size_t *ret_count,
                                     struct bt_diag *diag);

#endif
